"""`swarm resume`: go on after a stop, a crash, a block or a raised budget."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.ending import end
from swarmworks.cli.options import MOST_CALLS, budget_options, json_option, project_option
from swarmworks.cli.ringing import ringing
from swarmworks.cli.sandboxing import weakness
from swarmworks.cli.swarms import find_open, reach
from swarmworks.cli.view.progress import display_for
from swarmworks.cli.watching import follow
from swarmworks.wire.api import ResumeSwarm, SwarmStatus


@click.command("resume")
@click.argument("swarm", required=False)
@budget_options
@click.option("--calls", metavar="CALLS", type=click.IntRange(1, MOST_CALLS), help="The most model calls to make.")
@click.option("--retry-blocked", is_flag=True, help="Try blocked tasks again, with fresh attempts.")
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=0,
    help="The API's port on loopback; else a free one.",
)
@project_option
@json_option
@click.pass_obj
def command(
    launcher: Launcher,
    swarm: str | None,
    budget: int | None,
    tokens: int | None,
    calls: int | None,
    port: int,
    path: Path,
    retry_blocked: bool,
    as_json: bool,
) -> None:
    """Go on after a stop, a crash, a block or a raised budget.

    SWARM is an id or a part of one; without it, the newest swarm that has not landed. --budget, --tokens and --calls are the
    new limits of the whole swarm, with what it has used already.
    """
    request = ResumeSwarm(budget_nano_usd=budget, budget_tokens=tokens, budget_calls=calls, retry_blocked=retry_blocked)
    project = launcher.project(path)
    if not as_json:
        for line in weakness(launcher, project):
            click.echo(line)
    status = asyncio.run(_resume(launcher, project, swarm, request, port=port, as_json=as_json))
    end(status, project.root, as_json=as_json)


async def _resume(
    launcher: Launcher, project: OpenProject, wanted: str | None, request: ResumeSwarm, *, port: int, as_json: bool
) -> SwarmStatus:
    async with reach(launcher, project, work=True, port=port) as reached:
        chosen = await find_open(reached.client, wanted)
        before = await reached.client.status(chosen.id)
        status = await reached.client.resume(chosen.id, request)
        return await follow(
            reached, status, ringing(display_for(project.state, as_json=as_json), project), after=before.version
        )
