"""`swarm stop`: a running swarm is stopped in order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from swarmworks.base.errors import NotFoundError
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.swarms import OPEN, find, named, newest_first
from swarmworks.cli.view.summary import place_option
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.wire.api import StopSwarm, SwarmStatus, SwarmSummary


@click.command("stop")
@click.argument("swarm", required=False)
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, swarm: str | None, path: Path, as_json: bool) -> None:
    """Stop a running swarm in order; nothing is lost.

    Sessions are ended and their work is kept; `swarm resume` goes on.
    """
    project = launcher.project(path)
    status = asyncio.run(_stop(launcher, project, swarm))
    if as_json:
        click.echo(status.model_dump_json(indent=2))
    else:
        click.echo(f"{status.id} is {status.state}; go on with: swarm resume{place_option(project.root)} {status.id}")


async def _stop(launcher: Launcher, project: OpenProject, wanted: str | None) -> SwarmStatus:
    async with launcher.connect(project) as live:
        if live is None:
            raise NotFoundError(
                "nothing is running in this project",
                where=str(project.root),
                mend="see what there is with `swarm status`; `swarm resume` goes on",
            )
        chosen = await _running(live.client, wanted)
        return await live.client.stop(chosen.id, StopSwarm())


async def _running(client: ControlPlaneClient, wanted: str | None) -> SwarmSummary:
    summaries = newest_first(await client.swarms())
    if wanted is not None:
        return named(summaries, wanted)
    running = [summary for summary in summaries if summary.state in OPEN]
    if running:
        return running[0]
    newest = await find(client, None)
    raise NotFoundError(
        f"no swarm is running; the newest, {newest.id}, is {newest.state}", mend="see it with `swarm status`"
    )
