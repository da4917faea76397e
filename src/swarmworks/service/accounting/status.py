"""Where a swarm stands now, from one snapshot of the store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping

from swarmworks.base.clock import Clock
from swarmworks.base.ids import AgentId, SessionId, SwarmId
from swarmworks.domain.budget import Window
from swarmworks.domain.change import ChangeState
from swarmworks.domain.delivery import DeliveryState
from swarmworks.domain.gate import COVERAGE_PERCENT
from swarmworks.domain.question import QuestionState
from swarmworks.domain.review import ReviewState
from swarmworks.domain.session import Session, SessionState
from swarmworks.domain.swarm import Swarm, SwarmState
from swarmworks.domain.task import SATISFIED, Task, TaskState
from swarmworks.git.protocol import Hub
from swarmworks.policy.ledger import used_percent
from swarmworks.store.protocol import Reader, Store
from swarmworks.wire.api import (
    AgentStatus,
    BlockedTask,
    EventRow,
    MoneyStatus,
    ProviderStatus,
    SwarmStatus,
    SwarmSummary,
    WindowStatus,
)
from swarmworks.wire.options import from_json

ENDED = frozenset({SwarmState.STOPPED, SwarmState.BLOCKED, SwarmState.LANDED})
ANSWERS = "answers"
MOST_CHANGES_LOOKED_AT = 30


class Status:
    """`doing` gives the latest activity of a swarm's sessions in a few words; `providers` how their accounts stand here,
    `fallbacks` the models that answer in the place of a tier's first choice.
    """

    def __init__(
        self,
        store: Store,
        hub: Hub,
        clock: Clock,
        doing: Callable[[Reader, SwarmId], Mapping[SessionId, str]],
        providers: Callable[[], tuple[ProviderStatus, ...]] = tuple,
        fallbacks: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self.providers = providers
        self._fallbacks = fallbacks
        self._store = store
        self._hub = hub
        self._clock = clock
        self._doing = doing

    async def summaries(self) -> list[SwarmSummary]:
        swarms = await self._store.read(lambda reader: reader.swarms())
        return [
            SwarmSummary(
                id=swarm.id,
                project=swarm.project,
                plan_name=swarm.plan.name,
                state=swarm.state,
                reason=swarm.reason,
                created_at=swarm.created_at,
                ended_at=swarm.ended_at,
            )
            for swarm in swarms
        ]

    async def version(self, swarm_id: SwarmId) -> int:
        """Cheap: what those who wait ask after every commit. NotFoundError for no such swarm."""
        return await self._store.read(lambda reader: reader.last_seq(reader.swarm(swarm_id).id))

    async def status(self, swarm_id: SwarmId) -> SwarmStatus:
        swarm = await self._store.read(lambda reader: reader.swarm(swarm_id))
        head = await asyncio.to_thread(self._hub.resolve, swarm.integration_ref)
        return await self._store.read(lambda reader: self._look(reader, swarm_id, head or swarm.base))

    def _look(self, reader: Reader, swarm_id: SwarmId, head: str) -> SwarmStatus:
        swarm = reader.swarm(swarm_id)
        tasks = reader.tasks(swarm_id)
        end = swarm.ended_at if swarm.state in ENDED and swarm.ended_at else self._clock.now()
        elapsed_s = (end - swarm.created_at).total_seconds()
        building = reader.changes(swarm_id, states=(ChangeState.BUILDING,))
        queue = reader.changes(swarm_id, states=(ChangeState.APPROVED,))
        tests, coverage = _measured(reader, swarm_id)
        return SwarmStatus(
            id=swarm.id,
            project=swarm.project,
            plan_name=swarm.plan.name,
            state=swarm.state,
            reason=swarm.reason,
            version=reader.last_seq(swarm_id),
            created_at=swarm.created_at,
            ended_at=swarm.ended_at,
            elapsed_s=elapsed_s,
            tasks={str(state): count for state, count in reader.task_counts(swarm_id).items()},
            agents=tuple(self._agents(reader, swarm)),
            queue=tuple(change.task_id for change in queue),
            building=building[0].task_id if building else None,
            blocked=_noted(tasks, TaskState.BLOCKED),
            parked=_noted(tasks, TaskState.PARKED),
            money=_money(reader, swarm),
            tests=tests,
            coverage_percent=coverage,
            landed_commits=sum(1 for task in tasks if task.state is TaskState.LANDED),
            integration_branch=swarm.integration_ref.removeprefix("refs/heads/"),
            head=head,
            remaining_s=_remaining_s(tasks, elapsed_s) if swarm.state not in ENDED else None,
            inbox=_inbox(reader, tasks, swarm_id),
            planning=swarm.plan.is_planning,
            delivered=_delivered(reader, swarm_id, head),
            providers=tuple(one for one in self.providers() if one.state != ANSWERS or one.waiting),
            fallbacks=self._fallbacks(),
        )

    def _agents(self, reader: Reader, swarm: Swarm) -> list[AgentStatus]:
        active: dict[AgentId, Session] = {
            session.agent_id: session
            for session in reader.sessions(swarm.id, states=(SessionState.CLAIMED, SessionState.RUNNING))
        }
        doing: Mapping[SessionId, str] = self._doing(reader, swarm.id) if active else {}
        rows: list[AgentStatus] = []
        for agent in reader.agents(swarm.project):
            session = active.get(agent.id)
            rows.append(
                AgentStatus(
                    name=agent.name,
                    role=agent.role,
                    task_id=session.task_id if session else None,
                    session_id=session.id if session else None,
                    since=session.claimed_at if session else None,
                    doing=doing.get(session.id, "") if session else "",
                )
            )
        return rows

    async def events(
        self, swarm_id: SwarmId, after: int, limit: int, session_id: SessionId | None = None
    ) -> tuple[list[EventRow], str]:
        events, swarm = await self._store.read(
            lambda reader: (
                reader.events(swarm_id, after=after, limit=limit, session_id=session_id),
                reader.swarm(swarm_id),
            )
        )
        rows = [
            EventRow(
                seq=event.seq,
                at=event.at,
                kind=event.kind,
                actor=event.actor,
                task_id=event.task_id,
                session_id=event.session_id,
                data=json.loads(event.data),
            )
            for event in events
        ]
        return rows, swarm.state


def _money(reader: Reader, swarm: Swarm) -> MoneyStatus:
    totals = reader.totals(swarm.account_id)
    return MoneyStatus(
        limit_nano_usd=totals.limit.nano_usd,
        spent_nano_usd=totals.spent.nano_usd,
        held_nano_usd=totals.held.nano_usd,
        tokens_limit=totals.limit.tokens,
        tokens_spent=totals.spent.tokens,
        tokens_held=totals.held.tokens,
        calls_limit=totals.limit.calls,
        calls=totals.calls,
        windows=tuple(_window(window, swarm) for window in reader.windows(swarm.project)),
    )


def _window(window: Window, swarm: Swarm) -> WindowStatus:
    percent = used_percent(window.limit, window.spent, window.calls)
    return WindowStatus(
        period=str(window.period),
        key=window.key,
        ends_at=window.ends_at,
        percent=percent,
        paused=percent >= from_json(swarm.options).config.budget.pause_percent,
        limit_nano_usd=window.limit.nano_usd,
        spent_nano_usd=window.spent.nano_usd,
        held_nano_usd=window.held.nano_usd,
        tokens_limit=window.limit.tokens,
        tokens_spent=window.spent.tokens,
        calls_limit=window.limit.calls,
        calls=window.calls,
    )


def _inbox(reader: Reader, tasks: list[Task], swarm_id: SwarmId) -> int:
    """What waits for a person: open reviews, open questions, and blocked tasks that wait for anything else."""
    questions = reader.questions(swarm_id, states=(QuestionState.OPEN,))
    asked = {question.task_id for question in questions}
    blocked = sum(task.state is TaskState.BLOCKED and task.id not in asked for task in tasks)
    return len(reader.reviews(swarm_id, states=(ReviewState.OPEN,))) + len(questions) + blocked


def _noted(tasks: list[Task], state: TaskState) -> tuple[BlockedTask, ...]:
    return tuple(
        BlockedTask(task_id=task.id, title=task.planned.title, note=task.note or "")
        for task in tasks
        if task.state is state
    )


def _measured(reader: Reader, swarm_id: SwarmId) -> tuple[int | None, float | None]:
    """Tests and coverage as the latest gates of what landed measured them."""
    tests: int | None = None
    coverage: float | None = None
    changes = reader.changes(swarm_id, states=(ChangeState.LANDED, ChangeState.PROVED))
    for change in reversed(changes[-MOST_CHANGES_LOOKED_AT:]):
        for run in reversed(reader.gate_runs(change.id)):
            metrics = {key: value for result in run.results for key, value in result.metrics.items()}
            if tests is None and "tests" in metrics:
                tests = int(metrics["tests"])
            if coverage is None and COVERAGE_PERCENT in metrics:
                coverage = metrics[COVERAGE_PERCENT]
        if tests is not None and coverage is not None:
            break
    return tests, coverage


def _delivered(reader: Reader, swarm_id: SwarmId, head: str) -> tuple[str, ...]:
    found = reader.deliveries(swarm_id, states=(DeliveryState.DELIVERED,))
    return tuple(dict.fromkeys(one.branch for one in found if one.head == head))


def _remaining_s(tasks: list[Task], elapsed_s: float) -> float | None:
    """What is left takes as long per estimated minute as what is done took; None before anything is done."""
    done = sum(task.planned.estimate.minutes for task in tasks if task.state in SATISFIED)
    left = sum(task.planned.estimate.minutes for task in tasks if task.state not in SATISFIED)
    return elapsed_s * left / done if done > 0 else None
