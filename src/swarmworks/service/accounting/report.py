"""The final report of a swarm: what was done, by whom, at what cost, and what the landed code is like."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from swarmworks.base.clock import Clock
from swarmworks.base.ids import AgentId, SwarmId, TaskId
from swarmworks.domain.change import ChangeState
from swarmworks.domain.event import first_break
from swarmworks.domain.gate import COVERAGE_PERCENT
from swarmworks.domain.isolation import FULL, level_of, properties
from swarmworks.domain.session import Session
from swarmworks.git.protocol import Hub
from swarmworks.service.accounting import story
from swarmworks.service.accounting.code import measure
from swarmworks.service.accounting.facts import Facts, data_of, look, name_of, of_agents, tried, written_by
from swarmworks.store.protocol import Store
from swarmworks.wire.api import AgentReport, CodeReport, ModelReport, SandboxReport, SwarmReport, TaskReport
from swarmworks.wire.options import from_json

MOST_FILES = 5_000
MOST_ROWS = {
    **dict.fromkeys(("rejected", "interventions", "incidents", "issues", "accesses"), 500),
    "timeline": 5_000,
    "costs": 5_000,
}
"""Rows of each part of the story: a page of it stays readable, and small."""

M = TypeVar("M", bound=BaseModel)


class Report:
    def __init__(self, store: Store, hub: Hub, clock: Clock) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock

    async def report(self, swarm_id: SwarmId) -> SwarmReport:
        facts = await self._store.read(lambda reader: look(reader, swarm_id))
        head = await asyncio.to_thread(self._hub.resolve, facts.swarm.integration_ref) or facts.swarm.base
        tests, failed, coverage = _measured(facts)
        code, note = await asyncio.to_thread(self._code, head, coverage)
        added, removed = await asyncio.to_thread(self._lines, facts.swarm.base, head)
        swarm = facts.swarm
        end = swarm.ended_at or self._clock.now()
        told = await asyncio.to_thread(self._story, facts, end)
        return SwarmReport(
            id=swarm.id,
            project=swarm.project,
            plan_id=swarm.plan.id,
            plan_name=swarm.plan.name,
            state=swarm.state,
            reason=swarm.reason,
            model=from_json(swarm.options).model,
            created_at=swarm.created_at,
            ended_at=swarm.ended_at,
            duration_s=(end - swarm.created_at).total_seconds(),
            tasks=tuple(_tasks(facts)),
            agents=tuple(_agents(facts)),
            models=tuple(_models(facts)),
            sandboxes=tuple(_sandboxes(facts)),
            tests=tests,
            tests_failed=failed,
            coverage_percent=coverage,
            calls=facts.peak.calls,
            input_tokens=sum(row.input_tokens for row in facts.usage),
            output_tokens=sum(row.output_tokens for row in facts.usage),
            spent_nano_usd=facts.totals.spent.nano_usd,
            peak_nano_usd=facts.peak.peak.nano_usd,
            limit_nano_usd=facts.totals.limit.nano_usd,
            estimated_calls=facts.peak.estimated_calls,
            gate_runs=_gate_runs(facts),
            rejections=sum(1 for event in facts.events if event.kind == "change.rejected"),
            human_interventions=len(told["interventions"]) + told["left_out"].get("interventions", 0),
            events=len(facts.events),
            chain_intact=first_break(facts.events) is None,
            code=code,
            code_note=note,
            integration_branch=swarm.integration_ref.removeprefix("refs/heads/"),
            base=swarm.base,
            head=head,
            lines_added=added,
            lines_removed=removed,
            **told,
        )

    def _story(self, facts: Facts, end: datetime) -> dict[str, Any]:
        left_out: dict[str, int] = {}
        return {
            "rejected": _cut("rejected", story.rejections(facts, self._hub), left_out),
            "issues": _cut("issues", story.issues(facts), left_out),
            "interventions": _cut("interventions", story.interventions(facts), left_out),
            "incidents": _cut("incidents", story.incidents(facts), left_out),
            "accesses": _cut("accesses", story.accesses(facts), left_out),
            "timeline": _cut("timeline", story.timeline(facts, end), left_out),
            "costs": _cut("costs", story.costs(facts, end), left_out),
            "left_out": left_out,
        }

    def _code(self, head: str, coverage: float | None) -> tuple[CodeReport | None, str]:
        paths = [path for path in self._hub.list_files(head) if path.endswith(".py")]
        if not paths:
            return None, "not measured: the measures are for Python, and there is no Python file on the branch"
        files: dict[str, str] = {}
        for path in paths[:MOST_FILES]:
            data = self._hub.read_file(head, path)
            if data is not None:
                files[path] = data.decode("utf-8", errors="replace")
        code = measure(files, coverage)
        cut = f", the first {MOST_FILES} of {len(paths)} files" if len(paths) > MOST_FILES else ""
        return code, f"radon on the Python files of the landed tree{cut}"

    def _lines(self, base: str, head: str) -> tuple[int, int]:
        changes = self._hub.changes(base, head)
        return sum(change.added or 0 for change in changes), sum(change.removed or 0 for change in changes)


def _cut(part: str, rows: Iterable[M], left_out: dict[str, int]) -> tuple[M, ...]:
    """The first rows of a part, within its bound; how many more there are is noted in `left_out`."""
    every = list(rows)
    if len(every) > MOST_ROWS[part]:
        left_out[part] = len(every) - MOST_ROWS[part]
    return tuple(every[: MOST_ROWS[part]])


def _measured(facts: Facts) -> tuple[int | None, int | None, float | None]:
    """Tests, failures and coverage as the gates measured them on the latest landed or proved change."""
    good = {c.id for c in facts.changes if c.state in {ChangeState.LANDED, ChangeState.PROVED}}
    latest: dict[str, float] = {}
    for run in sorted((run for run in facts.runs if run.change_id in good), key=lambda run: run.at):
        for result in run.results:
            latest |= result.metrics
    tests, failed, coverage = latest.get("tests"), latest.get("failed"), latest.get(COVERAGE_PERCENT)
    return (
        None if tests is None else int(tests),
        None if failed is None else int(failed),
        coverage,
    )


def _gate_runs(facts: Facts) -> dict[str, dict[str, int]]:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for run in facts.runs:
        for result in run.results:
            counts[result.gate]["cached" if result.cached else str(result.outcome)] += 1
    return {gate: dict(counter) for gate, counter in sorted(counts.items())}


def _tasks(facts: Facts) -> list[TaskReport]:
    per_task: defaultdict[TaskId, list[Session]] = defaultdict(list)
    for session in of_agents(facts):
        per_task[session.task_id].append(session)
    return [
        TaskReport(
            id=task.id,
            kind=task.planned.kind,
            title=task.planned.title,
            state=task.state,
            attempts=task.attempts,
            sessions=len(per_task[task.id]),
            agent=name_of(per_task[task.id][-1].agent_id) if per_task[task.id] else None,
            commit=task.commit,
            note=task.note,
            depends_on=task.planned.depends_on,
        )
        for task in facts.tasks
    ]


def _models(facts: Facts) -> list[ModelReport]:
    """The dearest first."""
    calls: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    cost: Counter[str] = Counter()
    for row in facts.models:
        calls[row.model] += row.calls
        tokens[row.model] += row.spent.tokens
        cost[row.model] += row.spent.nano_usd
    rows = [
        ModelReport(model=name, calls=calls[name], tokens=tokens[name], cost_nano_usd=cost[name])
        for name in sorted(calls)
    ]
    return sorted(rows, key=lambda row: -row.cost_nano_usd)


def _sandboxes(facts: Facts) -> list[SandboxReport]:
    """What held around the sessions whose program was started, the weakest first."""
    recorded = [data_of(event).get("sandbox") for event in facts.events if event.kind == "session.ended"]
    counts = Counter(properties(names) for names in recorded if names)
    rows = [
        SandboxReport(level=level_of(held), lacking=tuple(sorted(FULL - held)), sessions=count)
        for held, count in counts.items()
    ]
    return sorted(rows, key=lambda row: (-len(row.lacking), row.level))


def _agents(facts: Facts) -> list[AgentReport]:
    sessions = Counter(session.agent_id for session in facts.sessions)
    good = [c for c in facts.changes if c.state in {ChangeState.LANDED, ChangeState.PROVED}]
    writers = [(change, written_by(facts, change).agent_id) for change in good]
    landed = Counter(agent_id for _, agent_id in writers)
    tries = Counter(session.task_id for session in of_agents(facts) if tried(facts, session))
    first = Counter(agent_id for change, agent_id in writers if tries[change.task_id] == 1)
    calls: Counter[AgentId] = Counter()
    tokens: Counter[AgentId] = Counter()
    cost: Counter[AgentId] = Counter()
    for row in facts.usage:
        calls[row.agent_id] += row.calls
        tokens[row.agent_id] += row.spent.tokens
        cost[row.agent_id] += row.spent.nano_usd
    return [
        AgentReport(
            name=name_of(agent_id),
            role=name_of(agent_id).rpartition("-")[0],
            sessions=sessions[agent_id],
            landed=landed[agent_id],
            first_pass_landed=first[agent_id],
            calls=calls[agent_id],
            tokens=tokens[agent_id],
            cost_nano_usd=cost[agent_id],
        )
        for agent_id in sorted(sessions)
    ]
