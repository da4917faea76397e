"""`swarm pause`: a running swarm starts no new sessions."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from swarmworks.cli.commands.stop import running_swarm
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.swarms import running_plane
from swarmworks.cli.view.summary import place_option
from swarmworks.wire.api import SwarmStatus


@click.command("pause")
@click.argument("swarm", required=False)
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, swarm: str | None, path: Path, as_json: bool) -> None:
    """Start no new sessions; those under way go on.

    What they hand in is judged and lands as ever. `swarm resume` goes on, `swarm stop` ends.
    """
    project = launcher.project(path)
    status = asyncio.run(_pause(launcher, project, swarm))
    if as_json:
        click.echo(status.model_dump_json(indent=2))
    else:
        click.echo(f"{status.id} is {status.state}; go on with: swarm resume{place_option(project.root)} {status.id}")


async def _pause(launcher: Launcher, project: OpenProject, wanted: str | None) -> SwarmStatus:
    async with running_plane(launcher, project) as live:
        chosen = await running_swarm(live.client, wanted)
        return await live.client.pause(chosen.id)
