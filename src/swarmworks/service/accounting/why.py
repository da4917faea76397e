"""Why a change landed, or why a task stands where it stands: from the record alone, so that it is answered weeks later too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from swarmworks.base.ids import ChangeId, SwarmId, TaskId
from swarmworks.domain.change import Change, ChangeState
from swarmworks.domain.event import Event, first_break
from swarmworks.domain.session import Session
from swarmworks.domain.task import Task
from swarmworks.git.protocol import Hub
from swarmworks.service.accounting.facts import Facts, data_of, look, name_of, text, written_by
from swarmworks.store.protocol import Store
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire.why import WhyDecision, WhyGate, WhyReport, WhySession

MOST_TEXT = 2_000
MOST_SESSIONS = 100
DECISIONS = {
    "change.approved": "let into the merge queue",
    "change.landed": "landed",
    "change.rejected": "sent back",
    "review.approved": "approved",
    "review.rejected": "rejected",
    "review.advised": "advised",
    "question.answered": "answered",
    "task.retried": "tried again",
    "task.cancelled": "cancelled",
    "task.blocked": "blocked",
    "task.parked": "parked",
    "task.superseded": "landed within another task",
    "task.nothing_to_do": "nothing to do",
}


class Why:
    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub

    async def of_change(self, change_id: ChangeId) -> WhyReport:
        """NotFoundError when no swarm of this project made such a change."""
        swarm_id = await self._store.read(lambda reader: reader.change(change_id).swarm_id)
        facts = await self._store.read(lambda reader: look(reader, swarm_id))
        change = next(one for one in facts.changes if one.id == change_id)
        return await self._tell(facts, _task(facts, change.task_id), change)

    async def of_task(self, swarm_id: SwarmId, task_id: TaskId) -> WhyReport:
        """Its landed change, else its latest one, if it has any. NotFoundError when the swarm has no such task."""
        await self._store.read(lambda reader: reader.task(swarm_id, task_id))
        facts = await self._store.read(lambda reader: look(reader, swarm_id))
        mine = [change for change in facts.changes if change.task_id == task_id]
        good = [change for change in mine if change.state in {ChangeState.LANDED, ChangeState.PROVED}]
        change = next(iter((good or mine)[::-1]), None)
        return await self._tell(facts, _task(facts, task_id), change)

    async def _tell(self, facts: Facts, task: Task, change: Change | None) -> WhyReport:
        landed = change.landed if change else None
        tree = await asyncio.to_thread(self._hub.tree_of, landed) if landed else None
        sessions = [_session(facts, one) for one in facts.sessions if one.task_id == task.id]
        writer = written_by(facts, change).id if change else ""
        mine = [event for event in facts.events if event.task_id == task.id]
        landings = [event for event in mine if event.kind == "change.landed"]
        return WhyReport(
            swarm_id=facts.swarm.id,
            plan_id=facts.swarm.plan.id,
            plan_name=facts.swarm.plan.name,
            task_id=task.id,
            title=task.planned.title,
            kind=task.planned.kind,
            role=task.planned.role,
            state=task.state,
            note=(task.note or "")[:MOST_TEXT],
            change_id=change.id if change else None,
            change_state=str(change.state) if change else "",
            landed=landed,
            landed_at=landings[-1].at if landings and landed else None,
            done=handoff_wire.parse(change.handoff).done[:MOST_TEXT] if change else "",
            session=next((one for one in sessions if one.session_id == writer), None),
            sessions=tuple(sessions[-MOST_SESSIONS:]),
            gates=tuple(_gates(facts, change, tree)) if change else (),
            decisions=tuple(_decisions(facts, mine)),
            task_tokens=sum(one.tokens for one in sessions),
            task_cost_nano_usd=sum(one.cost_nano_usd for one in sessions),
            events=len(facts.events),
            chain_break=first_break(facts.events),
        )


def _task(facts: Facts, task_id: TaskId) -> Task:
    return next(task for task in facts.tasks if task.id == task_id)


def _session(facts: Facts, session: Session) -> WhySession:
    mine = [event for event in facts.events if event.session_id == session.id]
    ended = [data_of(event) for event in mine if event.kind == "session.ended"]
    taught = [text(data_of(event), "summary") for event in mine if event.kind == "change.rejected"]
    used = next((row for row in facts.usage if row.session_id == session.id), None)
    return WhySession(
        session_id=session.id,
        attempt=session.attempt,
        agent=name_of(session.agent_id),
        model=session.model,
        outcome=str(session.outcome or session.state),
        reason=(session.reason or "")[:MOST_TEXT],
        started_at=session.claimed_at,
        prompt_sha256=text(ended[-1], "prompt_sha256") if ended else "",
        tokens=used.spent.tokens if used else 0,
        cost_nano_usd=used.spent.nano_usd if used else 0,
        taught="; ".join(taught)[:MOST_TEXT],
        answered_by=tuple(row.model for row in facts.models if row.session_id == session.id),
    )


def _gates(facts: Facts, change: Change, tree: str | None) -> Iterator[WhyGate]:
    for run in facts.runs_of(change.id):
        for result in run.results:
            yield WhyGate(
                gate=result.gate,
                stage=run.stage,
                outcome=str(result.outcome),
                summary=result.summary[:MOST_TEXT],
                tree=run.tree,
                landed_tree=run.tree == tree,
                cached=result.cached,
            )


def _decisions(facts: Facts, events: list[Event]) -> Iterator[WhyDecision]:
    """Who let it go on or held it up, in order. A review is told with its question."""
    questions = {str(review.id): review.question for review in facts.reviews}
    for event in events:
        if event.kind not in DECISIONS:
            continue
        data = data_of(event)
        question = questions.get(text(data, "review"), "")
        gate = text(data, "gate")
        what = DECISIONS[event.kind] + (f" at {gate}" if gate else "") + (f": {question}" if question else "")
        reason = next(
            (text(data, key) for key in ("reason", "summary", "advice", "answer", "note") if data.get(key)), ""
        )
        by = text(data, "by") if event.actor == "platform" and data.get("by") else event.actor
        yield WhyDecision(at=event.at, by=by, what=what, reason=reason[:MOST_TEXT])
