from __future__ import annotations

import contextlib
import json
import os

import pytest

from swarmworks.base.removal import remove_tree
from swarmworks.git.best import best_copies
from swarmworks.git.hub import BareHub
from swarmworks.git.mounting import unmount
from swarmworks.sandbox import disk
from tests.base.test_removal import nested
from tests.cli.conftest import Swarm
from tests.cli.fakes import FakeLauncher
from tests.scenario.harness import repository


@pytest.fixture
def launcher(tmp_path):
    return FakeLauncher(tmp_path)


@pytest.fixture
def copies(launcher, tmp_path):
    state = launcher.project(tmp_path).state
    hub = BareHub.open_or_create(state / "hub.git")
    hub.import_commit(tmp_path / "repo", base := repository(tmp_path / "repo", {"a.txt": "x\n"}))
    made = best_copies(hub.path, state / "copies", None)
    kept = made.create("swm-one-1", base, "refs/swarm/work/swm/one/1")
    (kept.path / "build.log").write_text("x" * 100)
    made.retire(kept)
    at_work = made.create("swm-two-1", base, "refs/swarm/work/swm/two/1")
    yield made
    unmount(at_work.path)


def test_what_is_kept_is_listed_with_where_to_look(copies, launcher, swarm: Swarm):
    ran = swarm(launcher, "copies")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].startswith("swm-two-1  at work  ")
    assert lines[1].startswith("swm-one-1  kept  ")
    assert lines[2].startswith("2 working copies, ")
    [_, row] = json.loads(swarm(launcher, "copies", "--json").out)
    assert (row["name"], row["kept"], row["ref"]) == ("swm-one-1", True, "refs/swarm/work/swm/one/1")
    assert (copies.places(copies.retired()[0])[0] / "build.log").read_text() == "x" * 100
    assert row["path"] == str(copies.places(copies.retired()[0])[0])


def test_one_is_given_up_by_its_name_only(copies, launcher, swarm: Swarm):
    wrong = swarm(launcher, "copies", "--discard", "swm-three-1")
    assert wrong.code == 2
    assert "one of: swm-one-1" in wrong.err
    ran = swarm(launcher, "copies", "--discard", "swm-one-1")
    assert ran.out == "discarded swm-one-1; what was to be handed in stays on refs/swarm/work/swm/one/1\n"
    assert copies.retired() == []
    assert len(copies.existing()) == 1


def test_one_in_which_a_session_works_is_not_given_up(copies, launcher, swarm: Swarm):
    ran = swarm(launcher, "copies", "--discard", "swm-two-1")
    assert ran.code != 0
    assert "a session works in swm-two-1" in ran.err
    assert len(copies.existing()) == 1


def test_their_sizes_are_those_of_all_that_lies_in_them(copies, launcher, swarm: Swarm):
    before, kept = _sizes(launcher, swarm)
    place = copies.places(copies.existing()[0])[0]
    (place / "deep/er").mkdir(parents=True)
    for name in ("one", "two", "three"):
        (place / "deep/er" / name).write_bytes(b"x" * (1 << 20))
    (place / "link").symlink_to("/usr")
    after, still = _sizes(launcher, swarm)
    assert 3 << 20 <= after - before < 4 << 20
    assert still == kept
    assert "MiB" in swarm(launcher, "copies").out.splitlines()[0]


def test_what_an_agent_removes_while_it_is_measured_counts_as_nothing(copies, launcher, swarm: Swarm, monkeypatch):
    place, real = copies.places(copies.existing()[0])[0], os.scandir
    (place / "passing").write_bytes(b"x" * (3 << 20))

    @contextlib.contextmanager
    def scan(folder):
        with real(folder) as entries:
            found = list(entries)
            (place / "passing").unlink(missing_ok=True)
            yield found

    monkeypatch.setattr(disk.os, "scandir", scan)
    assert _sizes(launcher, swarm)[0] < 1 << 20


def test_folders_nested_a_thousand_deep_stop_nothing(copies, launcher, swarm: Swarm):
    place = copies.places(copies.existing()[0])[0]
    (place / "large").write_bytes(b"x" * (3 << 20))
    nested(place)
    try:
        assert _sizes(launcher, swarm)[0] >= 3 << 20
    finally:
        remove_tree(place / "d")


def _sizes(launcher, swarm):
    """Of the one at work and of the one that is kept."""
    ran = swarm(launcher, "copies", "--json")
    assert ran.code == 0, ran.err
    return [row["disk_bytes"] for row in json.loads(ran.out)]
