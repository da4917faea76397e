"""`swarm serve`: a control plane that stays."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from swarmworks.cli.context import Launcher
from swarmworks.cli.options import project_option
from swarmworks.cli.sandboxing import weakness


@click.command("serve")
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=0,
    help="The API's port on loopback; else a free one.",
)
@project_option
@click.pass_obj
def command(launcher: Launcher, port: int, path: Path) -> None:
    """Start a control plane and leave it running.

    `swarm run`, `resume`, `status` and `stop` use it while it runs. Ctrl-C ends it; `swarm resume` goes on.
    """
    project = launcher.project(path)
    for line in weakness(launcher, project):
        click.echo(line)
    asyncio.run(launcher.serve(project, port))
