"""Everything about one item of the inbox that a person needs to decide: what happened, what was tried, the difference."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from swarmworks.base.clock import Clock
from swarmworks.base.errors import InvalidDocumentError, NotFoundError, UsageError
from swarmworks.base.ids import ChangeId, DeliveryId, SwarmId
from swarmworks.domain.agent import REVIEWER
from swarmworks.domain.change import Change
from swarmworks.domain.gate import GateOutcome, GateResult
from swarmworks.domain.plan import PlannedTask
from swarmworks.domain.review import ReviewState, ReviewSubject
from swarmworks.domain.session import Session
from swarmworks.domain.swarm import Swarm
from swarmworks.domain.task import Task
from swarmworks.git.protocol import FileChange, Hub
from swarmworks.policy.dependents import dependents_of
from swarmworks.policy.planning.effects import effects
from swarmworks.service.inbox.items import items
from swarmworks.store.protocol import Reader, Store
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.inbox import ChangedFile, ChangeSize, Inbox, InboxAttempt, InboxDetail, InboxFinding, InboxItem
from swarmworks.wire.work import RESULT, SessionResult

MOST_DIFF_BYTES = 200 << 10
MOST_FILES = 500
MOST_ATTEMPTS = 20
MOST_FINDINGS = 30
MOST_TEXT = 8_000
MOST_TASKS = 500


@dataclass(frozen=True, slots=True)
class _Span:
    """What the difference is between."""

    base: str
    head: str


class InboxView:
    def __init__(self, store: Store, hub: Hub, clock: Clock) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock

    async def inbox(self, swarm_id: SwarmId | None = None) -> Inbox:
        """Of one swarm, or of all of them."""
        now = self._clock.now()

        def look(reader: Reader) -> list[InboxItem]:
            swarms = reader.swarms() if swarm_id is None else [reader.swarm(swarm_id)]
            return items(reader, now, swarms)

        return Inbox(items=tuple(await self._store.read(look)))

    async def detail(self, wanted: str) -> InboxDetail:
        """NotFoundError when nothing waits under that id, UsageError when several things could be meant."""
        now = self._clock.now()

        def look(reader: Reader) -> tuple[InboxDetail, _Span | None]:
            item = _meant(items(reader, now, reader.swarms()), wanted)
            swarm = reader.swarm(item.swarm_id)
            task = None if item.task_id is None else reader.task(swarm.id, item.task_id)
            detail = _of_task(reader, swarm, item, task) if task is not None else _of_plan(swarm, item)
            return detail, _span(reader, item)

        detail, span = await self._store.read(look)
        return detail if span is None else await asyncio.to_thread(self._with_diff, detail, span)

    def _with_diff(self, detail: InboxDetail, span: _Span) -> InboxDetail:
        changed = self._hub.changes(span.base, span.head)
        diff = self._hub.diff(span.base, span.head, limit_bytes=MOST_DIFF_BYTES)
        return detail.model_copy(
            update={
                "changed": tuple(
                    ChangedFile(path=f.path, status=f.status, added=f.added, removed=f.removed)
                    for f in changed[:MOST_FILES]
                ),
                "whole": _size(changed) if len(changed) > MOST_FILES else None,
                "diff": diff,
                "diff_cut": len(diff.encode()) >= MOST_DIFF_BYTES,
            }
        )


def _meant(found: Iterable[InboxItem], wanted: str) -> InboxItem:
    known = list(found)
    whole = [one for one in known if wanted in {one.id, one.task_id, f"{one.swarm_id}:{one.task_id}"}]
    meant = whole or [one for one in known if wanted and (wanted in one.id or wanted in (one.task_id or ""))]
    if len(meant) == 1:
        return meant[0]
    if meant:
        named = ", ".join(f"{one.id} ({one.swarm_id})" for one in meant[:5])
        raise UsageError(f"{wanted!r} could be any of {named}", where="ID", mend="write more of the id")
    raise NotFoundError(f"nothing waits under {wanted!r}", where="ID", mend="see what waits with `swarm inbox`")


def _of_plan(swarm: Swarm, item: InboxItem) -> InboxDetail:
    if item.subject != ReviewSubject.PLAN:
        return InboxDetail(item=item)
    tasks = swarm.plan.tasks
    return InboxDetail(
        item=item,
        instructions=swarm.plan.description[:MOST_TEXT],
        plan=tuple(_planned(task) for task in tasks[:MOST_TASKS]),
        tasks=len(tasks) if len(tasks) > MOST_TASKS else 0,
    )


def _planned(task: PlannedTask) -> str:
    return f"{task.id}  {task.title}  ({task.kind}, {task.role}) {effects(task)}"


def _size(changed: Sequence[FileChange]) -> ChangeSize:
    return ChangeSize(
        files=len(changed),
        added=sum(one.added or 0 for one in changed),
        removed=sum(one.removed or 0 for one in changed),
    )


def _of_task(reader: Reader, swarm: Swarm, item: InboxItem, task: Task) -> InboxDetail:
    planned = task.planned
    sessions = [one for one in reader.sessions(swarm.id, task_id=task.id) if not _reviewed(one)]
    changes = {change.session_id: change for change in reader.changes(swarm.id, task_id=task.id)}
    attempts = [_attempt(reader, one, changes.get(one.id)) for one in sessions[-MOST_ATTEMPTS:]]
    summary, findings = _rejection(task)
    return InboxDetail(
        item=item,
        instructions=planned.instructions[:MOST_TEXT],
        acceptance=tuple(each.statement for each in planned.acceptance),
        rejection=summary,
        findings=findings,
        attempts=tuple(attempts),
        dependents=dependents_of(task.id, [one.planned for one in reader.tasks(swarm.id)]),
        guidance=(task.guidance.note or "") if task.guidance else "",
    )


def _reviewed(session: Session) -> bool:
    return session.agent_id.rpartition("/")[2].startswith(f"{REVIEWER}-")


def _attempt(reader: Reader, session: Session, change: Change | None) -> InboxAttempt:
    spent = reader.account(session.account_id).spent
    runs = reader.gate_runs(change.id) if change is not None else []
    latest = {result.gate: result for run in runs for result in run.results}
    failed = [one for one in latest.values() if one.outcome is not GateOutcome.PASSED]
    words = _reviewers(reader, change)
    return InboxAttempt(
        session_id=session.id,
        attempt=session.attempt,
        agent=session.agent_id.rpartition("/")[2],
        model=session.model,
        started_at=session.started_at or session.claimed_at,
        ended_at=session.ended_at,
        outcome=str(session.outcome or session.state),
        reason=session.reason or "",
        did=_did(reader, session),
        cost_nano_usd=spent.nano_usd,
        tokens=spent.tokens,
        change_id=change.id if change else None,
        change_state=str(change.state) if change else None,
        passed=tuple(one.gate for one in latest.values() if one.outcome is GateOutcome.PASSED),
        failed=tuple(f"{one.gate} {one.outcome.replace('_', ' ')}: {one.summary}"[:500] for one in failed),
        findings=(*_findings(failed), *words)[:MOST_FINDINGS],
    )


def _findings(failed: Iterable[GateResult]) -> list[InboxFinding]:
    return [
        InboxFinding(gate=result.gate, file=one.file, line=one.line, message=one.message)
        for result in failed
        for one in result.findings
    ]


def _reviewers(reader: Reader, change: Change | None) -> list[InboxFinding]:
    if change is None:
        return []
    refused = reader.reviews(change.swarm_id, states=(ReviewState.REJECTED,), subject_id=change.id)
    return [InboxFinding(gate=f"review {one.gate}", message=f"{one.decided_by}: {one.reason}") for one in refused]


def _did(reader: Reader, session: Session) -> str:
    text = reader.session_result(session.id)
    result = RESULT.validate_json(text) if text is not None else None
    if not isinstance(result, SessionResult) or result.handoff is None:
        return ""
    try:
        return handoff_wire.parse(result.handoff).done[:MOST_TEXT]
    except InvalidDocumentError:
        return ""


def _rejection(task: Task) -> tuple[str, tuple[InboxFinding, ...]]:
    if task.rejection is None:
        return "", ()
    rejection = rejection_wire.parse(task.rejection)
    found = [
        InboxFinding(gate=one.gate, file=one.file, line=one.line, message=one.message) for one in rejection.findings
    ]
    return rejection.summary, tuple(found[:MOST_FINDINGS])


def _span(reader: Reader, item: InboxItem) -> _Span | None:
    """The change that is asked about, or the last attempt that wrote something."""
    if item.subject == ReviewSubject.CHANGE and item.subject_id is not None:
        change = reader.change(ChangeId(item.subject_id))
        return _Span(change.base, change.head)
    if item.subject == ReviewSubject.DELIVERY and item.subject_id is not None:
        delivery = reader.delivery(DeliveryId(item.subject_id))
        return _Span(delivery.tip or reader.swarm(item.swarm_id).base, delivery.candidate or delivery.head)
    if item.task_id is None:
        return None
    for session in reversed(reader.sessions(item.swarm_id, task_id=item.task_id)):
        text = reader.session_result(session.id)
        result = RESULT.validate_json(text) if text is not None else None
        if isinstance(result, SessionResult) and result.head != result.base:
            return _Span(result.base, result.head)
    return None
