"""What becomes of a session's result: a change on its way to the gates, another attempt, or a blocked task.

Workers relay what agents say, so nothing of a result is taken on trust: the base is the one the session was given, the head
must descend from it, texts are bounded and cleaned, and the handoff is parsed before it is stored.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from swarmworks.base.clock import Clock
from swarmworks.base.errors import InvalidDocumentError
from swarmworks.base.ids import ChangeId, IdSource, QuestionId, SessionId, WorkId
from swarmworks.domain.budget import Amount
from swarmworks.domain.event import NewEvent
from swarmworks.domain.gate import GateStage
from swarmworks.domain.handoff import Handoff
from swarmworks.domain.lease import Capacity, WorkerLease, WorkKind
from swarmworks.domain.refs import pin_ref
from swarmworks.domain.session import Session, SessionLimits, SessionOutcome
from swarmworks.domain.task import TaskEvent
from swarmworks.git.protocol import Hub
from swarmworks.policy.purse import fits
from swarmworks.policy.retry import HeldUp, corrected, held_up_by_providers
from swarmworks.policy.wording import plain
from swarmworks.service import questions
from swarmworks.service.attempts import conclude
from swarmworks.service.parking import parked_change, tests_to_keep
from swarmworks.service.resolving import made_anew
from swarmworks.service.scheduling import purse
from swarmworks.store.protocol import NewChange, NewWork, Reader, Store, Tx
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire.options import from_json
from swarmworks.wire.work import GatesWork, SessionResult

GATES_NEED = Capacity(agents=0, cpu_slots=1, memory_bytes=512 << 20)
MOST_REASON = 600
MOST_PATH = 200
MOST_CHANGED = 50
MOST_PROBLEMS = 10
MOST_PROBLEM = 300
"""Together below the 64 KiB of an event, with four bytes for every character."""
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_NEVER_RAN = ("model_unavailable:", "the session could not be run")
"""How the reason begins when the platform, and not the session, is at fault."""
_STRANGE = "it handed in without having taken over from the session before it"


class Finishing:
    """`held_up`: what the gateway knows of a session and its providers."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        ids: IdSource,
        clock: Clock,
        least: Callable[[str], Amount],
        held_up: Callable[[SessionId], HeldUp] = lambda _session: HeldUp(),
    ) -> None:
        self._held_up = held_up
        self._store = store
        self._hub = hub
        self._ids = ids
        self._clock = clock
        self._least = least

    async def finish(self, lease: WorkerLease, work_id: WorkId, fence: int, result: SessionResult) -> None:
        """FenceLostError when the work is no longer the worker's; nothing is written then."""
        change_id, gates_id = self._ids.new("chg"), self._ids.new("wrk")
        question_id = QuestionId(self._ids.new("qst"))
        worked, limits, stopped, strange = await self._store.read(lambda reader: _worked(reader, work_id))
        held_up = self._held_up(worked.id)
        outcome, reason = corrected(result.outcome, result.reason or "", stopped=stopped, held_up=held_up)
        result = result.model_copy(update={"outcome": outcome, "reason": reason or None})
        if held_up_by_providers(outcome, reason, held_up, limits):
            result = result.model_copy(update={"outcome": SessionOutcome.INFRASTRUCTURE})
        if strange and result.outcome in {SessionOutcome.SUBMITTED, SessionOutcome.NOTHING_TO_DO}:
            result = result.model_copy(update={"outcome": SessionOutcome.FAILED, "reason": _STRANGE})
        checked = await asyncio.to_thread(self._checked, worked, result)
        if checked.outcome is SessionOutcome.SUBMITTED:  # whatever becomes of the session's own reference
            await asyncio.to_thread(self._hub.update_refs, {pin_ref(ChangeId(change_id)): checked.head})

        def write(tx: Tx) -> None:
            tx.finish_work(lease, work_id, fence, checked.model_dump_json(), swarm_id=worked.swarm_id)
            session = tx.session(worked.id)
            asked = questions.last_question(tx, question_id, session, _question(checked)) if _asks(checked) else None
            self._ended(tx, session, checked)
            questions.pass_on(tx, session)
            if asked is not None:
                questions.block(tx, session, asked)
                return
            questions.withdraw(tx, session)
            if checked.outcome in {SessionOutcome.SUBMITTED, SessionOutcome.NOTHING_TO_DO}:
                self._submitted(tx, session, checked, ChangeId(change_id), WorkId(gates_id))
            else:
                self._not_submitted(tx, session, checked)

        await self._store.transact(write)

    def _checked(self, worked: Session, result: SessionResult) -> SessionResult:
        """The result in terms of what the repository and the platform know."""
        base = worked.base_commit
        handoff, remark = _handoff(result)
        outcome, reason, head = result.outcome, result.reason, result.head
        if outcome is SessionOutcome.FAILED and (reason or "").startswith(_NEVER_RAN):
            outcome = SessionOutcome.INFRASTRUCTURE
        if not self._continues(base, head):
            outcome, head = SessionOutcome.FAILED, base
            reason = f"its commit {plain(result.head, 64)!r} does not continue the commit it was given"
        problems = (*remark, *result.problems)[:MOST_PROBLEMS]
        return result.model_copy(
            update={
                "outcome": outcome,
                "reason": plain(reason, MOST_REASON) if reason else None,
                "base": base,
                "head": head,
                "handoff": handoff,
                "problems": tuple(plain(text, MOST_PROBLEM) for text in problems),
                "changed": tuple(plain(path, MOST_PATH) for path in result.changed[:MOST_CHANGED]),
            }
        )

    def _continues(self, base: str, head: str) -> bool:
        if head == base:
            return True
        if not _COMMIT.fullmatch(head) or self._hub.resolve(head) != head:
            return False
        return self._hub.is_ancestor(base, head)

    def _ended(self, tx: Tx, session: Session, result: SessionResult) -> None:
        tx.end_session(session.id, result.outcome, result.reason)
        account = tx.account(session.account_id)
        data: dict[str, object] = {
            "outcome": str(result.outcome),
            "reason": result.reason or "",
            "base": result.base,
            "head": result.head,
            "changed": list(result.changed),
            "problems": list(result.problems),
            "sandbox": [plain(name, 40) for name in result.properties[:20]],
            "peak_memory_bytes": result.peak_memory_bytes,
            "prompt_sha256": plain(result.prompt_sha256, MOST_PATH),
            "tokens": account.spent.tokens,
            "cost_nano_usd": account.spent.nano_usd,
        }
        actor = f"agent:{session.agent_id.rpartition('/')[2]}"
        tx.append(session.swarm_id, NewEvent("session.ended", actor, data, session.task_id, session.id))

    def _submitted(
        self, tx: Tx, session: Session, result: SessionResult, change_id: ChangeId, gates_id: WorkId
    ) -> None:
        """A change that changes nothing claims that nothing is to be done: all its gates must prove it."""
        empty = result.outcome is SessionOutcome.NOTHING_TO_DO
        head = result.base if empty else result.head
        anew = made_anew(tx, session, tx.task(session.swarm_id, session.task_id))
        handoff = result.handoff or _EMPTY if anew is None else anew.handoff  # what its agent says of it is still so
        tx.insert_change(NewChange(change_id, session.id, result.base, head, handoff))
        task = tx.move_task(session.swarm_id, session.task_id, TaskEvent.SUBMIT)
        payload = GatesWork(
            work_id=gates_id,
            fence=0,
            need=GATES_NEED,
            swarm_id=session.swarm_id,
            task=task.planned,
            change_id=change_id,
            stage=GateStage.CANDIDATE if empty else GateStage.CHANGE,
            base=result.base,
            head=head,
            floors=dict(tx.swarm(session.swarm_id).plan.floors),
            tests=tests_to_keep(tx, parked_change(tx, session.swarm_id, task.planned)),
        )
        tx.enqueue_work(
            NewWork(
                id=gates_id,
                kind=WorkKind.GATES,
                swarm_id=session.swarm_id,
                task_id=session.task_id,
                subject=change_id,
                need=GATES_NEED,
                payload=payload.model_dump_json(),
                priority=task.rank,
            )
        )
        data = {"change": change_id, "head": head, "empty": empty}
        tx.append(session.swarm_id, NewEvent("change.submitted", "platform", data, session.task_id, session.id))

    def _not_submitted(self, tx: Tx, session: Session, result: SessionResult) -> None:
        swarm = tx.swarm(session.swarm_id)
        totals = tx.totals(swarm.account_id)
        least = self._least(from_json(swarm.options).model)
        limit, spent, calls = totals.limit, totals.spent, totals.calls
        stopped = tx.session_stops([session.id]).get(session.id)
        ended = stopped if result.outcome is SessionOutcome.STOPPED else None
        refused = ended is not None and purse.note_refusal(tx, swarm, ended, least)
        full = purse.paused_by(tx, swarm, least) is not None  # it waits for the next day: no fault of the task's
        empty = refused or full or not fits(limit, spent, least, calls=calls)
        conclude(tx, session, result.outcome, result.reason, swarm_out_of_budget=empty)


def _worked(reader: Reader, work_id: WorkId) -> tuple[Session, SessionLimits, str | None, bool]:
    """The session, its limits, for what the gateway had it ended, and whether it was to take over from another session and
    has not shown that it knows its task.
    """
    session = reader.session(SessionId(reader.work(work_id).subject))
    limits = from_json(reader.swarm(session.swarm_id).options).config.session_limits()
    stopped = reader.session_stops([session.id]).get(session.id)
    return session, limits, stopped, reader.takeover_pending(session.id)


def _asks(result: SessionResult) -> bool:
    return result.outcome is SessionOutcome.ASKED


def _question(result: SessionResult) -> str:
    """What it says that it must know; a session without a readable handoff has asked by its tool, or says nothing."""
    asked = handoff_wire.parse(result.handoff).question if result.handoff is not None else ""
    return asked or result.reason or "It needs a person, and did not say for what."


_EMPTY = handoff_wire.dump(Handoff("submitted", ""))


def _handoff(result: SessionResult) -> tuple[str | None, tuple[str, ...]]:
    """The handoff in its stored form, and what was wrong with the one that was given."""
    if result.handoff is None:
        return None, ()
    try:
        return handoff_wire.dump(handoff_wire.parse(result.handoff)), ()
    except InvalidDocumentError as error:
        return None, (f"its handoff could not be read and was left out: {error}",)
