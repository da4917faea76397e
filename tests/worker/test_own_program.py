"""What an agent's program is told of its session, and the names it goes by among the programs that its sandbox allows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from swarmworks.wire.config_file import load_config
from swarmworks.worker.agent_process import Placed, _own, facts_of


@pytest.mark.parametrize(("role", "writable"), [("implementer", True), ("reviewer", False)])
def test_it_is_told_whether_its_role_may_write_the_working_copy(role, writable):
    sandbox = SimpleNamespace(seen=lambda path, _: path)
    task = SimpleNamespace(role=role, owns=("a.txt",))
    agent, briefing = SimpleNamespace(role=role), SimpleNamespace(system="s", task="t")
    work = SimpleNamespace(task=task, agent=agent, model="p:m", wire="openai", token="t", limits=None, summary=None)
    config = load_config('gates = "none"\n[project]\nname = "shop"\n', name="swarm.toml", environment={})
    placed = Placed(SimpleNamespace(path=Path("/copy")), None, 8181)
    environment = SimpleNamespace(search_path=lambda: "/usr/bin")
    assert facts_of(sandbox, work, briefing, config, environment, placed, "").writable is writable


def test_a_program_of_its_own_is_its_path_alone(tmp_path):
    (tmp_path / "it").touch()
    assert _own(str(tmp_path / "it")) == (str(tmp_path / "it"),)
    assert _own("/opt/codex/codex") == ("/opt/codex/codex",)


def test_one_of_the_systems_goes_by_its_name_too_and_so_does_what_links_to_it(tmp_path):
    assert _own("/usr/bin/node") == ("/usr/bin/node", "node")
    link = tmp_path / "python"
    link.symlink_to("/usr/bin/env")
    assert _own(str(link)) == (str(link), "env")
