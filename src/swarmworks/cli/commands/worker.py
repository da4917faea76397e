"""`swarm worker`: started by the control plane's engine, with its token in the environment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from swarmworks.cli.context import Launcher
from swarmworks.cli.options import project_option


@click.command("worker")
@click.option("--url", required=True, help="The address of the control plane's API.")
@project_option
@click.pass_obj
def command(launcher: Launcher, url: str, path: Path) -> None:
    """Start a worker for a control plane."""
    asyncio.run(launcher.work(launcher.project(path), url))
