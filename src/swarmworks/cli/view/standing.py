"""`swarm status` as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from swarmworks.cli.view.amounts import duration, percent, plain, shortened
from swarmworks.cli.view.models_line import provider_lines
from swarmworks.cli.view.summary import headline, money, next_steps, place_option, windows
from swarmworks.wire.api import SwarmStatus

WIDTH = 100
LABEL = 10
STATES = (
    "waiting",
    "ready",
    "running",
    "review",
    "queued",
    "landed",
    "nothing_to_do",
    "blocked",
    "superseded",
    "cancelled",
)


def standing(status: SwarmStatus, root: Path, *, running: bool) -> Iterator[str]:
    """`running`: a control plane is there. Without one, a swarm that was at work has been interrupted."""
    interrupted = not running and status.state in {"running", "paused", "stopping"}
    yield f"{status.plan_name}: {'interrupted, nobody works on it' if interrupted else headline(status)}"
    yield _row("swarm", f"{status.id} of {status.project}")
    yield _row("tasks", task_counts(status))
    if status.building or status.queue:
        waiting = f"{len(status.queue)} waiting" if status.queue else "none waiting"
        yield _row("merging", f"{status.building or 'nothing'}, {waiting}")
    if status.tests is not None:
        coverage = "" if status.coverage_percent is None else f", coverage {percent(status.coverage_percent)}"
        yield _row("tests", f"{status.tests:,}{coverage}")
    yield _row("cost", money(status))
    for line in windows(status):
        yield _row("limit", line)
    if status.remaining_s is not None and not interrupted:
        yield _row("left", f"about {duration(status.remaining_s)}")
    for agent in status.agents:
        if agent.task_id is not None and not interrupted:
            yield shortened(_row("agent", f"{agent.name:<18} {agent.task_id}  {plain(agent.doing)}"), WIDTH)
    for blocked in status.blocked:
        yield shortened(_row("blocked", f"{blocked.task_id}: {plain(blocked.note) or blocked.title}"), WIDTH)
    if not interrupted:
        for line in provider_lines(status):
            yield shortened(_row("models", line), WIDTH)
    yield _row("branch", f"{status.integration_branch} at {status.head[:10]}")
    if interrupted:
        yield f"To go on: swarm resume{place_option(root)} {status.id}"
    else:
        yield from next_steps(status, place_option(root))


def task_counts(status: SwarmStatus) -> str:
    total = sum(status.tasks.values())
    parts = [f"{status.tasks[state]} {state.replace('_', ' ')}" for state in STATES if status.tasks.get(state)]
    return f"{total}: {', '.join(parts)}"


def _row(label: str, text: str) -> str:
    return f"  {label:<{LABEL}}{text}"
