"""One way for every command with which a person decides something: reach the control plane, decide, say what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import click

from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.swarms import reach
from swarmworks.cli.view.summary import place_option
from swarmworks.client.inbox import InboxClient
from swarmworks.wire.inbox import Decided

WAITS_FOR_RESUME = frozenset({"running", "blocked", "stopped", "paused"})


def decide(launcher: Launcher, path: Path, call: Callable[[InboxClient], Awaitable[Decided]], *, as_json: bool) -> None:
    project = launcher.project(path)
    decided = asyncio.run(_decided(launcher, project, call))
    if as_json:
        click.echo(decided.model_dump_json(indent=2))
        return
    for line in told(decided, place_option(project.root)):
        click.echo(line)


async def _decided(
    launcher: Launcher, project: OpenProject, call: Callable[[InboxClient], Awaitable[Decided]]
) -> Decided:
    async with reach(launcher, project, work=False) as reached:
        return await call(reached.client.inbox)


def told(decided: Decided, at: str) -> Iterator[str]:
    yield f"{decided.said} ({decided.swarm_id})"
    if decided.still_needs_you:
        yield f"more waits for you: swarm inbox{at}"
    if decided.goes_on:
        yield "the swarm goes on"
    elif decided.swarm_state in WAITS_FOR_RESUME:
        yield f"go on with: swarm resume{at} {decided.swarm_id}"
