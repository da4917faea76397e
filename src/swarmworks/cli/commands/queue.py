"""`swarm queue`: what waits to land."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.swarms import find, reach
from swarmworks.cli.view.queue import queue_lines
from swarmworks.wire.api import QueueStatus


@click.command("queue")
@click.argument("swarm", required=False)
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, swarm: str | None, path: Path, as_json: bool) -> None:
    """What waits in the merge queue, why it is where it is, and when it is expected to land.

    SWARM is an id or a part of one; without it, the newest.
    """
    project = launcher.project(path)
    found = asyncio.run(_queue(launcher, project, swarm))
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    for line in queue_lines(found):
        click.echo(line)


async def _queue(launcher: Launcher, project: OpenProject, wanted: str | None) -> QueueStatus:
    async with reach(launcher, project, work=False) as reached:
        chosen = await find(reached.client, wanted)
        return await reached.client.queue(chosen.id)
