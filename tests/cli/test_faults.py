"""Asking for faults, and what is said of them at the end."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from swarmworks.base.errors import UsageError
from swarmworks.cli.faults import Injected, caught_by, erring_model, fault_log, injected, said_of
from swarmworks.wire.api import EventRow

MODEL = "rehearsal:faults-many-7"


def fault(kind: str, path: str = "app/api/task_list.py", task: str = "endpoint-task-list") -> Injected:
    return Injected(kind, f"what {kind} is", task, 1, path)


def event(named: str, task: str, **data) -> EventRow:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return EventRow(seq=1, at=at, kind=named, actor="platform", task_id=task, session_id=None, data=data)


def test_only_the_rehearsal_model_errs_on_purpose():
    assert erring_model("openai:gpt-5", None, 1) == "openai:gpt-5"
    assert erring_model("rehearsal:rehearsal", "some", 7) == "rehearsal:faults-some-7"
    assert erring_model("rehearsal:faults-some-7", "none", 7) == "rehearsal:rehearsal"
    with pytest.raises(UsageError, match="only the rehearsal model") as refused:
        erring_model("openai:gpt-5", "some", 1)
    assert refused.value.mend


def test_a_fault_is_counted_once_and_only_for_the_model_that_made_it(tmp_path):
    assert injected(tmp_path, MODEL) == []
    row = {"model": "faults-many-7", "fault": "loop", "what": "again", "task": "t1", "attempt": 1, "path": ""}
    lines = [row, {**row, "at": "later"}, {**row, "model": "faults-some-7"}, {**row, "task": "t2"}]
    fault_log(tmp_path).parent.mkdir()
    fault_log(tmp_path).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert injected(tmp_path, MODEL) == [Injected("loop", "again", "t1", 1), Injected("loop", "again", "t2", 1)]


@pytest.mark.parametrize(
    ("kind", "seen", "words"),
    [
        ("scope", event("change.rejected", "endpoint-task-list", kind="scope"), "scope gate"),
        ("conflict", event("change.rejected", "endpoint-task-list", kind="conflict"), "merge queue"),
        ("loop", event("session.ended", "endpoint-task-list", reason="loop: the same call"), "agent ended the session"),
        ("bug", event("change.rejected", "endpoint-task-list", kind="gate_failed"), "tests gate"),
        ("bug", event("task.parked", "tests-task-list", fix="fix-tests-task-list"), "mended by fix-tests-task-list"),
    ],
)
def test_what_caught_a_fault_is_read_from_the_record(kind, seen, words):
    elsewhere = seen.model_copy(update={"task_id": "tests-user-list"})
    assert words in caught_by(fault(kind), [seen])
    assert words not in caught_by(fault(kind), [elsewhere])


def test_what_nothing_caught_is_said_so():
    lines = list(said_of([fault("bug"), fault("bug"), fault("rate_limited")], []))
    assert lines[0] == "The rehearsal model erred 3 times, on purpose:"
    assert any("not caught" in line for line in lines)
