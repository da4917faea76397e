"""`swarm demo`: a sample application built by twelve agents with the rehearsal model."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from swarmworks.base.errors import ConflictError
from swarmworks.cli import demo_project
from swarmworks.cli.commands.run import swarm_request
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.environment import newest_programs
from swarmworks.cli.faults import erring_model, fault_options, injected, notice, said_of
from swarmworks.cli.ringing import ringing
from swarmworks.cli.sandboxing import demo_floor, weakness
from swarmworks.cli.starters.writing import CONFIG_NAME
from swarmworks.cli.swarms import Reached, reach
from swarmworks.cli.view.amounts import counted
from swarmworks.cli.view.progress import display_for
from swarmworks.cli.view.report_text import report_text
from swarmworks.cli.view.summary import summary
from swarmworks.cli.watching import exit_code, follow
from swarmworks.domain.swarm import SwarmState
from swarmworks.wire.api import CreateSwarm, EventRow, SwarmReport, SwarmStatus
from swarmworks.wire.config import REHEARSAL

PORT = 8000


@click.command("demo")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="The folder it makes. An earlier demo there is replaced; anything else is never touched.",
)
@click.option(
    "--agents", metavar="N", type=click.IntRange(1, 1000), default=12, show_default=True, help="How many work at once."
)
@fault_options(default="some")
@click.option("--keep", is_flag=True, help="Keep an earlier demo: refuse instead of replacing it.")
@click.pass_obj
def command(launcher: Launcher, folder: Path, agents: int, faults: str, seed: int, keep: bool) -> None:
    """A sample application built by twelve agents with the rehearsal model.

    The rehearsal model is a program that follows rules: no model is asked, and no money is spent.
    Everything else is real: sandboxes, sessions, gates, the merge queue, the report.

    It errs on purpose, as models do: bugs, stalls, answers that cannot be read. What catches each is said at the end.
    """
    demo_project.check_folder(folder, keep=keep)
    if demo_project.is_demo(folder) and (folder / CONFIG_NAME).is_file():
        asyncio.run(_refuse_running(launcher, folder))
    plan = demo_project.make(folder, erring=faults != "none", floor=demo_floor(launcher.probe(None)))
    project = launcher.project(folder)
    click.echo(f"{plan.name}: {counted(len(plan.tasks), 'task')} for {counted(agents, 'agent')}, in {folder}")
    click.echo("A rehearsal: a program that follows rules stands in for the model.")
    click.echo("No model is asked, no money is spent. Everything else is real.")
    model = erring_model(REHEARSAL, faults, seed)
    for line in (*weakness(launcher, project), *notice(project.state, model)):
        click.echo(line)
    click.echo("")
    request = swarm_request(
        launcher, project, plan, agents=agents, budget=None, tokens=None, model=model, allow_dirty=False
    )
    status, report, events = asyncio.run(_run(launcher, project.with_agents(agents), request))
    for line in report_text(report):
        click.echo(line)
    if faults != "none":
        click.echo("")
        for line in said_of(injected(project.state, model), events):
            click.echo(line)
    if status.state != SwarmState.LANDED:
        for line in summary(status, project.root):
            click.echo(line)
        raise click.exceptions.Exit(exit_code(status))
    demo_project.take_over(folder, project.state / "hub.git", status.integration_branch)
    for line in _what_to_try(folder, project, status):
        click.echo(line)


async def _refuse_running(launcher: Launcher, folder: Path) -> None:
    async with launcher.connect(launcher.project(folder)) as live:
        if live is not None:
            raise ConflictError(
                "a demo is running there",
                where=str(folder),
                mend=f"stop it with swarm stop -C {folder}, or name another folder with --dir",
            )


async def _run(
    launcher: Launcher, project: OpenProject, request: CreateSwarm
) -> tuple[SwarmStatus, SwarmReport, list[EventRow]]:
    async with reach(launcher, project, work=True, model=request.model) as reached:
        created = await reached.client.create_swarm(request)
        status = await follow(reached, created, ringing(display_for(project.state, as_json=False), project))
        return status, await reached.client.report(status.id), await _all_events(reached, status)


async def _all_events(reached: Reached, status: SwarmStatus) -> list[EventRow]:
    found: list[EventRow] = []
    while page := (await reached.client.events(status.id, after=found[-1].seq if found else 0)).events:
        found += page
    return found


def _what_to_try(folder: Path, project: OpenProject, status: SwarmStatus) -> Iterator[str]:
    place = shlex.quote(str(folder))
    programs = newest_programs(project.state)
    python = shlex.quote(str((programs / "python").relative_to(project.root))) if programs else "python"
    body = '{"email": "ada@example.org", "name": "Ada", "password": "lovelace1"}'
    yield ""
    yield f"The application is in {folder}. Start it:"
    yield f"  (cd {place} && {python} -m uvicorn --factory app.main:create_app --port {PORT})"
    yield "and in another terminal:"
    yield f"  curl -s http://127.0.0.1:{PORT}/users -H 'content-type: application/json' -d '{body}'"
    yield f"Its pages: http://127.0.0.1:{PORT}/docs"
    yield ""
    yield f"Who did what: git -C {place} log --stat    swarm logs -C {place} {status.id}"
    yield "For a repository of yours: swarm init"
