"""`swarm stop`: a running swarm is stopped in order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from swarmworks.base.errors import NotFoundError
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import Words, json_option, project_option
from swarmworks.cli.swarms import OPEN, find, named, newest_first, reach, running_plane
from swarmworks.cli.view.summary import place_option
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.wire.api import StopSwarm, SwarmStatus, SwarmSummary
from swarmworks.wire.conversing import MOST_SESSION_NAME, MOST_STOP_REASON, SessionRow, StopSession

NO_REASON = "a person ended it"


@click.command("stop")
@click.argument("swarm", required=False)
@click.option(
    "--session",
    "of",
    type=Words(MOST_SESSION_NAME, needed=True),
    metavar="SESSION",
    help="Only this session, named by itself, its task or its agent.",
)
@click.option("--reason", type=Words(MOST_STOP_REASON), default="", help="Why the session is ended, for the record.")
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, swarm: str | None, of: str | None, reason: str, path: Path, as_json: bool) -> None:
    """Stop a running swarm in order; nothing is lost.

    Sessions are ended and their work is kept; `swarm resume` goes on. So it is with a swarm that a crash left running. With
    --session that one is ended at once: its token is revoked, no attempt is charged, and its task begins anew.
    """
    project = launcher.project(path)
    if of is not None:
        row = asyncio.run(_stop_session(launcher, project, swarm, StopSession(of=of, reason=reason or NO_REASON)))
        ended = f"{row.id} of {row.task_id} is ended, its token revoked; the task begins anew"
        click.echo(row.model_dump_json(indent=2) if as_json else ended)
        return
    status = asyncio.run(_stop(launcher, project, swarm))
    if as_json:
        click.echo(status.model_dump_json(indent=2))
    else:
        click.echo(f"{status.id} is {status.state}; go on with: swarm resume{place_option(project.root)} {status.id}")


async def _stop_session(
    launcher: Launcher, project: OpenProject, wanted: str | None, request: StopSession
) -> SessionRow:
    async with running_plane(launcher, project) as live:
        chosen = await running_swarm(live.client, wanted)
        return await live.client.stop_session(chosen.id, request)


async def _stop(launcher: Launcher, project: OpenProject, wanted: str | None) -> SwarmStatus:
    """Where no control plane works any more, by one of our own that does not work either."""
    async with reach(launcher, project, work=False) as reached:
        chosen = await running_swarm(reached.client, wanted)
        return await reached.client.stop(chosen.id, StopSwarm())


async def running_swarm(client: ControlPlaneClient, wanted: str | None) -> SwarmSummary:
    """The one that is named, else the one that is open; NotFoundError when none is."""
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
