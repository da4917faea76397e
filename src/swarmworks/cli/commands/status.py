"""`swarm status`: where a swarm stands."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.swarms import find, reach
from swarmworks.cli.view.standing import standing
from swarmworks.wire.api import SwarmStatus


@click.command("status")
@click.argument("swarm", required=False)
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, swarm: str | None, path: Path, as_json: bool) -> None:
    """Where a swarm stands.

    SWARM is an id or a part of one; without it, the newest.
    """
    project = launcher.project(path)
    status, running = asyncio.run(_status(launcher, project, swarm))
    if as_json:
        click.echo(status.model_dump_json(indent=2))
        return
    for line in standing(status, project.root, running=running):
        click.echo(line)


async def _status(launcher: Launcher, project: OpenProject, wanted: str | None) -> tuple[SwarmStatus, bool]:
    async with reach(launcher, project, work=False) as reached:
        chosen = await find(reached.client, wanted)
        return await reached.client.status(chosen.id), not reached.owned
