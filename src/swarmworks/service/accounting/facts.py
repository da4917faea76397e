"""What a report is made of, read in one snapshot."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from swarmworks.base.ids import AgentId, ChangeId, SwarmId, TaskId
from swarmworks.domain.change import Change
from swarmworks.domain.delivery import Delivery
from swarmworks.domain.event import Event
from swarmworks.domain.question import Question
from swarmworks.domain.review import Review
from swarmworks.domain.session import COSTS_AN_ATTEMPT, Session, SessionOutcome
from swarmworks.domain.swarm import Swarm
from swarmworks.domain.task import Task
from swarmworks.policy import authorship
from swarmworks.policy.authorship import only_made_anew
from swarmworks.store.protocol import GateRun, ModelUsage, Peak, Reader, SessionUsage, Totals

EVENT_PAGE = 5_000
HANDED_IN = frozenset({SessionOutcome.SUBMITTED, SessionOutcome.NOTHING_TO_DO})


@dataclass(frozen=True, slots=True)
class Facts:
    swarm: Swarm
    tasks: list[Task]
    sessions: list[Session]
    changes: list[Change]
    runs: list[GateRun]
    usage: list[SessionUsage]
    models: list[ModelUsage]
    totals: Totals
    peak: Peak
    events: list[Event]
    reviews: list[Review]
    questions: list[Question]
    deliveries: list[Delivery]

    def seconds(self, at: datetime) -> float:
        """After the swarm was created."""
        return max(0.0, (at - self.swarm.created_at).total_seconds())

    def runs_of(self, change_id: ChangeId) -> list[GateRun]:
        return [run for run in self.runs if run.change_id == change_id]


def look(reader: Reader, swarm_id: SwarmId) -> Facts:
    swarm = reader.swarm(swarm_id)
    changes = reader.changes(swarm_id)
    events: list[Event] = []
    while page := reader.events(swarm_id, after=len(events), limit=EVENT_PAGE):
        events += page
    return Facts(
        swarm=swarm,
        tasks=reader.tasks(swarm_id),
        sessions=reader.sessions(swarm_id),
        changes=changes,
        runs=[run for change in changes for run in reader.gate_runs(change.id)],
        usage=reader.session_usage(swarm_id),
        models=reader.model_usage(swarm_id),
        totals=reader.totals(swarm.account_id),
        peak=reader.peak(swarm_id),
        events=events,
        reviews=reader.reviews(swarm_id),
        questions=reader.questions(swarm_id),
        deliveries=reader.deliveries(swarm_id),
    )


def of_agents(facts: Facts) -> list[Session]:
    """The sessions of those who were given the tasks: without the models that looked at their changes."""
    started = (event for event in facts.events if event.kind == "session.started")
    looks = {event.session_id for event in started if "review" in data_of(event)}
    return [session for session in facts.sessions if session.id not in looks]


def tried(facts: Facts, session: Session) -> bool:
    """Whether it handed in, or cost an attempt: no first one is lost by a handover, a question or a worker that is gone."""
    ended = session.outcome in HANDED_IN or session.outcome in COSTS_AN_ATTEMPT
    return ended and not made_anew(facts, session)


def made_anew(facts: Facts, session: Session) -> bool:
    return only_made_anew(session, _kind(facts, session.task_id))


def written_by(facts: Facts, change: Change) -> Session:
    changes = [one for one in facts.changes if one.task_id == change.task_id]
    sessions = {one.id: one for one in facts.sessions}
    return authorship.written_by(change, changes, sessions.__getitem__, _kind(facts, change.task_id))


def _kind(facts: Facts, task_id: TaskId) -> str:
    return next((task.planned.kind for task in facts.tasks if task.id == task_id), "")


def name_of(agent_id: AgentId) -> str:
    return agent_id.rpartition("/")[2]


def data_of(event: Event) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(event.data))


def text(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    return "" if value is None else str(value)
