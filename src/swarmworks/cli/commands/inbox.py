"""`swarm inbox`: what waits for a person, and everything needed to decide it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.swarms import find, reach
from swarmworks.cli.view.inbox_text import detail_lines, inbox_lines
from swarmworks.cli.view.summary import place_option
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.wire.inbox import Inbox


@click.command("inbox")
@click.argument("item", metavar="[ID]", required=False)
@click.option("--swarm", help="Only what waits in this swarm: its id or a part of it.")
@click.option("--list", "as_list", is_flag=True, help="A plain list, also on a terminal.")
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, item: str | None, swarm: str | None, as_list: bool, path: Path, as_json: bool) -> None:
    """What waits for you: plans, changes and deliveries to approve, questions, blocked tasks.

    With an ID, everything about that one: what was tried, what went wrong, the difference. Without, all of them: to be
    decided with single keys on a terminal, else as a list.
    """
    project = launcher.project(path)
    on_screen = not as_json and not as_list and item is None and sys.stdin.isatty() and sys.stdout.isatty()
    asyncio.run(_inbox(launcher, project, item, swarm, as_json=as_json, on_screen=on_screen))


async def _inbox(
    launcher: Launcher, project: OpenProject, item: str | None, swarm: str | None, *, as_json: bool, on_screen: bool
) -> None:
    async with reach(launcher, project, work=False) as reached:
        if item is not None:
            await _show_one(reached.client, item, place_option(project.root), as_json=as_json)
            return
        found = await _found(reached.client, swarm)
        if as_json:
            click.echo(found.model_dump_json(indent=2))
        elif on_screen and found.items:
            from swarmworks.cli.view.inbox_app import InboxApp  # noqa: PLC0415 - a list is said without a screen's library

            await InboxApp(reached.client.inbox, swarm_id=found.items[0].swarm_id if swarm else None).run_async()
        else:
            for line in inbox_lines(found.items, place_option(project.root)):
                click.echo(line)


async def _found(client: ControlPlaneClient, swarm: str | None) -> Inbox:
    if swarm is None:
        return await client.inbox.items()
    return await client.inbox.items((await find(client, swarm)).id)


async def _show_one(client: ControlPlaneClient, item: str, at: str, *, as_json: bool) -> None:
    detail = await client.inbox.detail(item)
    if as_json:
        click.echo(detail.model_dump_json(indent=2))
        return
    for line in detail_lines(detail, at):
        click.echo(line.text)
