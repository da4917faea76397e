"""The tokens of the API: the same for every replica of an installation, random for a control plane that is the only one."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from swarmworks.base.errors import UsageError
from swarmworks.settings import Project, clean_environment, control_plane_tokens, worker_environment
from swarmworks.wire.config_file import load_config

CONFIG = 'gates = "none"\n[project]\nname = "shop"\n'


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("SWARM_OPERATOR_TOKEN", "SWARM_WORKER_TOKEN", "SWARM_STORE_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".swarm").mkdir()
    return Project(tmp_path, load_config(CONFIG, name="swarm.toml", environment={}), tmp_path / ".swarm")


def test_a_control_plane_with_a_file_of_its_own_makes_new_ones_every_time(project):
    assert control_plane_tokens(project) != control_plane_tokens(project)
    assert list(project.state.iterdir()) == []


def test_replicas_that_start_together_have_the_same_and_only_their_owner_can_read_them(project, monkeypatch):
    monkeypatch.setenv("SWARM_STORE_URL", "postgresql://swarm@127.0.0.1/swarm")
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: control_plane_tokens(project), range(32)))
    assert len(found) == 1
    [file] = project.state.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    [tokens] = found
    assert tokens.operator not in repr(tokens)


def test_those_of_the_environment_come_first_and_no_child_inherits_them(project, monkeypatch):
    monkeypatch.setenv("SWARM_STORE_URL", "postgresql://swarm@127.0.0.1/swarm")
    monkeypatch.setenv("SWARM_OPERATOR_TOKEN", "o" * 40)
    monkeypatch.setenv("SWARM_WORKER_TOKEN", "w" * 40)
    tokens = control_plane_tokens(project)
    assert (tokens.operator, tokens.worker) == ("o" * 40, "w" * 40)
    assert not {"SWARM_OPERATOR_TOKEN", "SWARM_WORKER_TOKEN"} & set(clean_environment(project.config))
    assert worker_environment(project.config, "mine")["SWARM_WORKER_TOKEN"] == "mine"


def test_a_short_token_and_a_damaged_file_are_refused_with_the_mend(project, monkeypatch):
    monkeypatch.setenv("SWARM_STORE_URL", "postgresql://swarm@127.0.0.1/swarm")
    monkeypatch.setenv("SWARM_OPERATOR_TOKEN", "short")
    with pytest.raises(UsageError, match="SWARM_OPERATOR_TOKEN"):
        control_plane_tokens(project)
    monkeypatch.delenv("SWARM_OPERATOR_TOKEN")
    (project.state / "tokens.json").write_text("{}")
    with pytest.raises(UsageError, match=r"tokens\.json"):
        control_plane_tokens(project)
