from __future__ import annotations

import json

import pytest

from swarmworks.base.errors import NotFoundError
from swarmworks.git.hub import BareHub
from tests.cli import sample
from tests.cli.conftest import Swarm
from tests.cli.fakes import FakeLauncher, FakePlane
from tests.scenario.harness import git, repository


@pytest.fixture
def launcher(tmp_path):
    repository(tmp_path, {"app/mine.py": "by hand\n"})
    (tmp_path / "app/theirs.py").write_text("made\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "The user's table\n\nSwarm-Task: schema-user\nSwarm-Change: chg_1")
    BareHub.open_or_create(tmp_path / ".swarm" / "hub.git")
    return FakeLauncher(tmp_path, FakePlane([sample.status("landed")]), running=True)


def asked(launcher):
    return [path.removeprefix("/api/v1/") for _, path, _ in launcher.plane.requests if path.endswith("/why")]


def test_a_line_is_followed_to_its_change(launcher, swarm: Swarm, tmp_path):
    ran = swarm(launcher, "why", "app/theirs.py:1")
    assert (ran.code, asked(launcher)) == (0, ["changes/chg_1/why"])
    assert "schema-user: The user's table" in ran.out
    assert "it landed as 8af13b0c55" in ran.err
    head = git(tmp_path, "rev-parse", "HEAD")
    assert f"app/theirs.py:1, from {head[:10]}: made\n" in ran.err
    assert "not as it is committed" not in ran.err


def test_a_file_that_was_changed_since_is_said_to_be_so(launcher, swarm: Swarm, tmp_path):
    (tmp_path / "app/theirs.py").write_text("mine\nmade\n")
    ran = swarm(launcher, "why", "app/theirs.py:1", "--json")
    head = git(tmp_path, "rev-parse", "HEAD")[:10]
    assert f"note: app/theirs.py is not as it is committed; its lines are counted as of {head}" in ran.err
    assert ": made\n" in ran.err
    assert json.loads(ran.out)["task_id"] == "schema-user"
    assert "not as it is committed" in swarm(launcher, "why", "app/theirs.py:2").err, "a line that is not committed yet"


@pytest.mark.parametrize("of", ["app/gone.py:1", "app:1", "/dev/zero:1"])
def test_where_there_is_no_file_nothing_is_said_of_it(launcher, swarm: Swarm, of):
    assert "not as it is committed" not in swarm(launcher, "why", of).err


def test_a_link_is_as_committed_while_it_leads_there(launcher, swarm: Swarm, tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "A link")
    assert "not as it is committed" not in swarm(launcher, "why", "link:1").err
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("elsewhere")
    assert "not as it is committed" in swarm(launcher, "why", "link:1").err


def test_line_ends_that_git_turns_are_no_change(launcher, swarm: Swarm, tmp_path):
    (tmp_path / "app/theirs.py").write_bytes(b"made\r\n")
    assert "not as it is committed" not in swarm(launcher, "why", "app/theirs.py:1").err


def test_a_line_is_printed_whole_and_steers_no_terminal(launcher, swarm: Swarm, tmp_path):
    (tmp_path / "app/odd.py").write_bytes(b"one\ftwo\rthree\xc2\x9b2J\nlast")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "Odd")
    assert ": one two three 2J\n" in swarm(launcher, "why", "app/odd.py:1").err
    assert "app/odd.py has 2 lines" in swarm(launcher, "why", "app/odd.py:3").err


def test_a_line_is_named_from_where_the_person_stands(launcher, swarm: Swarm, tmp_path, monkeypatch):
    run = swarm  # the fixture has changed the folder already
    monkeypatch.chdir(tmp_path / "app")
    assert run(launcher, "why", "theirs.py:1").code == 0


def test_a_line_written_by_hand_names_who_wrote_it(launcher, swarm: Swarm):
    ran = swarm(launcher, "why", "app/mine.py:1")
    assert ran.code == 2
    assert "is not from a swarm: Person wrote it" in ran.err
    assert "'first'" in ran.err


def test_a_commit_and_a_task_are_found(launcher, swarm: Swarm, tmp_path):
    head = git(tmp_path, "rev-parse", "HEAD")
    ran = swarm(launcher, "why", head[:9], "--json")
    assert json.loads(ran.out)["task_id"] == "schema-user"
    swarm(launcher, "why", "schema-user")
    assert asked(launcher) == ["changes/chg_1/why", f"swarms/{sample.SWARM}/tasks/schema-user/why"]


def test_a_name_that_is_no_task_may_be_a_branch(launcher, swarm: Swarm):
    launcher.plane.errors["why"] = NotFoundError("no such task")
    ran = swarm(launcher, "why", "neither")
    assert ran.code == 2
    assert "'neither' is no commit here, and no task of swarm" in ran.err
    swarm(launcher, "why", "main")
    assert asked(launcher)[-1] == "changes/chg_1/why"


@pytest.mark.parametrize("of", ["app/theirs.py:9", "none.py:1", "--upload-pack=x:1"])
def test_what_is_not_there_is_an_error_in_words(launcher, swarm: Swarm, of):
    ran = swarm(launcher, "why", "--", of)
    assert ran.code == 2
    assert "Traceback" not in ran.err
