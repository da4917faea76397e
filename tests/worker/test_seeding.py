"""A session of a `fix_bug` task begins with the parked change on the head of the integration branch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from swarmworks.git.clones import SharedClones
from swarmworks.git.hub import BareHub
from swarmworks.git.protocol import Identity
from swarmworks.worker.seeding import seed_of, start_commit
from tests.scenario.harness import repository, task

WHO = Identity("testing-1", "testing-1@example.invalid")
AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Work:
    base: str
    start: str | None = None
    start_base: str | None = None
    summary: str | None = None
    resolves: bool = False
    regenerates: bool = False
    task: object = task("fix-tests")


@pytest.fixture
def hub(tmp_path):
    return BareHub.open_or_create(tmp_path / "hub.git")


def commit(hub, tmp_path, parent, files):
    copies = SharedClones(hub.path, tmp_path / "copies", None)
    copy = copies.create("c", parent)
    for name, text in files.items():
        (copy.path / name).parent.mkdir(exist_ok=True)
        (copy.path / name).write_text(text)
    head = copies.snapshot(copy, "refs/swarm/work/x", "work\n", WHO, AT)
    copies.destroy(copy)
    return head


@pytest.fixture
def base(hub, tmp_path):
    first = repository(tmp_path / "repo", {"app.py": "x = 1\n", "tests/test_a.py": "a = 1\n"})
    hub.import_commit(tmp_path / "repo", first)
    return first


def test_without_a_parked_change_it_begins_with_the_base(hub, base):
    assert seed_of(hub, Work(base)) is None
    assert start_commit(hub, Work(base), AT) == base


def test_the_parked_change_is_applied_to_what_landed_meanwhile_and_counts_as_the_sessions_own(hub, base, tmp_path):
    parked = commit(hub, tmp_path, base, {"tests/test_b.py": "assert True\n"})
    landed = commit(hub, tmp_path, base, {"app.py": "x = 2\n"})
    start = start_commit(hub, Work(landed, parked, base), AT)
    assert [(one.path, one.status) for one in hub.changes(landed, start)] == [("tests/test_b.py", "A")]
    assert hub.read_file(start, "app.py") == b"x = 2\n"
    assert hub.is_ancestor(landed, start)
    assert seed_of(hub, Work(landed, parked, base)).paths == ("tests/test_b.py",)


def test_a_parked_change_that_conflicts_is_named_and_left_out(hub, base, tmp_path):
    parked = commit(hub, tmp_path, base, {"tests/test_a.py": "a = 2\n"})
    landed = commit(hub, tmp_path, base, {"tests/test_a.py": "a = 3\n"})
    seed = seed_of(hub, Work(landed, parked, base))
    assert (seed.tree, seed.conflicts) == (None, ("tests/test_a.py",))
    assert start_commit(hub, Work(landed, parked, base), AT) == landed


def test_a_parked_change_that_is_there_already_needs_no_commit(hub, base, tmp_path):
    parked = commit(hub, tmp_path, base, {"tests/test_b.py": "assert True\n"})
    assert start_commit(hub, replace(Work(parked), start=parked, start_base=base), AT) == parked
