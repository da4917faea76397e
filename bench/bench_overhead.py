"""What orchestration costs: the demo's wall time over the time that its sessions, gates and builds would take by themselves at
the same parallelism (`ideal.py`), from the durations in its own record. Goal: at most 1.15.

What counts as the swarm's own work: sessions from their claim to their end, and gate commands. Everything else is overhead:
claims, hand-ins, merges, landings, and whatever waits for them. With `--smoke` a small swarm stands in for the demo.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from tests.scenario.driver import CountedModel, Site, ended, twelve

from bench.ideal import Attempt, Places, TaskDone, ideal_s
from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.domain.session import Session
from swarmworks.domain.swarm import SwarmState
from swarmworks.domain.task import Task
from swarmworks.service.accounting.facts import Facts, look
from swarmworks.store.protocol import GateRun
from swarmworks.store.sqlite import open_store
from swarmworks.wiring.stores import FILE_NAME

ROOT = Path(__file__).resolve().parents[1]
GOAL = 1.15
BUILDS_IN_LINE = 2  # service.merging
DEMO_AGENTS, SMALL_AGENTS = 12, 4
DEMO_S = 900.0


def run(*, smoke: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-overhead-", dir=ROOT) as folder:
        if smoke:
            state, agents = _small(Path(folder)), SMALL_AGENTS
        else:
            state, agents = _demo(Path(folder)), DEMO_AGENTS
        facts = asyncio.run(_record(state / FILE_NAME))
    commands = max(2, len(os.sched_getaffinity(0)))
    _tell(facts, Places(agents, commands, BUILDS_IN_LINE))


def _demo(folder: Path) -> Path:
    argv = (sys.executable, "-m", "swarmworks", "demo", "--dir", "demo", "--agents", str(DEMO_AGENTS))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=DEMO_S, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"the demo ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return folder / "demo" / ".swarm"


def _small(folder: Path) -> Path:
    model = CountedModel()
    site = Site(folder / "site", model.url, twelve(4), agents=SMALL_AGENTS)
    try:
        done = ended(site.start_run())
        if done.code != 0:
            raise SystemExit(f"the swarm ended with {done.code}: {done.out[-1000:]}{done.err[-1000:]}")
        return site.state
    finally:
        site.close()
        model.close()


async def _record(path: Path) -> Facts:
    store = await open_store(path, SystemClock(), RandomIds())
    try:
        return await store.read(lambda reader: look(reader, reader.swarms()[0].id))
    finally:
        await store.close()


def _tell(facts: Facts, places: Places) -> None:
    end = facts.swarm.ended_at
    if facts.swarm.state is not SwarmState.LANDED or end is None:
        raise SystemExit(f"the swarm is {facts.swarm.state}: there is no whole run to measure")
    tasks = tasks_done(facts)
    wall_s, ideal = facts.seconds(end), ideal_s(tasks, places)
    attempts = [attempt for task in tasks for attempt in task.attempts]
    sessions_s = sum(attempt.session_s for attempt in attempts)
    gates_s = sum(sum(attempt.change_s) + sum(map(sum, attempt.builds_s)) for attempt in attempts)
    print(
        f"{len(tasks)} tasks, {len(attempts)} sessions of together {sessions_s:.1f} s, gate commands of {gates_s:.1f} s; "
        f"places: {places.agents} agents, {places.commands} gate commands, {places.builds} builds in line"
    )
    print(f"wall {wall_s:.1f} s / ideal {ideal:.1f} s: {wall_s / ideal:.3f}x (goal of the demo {GOAL}x)")


def tasks_done(facts: Facts) -> list[TaskDone]:
    sessions: defaultdict[str, list[Session]] = defaultdict(list)
    for session in facts.sessions:
        sessions[session.task_id].append(session)
    return [_task_done(facts, task, sessions[task.id]) for task in facts.tasks]


def _task_done(facts: Facts, task: Task, sessions: list[Session]) -> TaskDone:
    changes = {change.session_id: change.id for change in facts.changes}
    attempts: list[Attempt] = []
    for session in sessions:
        took_s = ((session.ended_at or session.claimed_at) - session.claimed_at).total_seconds()
        runs = facts.runs_of(changes[session.id]) if session.id in changes else []
        change_s = tuple(seconds for run in runs if run.stage == "change" for seconds in _commands_s(run))
        attempts.append(Attempt(took_s, change_s, tuple(_commands_s(run) for run in runs if run.stage != "change")))
    return TaskDone(task.id, task.rank, tuple(attempts), task.planned.depends_on, task.planned.supersedes)


def _commands_s(run: GateRun) -> tuple[float, ...]:
    """Of those that were run for this very tree: what passed on the same one before costs nothing."""
    return tuple(result.duration_s for result in run.results if result.duration_s > 0 and not result.cached)
