"""`swarm worker`: started by the control plane's engine, or by hand beside it, with its token in the environment."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import click
import httpx

from swarmworks.base.errors import UsageError
from swarmworks.cli.context import Launcher
from swarmworks.cli.options import project_option

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@click.command("worker")
@click.option(
    "--url",
    "urls",
    metavar="URL",
    multiple=True,
    required=True,
    help="The address of a control plane's API. Give it again for others that share its state.",
)
@click.option("--name", metavar="NAME", help="Works beside the other workers of this folder, in a place of its own.")
@click.option(
    "--agents", metavar="N", type=click.IntRange(1, 10_000), help="How many sessions at once; else as in swarm.toml."
)
@click.option("--own-hub", is_flag=True, help="Keeps a hub of its own, and fetches and pushes over the API.")
@project_option
@click.pass_obj
def command(
    launcher: Launcher, urls: tuple[str, ...], name: str | None, agents: int | None, path: Path, *, own_hub: bool
) -> None:
    """Start a worker for a control plane.

    It learns of every control plane that lives, and goes to another when its own ends. A second worker of the same name
    stands by until the first is gone.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a worker", where="--name", mend="use letters, digits, `_` and `-`")
    for url in urls:
        _refuse_unreadable(url)
    project = launcher.project(path)
    if agents is not None:
        project = project.with_agents(agents)
    asyncio.run(launcher.work(project, urls, name, own_hub=own_hub))


def _refuse_unreadable(url: str) -> None:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL()
    if parts.scheme not in {"http", "https"} or not parts.host or (parts.port or 1) >= 1 << 16:
        raise UsageError(
            f"{url!r} is not the address of a control plane", where="--url", mend="such as http://127.0.0.1:8080"
        )
