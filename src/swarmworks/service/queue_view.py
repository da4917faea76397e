"""`swarm queue`: what waits in the merge queue, why it is where it is, and when it is expected to land."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from swarmworks.base.ids import ChangeId, WorkId
from swarmworks.domain.swarm import Swarm
from swarmworks.policy.queueing import Run, Snapshot, continues, group_size, remaining, standing_of
from swarmworks.service.queue_facts import Known, Look, look
from swarmworks.store.protocol import Reader
from swarmworks.wire.api import QueueRow, QueueStatus

MOST_TIMES = 30
"""Runs that ended lately, from which is told how long the next will take."""


@dataclass(frozen=True, slots=True)
class _Pace:
    """Seconds of a run as a rule, None before the first ended; how many changes are judged in that time."""

    run_s: float | None
    at_once: int


def queue_status(reader: Reader, swarm: Swarm, head: str, known: Known, now: datetime) -> QueueStatus:
    found = look(reader, swarm, head, known)
    seen = found.now
    branch = reader.queue_branch(swarm.id)
    times = reader.run_seconds(swarm.id, MOST_TIMES)
    size = group_size(known.rate)
    pace = _Pace(statistics.median(times) if times else None, max(1, seen.places * size))
    return QueueStatus(
        swarm_id=swarm.id,
        head=head,
        frozen=None if branch is None else branch.frozen,
        failure_percent=round(100 * known.rate, 1),
        run_s=pace.run_s,
        rows=(*(_row(reader, seen, place, now, pace) for place in range(len(seen.queue))), *_held(reader, found)),
    )


def _held(reader: Reader, found: Look) -> Iterator[QueueRow]:
    """Last, and without a time: who knows how long somebody else takes."""
    for place, (name, task) in enumerate(sorted(found.held.items()), len(found.now.queue) + 1):
        change = reader.change(name)
        yield QueueRow(
            place=place,
            task_id=change.task_id,
            change_id=change.id,
            submitted_at=change.submitted_at,
            state="held",
            why=f"waits for {task}, which mends a test that fails for others too",
            expected_s=None,
        )


def _row(reader: Reader, seen: Snapshot, place: int, now: datetime, pace: _Pace) -> QueueRow:
    name = seen.queue[place]
    run = next((one for one in seen.runs if one.verdict is None and name in one.changes[one.below :]), None)
    state, why = _standing(reader, seen, name, run)
    started = None if run is None else reader.run_started_at(WorkId(run.id))
    expected: float | None = None
    if pace.run_s is not None:
        left = pace.run_s if started is None else max(0.0, pace.run_s - (now - started).total_seconds())
        ahead = 0 if run is not None else math.ceil((place + 1) / pace.at_once)
        expected = round(left + (pace.run_s * (ahead - 1) if ahead > 1 else 0.0), 1)
    change = reader.change(ChangeId(name))
    return QueueRow(
        place=place + 1,
        task_id=change.task_id,
        change_id=change.id,
        submitted_at=change.submitted_at,
        state=state,
        why=why,
        expected_s=expected,
    )


def _standing(reader: Reader, seen: Snapshot, name: str, run: Run | None) -> tuple[str, str]:
    known = standing_of(seen)
    if run is not None:
        others = [one for one in remaining(run, seen.head) if one != name]
        on = f" together with {_tasks(reader, others)}" if others else ""
        return "judged", f"its gates run on the merged tree{on}"
    if name in known.cleared:
        waits = any(one.verdict is None and not one.lane and continues(one, seen.head) for one in seen.runs)
        return "passed", "lands after the run under way" if waits else "is merged onto the branch as it is now"
    for group in known.suspects:
        if name in group:
            many = f"a group of {len(group)} failed, and it is one of them: the group is halved"
            return "suspect", many if len(group) > 1 else "failed in a group, and is tried on its own"
    against = seen.conflicts.get(name, frozenset()) & set(seen.queue)
    if against:
        return "waiting", f"conflicts with {_tasks(reader, sorted(against))}, which may land first"
    return "waiting", "waits for a place"


def _tasks(reader: Reader, changes: list[str]) -> str:
    names = [reader.change(ChangeId(name)).task_id for name in changes[:3]]
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    return ", ".join(names) + more
