"""The record of a task in words for its agent: what it is, where it stands, and why earlier attempts did not land.

For agents whose program forgot its prompt, or never had all of it. What agents and programs wrote stands in fences.
"""

from __future__ import annotations

from collections.abc import Iterable

from swarmworks.domain.gate import GateOutcome
from swarmworks.domain.session import Session, SessionState
from swarmworks.domain.task import Task
from swarmworks.policy.wording import fenced, plain, untrusted
from swarmworks.store.protocol import Reader, Store
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.options import from_json

MOST_ATTEMPTS = 10
MOST_LINE = 600


class TaskRecord:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def task(self, session: Session) -> str:
        return await self._store.read(lambda reader: "\n".join(_task(reader, session)))

    async def rejections(self, session: Session) -> str:
        return await self._store.read(lambda reader: _rejections(reader, session))


def _task(reader: Reader, session: Session) -> Iterable[str]:
    task = reader.task(session.swarm_id, session.task_id)
    swarm = reader.swarm(session.swarm_id)
    planned = task.planned
    attempts = from_json(swarm.options).config.limits.attempts
    yield f"# Task {task.id}: {plain(planned.title, MOST_LINE)}"
    yield f"Kind: {planned.kind}. Role: {planned.role}. Attempt {task.attempts + 1} of {attempts}."
    yield f"\nFiles you own:{_listed(planned.owns)}"
    yield f"\n## What to do\n\n{planned.instructions.strip()}"
    yield from _section("Interfaces to keep", planned.contracts)
    yield from _section("Acceptance", (f"{one.statement} (gate: {one.gate})" for one in planned.acceptance))
    yield from _section("Tasks it builds on", (f"{one}: {_state(reader, task, one)}" for one in planned.depends_on))
    if planned.specification.strip():
        yield f"\n## Specification\n\n{fenced(planned.specification, 'yaml')}"
    if task.guidance is not None and task.guidance.note:
        yield f"\n## What a person decided\n\n{task.guidance.note}"


def _state(reader: Reader, task: Task, task_id: str) -> str:
    found = next((one for one in reader.tasks(task.swarm_id) if one.id == task_id), None)
    return str(found.state) if found else "unknown"


def _listed(items: Iterable[str]) -> str:
    return "".join(f"\n- {item}" for item in items) or " none"


def _section(title: str, items: Iterable[str]) -> Iterable[str]:
    rows = _listed(plain(item, MOST_LINE) for item in items)
    if rows != " none":
        yield f"\n## {title}\n{rows}"


def _rejections(reader: Reader, session: Session) -> str:
    task = reader.task(session.swarm_id, session.task_id)
    parts: list[str] = []
    if task.rejection is not None:
        latest = rejection_wire.as_yaml(rejection_wire.parse(task.rejection))
        parts.append(f"# Why the last attempt was rejected\n\n{untrusted(latest, 'Gates and reviews')}")
    rows = list(_attempts(reader, session))
    if rows:
        parts.append("# Earlier attempts, the oldest first\n\n" + untrusted("\n".join(rows), "The platform and agents"))
    return "\n\n".join(parts) or "No attempt at this task was rejected."


def _attempts(reader: Reader, session: Session) -> Iterable[str]:
    ended = reader.sessions(session.swarm_id, task_id=session.task_id, states=(SessionState.ENDED,))
    changes = {change.session_id: change for change in reader.changes(session.swarm_id, task_id=session.task_id)}
    for one in ended[-MOST_ATTEMPTS:]:
        agent = one.agent_id.rpartition("/")[2]
        line = f"attempt {one.attempt} by {agent}: {one.outcome}"
        line += f" ({plain(one.reason, MOST_LINE)})" if one.reason else ""
        change = changes.get(one.id)
        if change is not None:
            latest = {result.gate: result for run in reader.gate_runs(change.id) for result in run.results}
            failed = [result for result in latest.values() if result.outcome is not GateOutcome.PASSED]
            line += f"; change {change.state}"
            line += "".join(f"; {each.gate} {each.outcome}: {plain(each.summary, MOST_LINE)}" for each in failed)
        yield line.replace("\n", " ")
