"""`swarm watch`: a running swarm, live."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from swarmworks.cli.commands.stop import running_swarm
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.ending import end
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.ringing import ringing
from swarmworks.cli.swarms import Reached, running_plane
from swarmworks.cli.view.progress import display_for
from swarmworks.cli.watching import follow
from swarmworks.wire.api import SwarmStatus


@click.command("watch")
@click.argument("swarm", required=False)
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, swarm: str | None, path: Path, as_json: bool) -> None:
    """Watch a running swarm live, and steer it.

    SWARM is an id or a part of one; without it, the one that runs. Leaving does not stop it. Where the output is no terminal,
    one line for each milestone; with --json, the status when it has ended.
    """
    project = launcher.project(path)
    status = asyncio.run(_watch(launcher, project, swarm, as_json=as_json))
    end(status, project.root, as_json=as_json)


async def _watch(launcher: Launcher, project: OpenProject, wanted: str | None, *, as_json: bool) -> SwarmStatus:
    async with running_plane(launcher, project) as live:
        chosen = await running_swarm(live.client, wanted)
        status = await live.client.status(chosen.id)
        return await follow(
            Reached(live, owned=False), status, ringing(display_for(project.state, as_json=as_json), project)
        )
