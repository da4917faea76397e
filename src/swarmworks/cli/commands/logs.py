"""`swarm logs`: what happened, event by event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import click

from swarmworks.base.ids import SwarmId
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.swarms import ENDED, find, reach
from swarmworks.cli.view.log_lines import LogLines
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.wire.api import EventRow

PAGE = 2_000
WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Wanted:
    task: str | None
    kind: str | None

    def holds(self, event: EventRow) -> bool:
        kind = self.kind is None or event.kind == self.kind or event.kind.startswith(f"{self.kind}.")
        return kind and (self.task is None or event.task_id == self.task)


@click.command("logs")
@click.argument("swarm", required=False)
@click.option("-f", "--follow", is_flag=True, help="Wait for more until the swarm ends.")
@click.option("--task", help="Only what concerns this task.")
@click.option("--kind", help="Only events of this kind, such as task.blocked, or of a group, such as session.")
@project_option
@json_option
@click.pass_obj
def command(
    launcher: Launcher, swarm: str | None, follow: bool, task: str | None, kind: str | None, path: Path, as_json: bool
) -> None:
    """What happened, event by event.

    SWARM is an id or a part of one; without it, the newest. With --json, one JSON object a line.
    """
    wanted = Wanted(task, kind)
    asyncio.run(_logs(launcher, launcher.project(path), swarm, wanted, follow=follow, as_json=as_json))


async def _logs(
    launcher: Launcher, project: OpenProject, swarm: str | None, wanted: Wanted, *, follow: bool, as_json: bool
) -> None:
    async with reach(launcher, project, work=False) as reached:
        chosen = await find(reached.client, swarm)
        lines = LogLines()
        follow = follow and not reached.owned
        async for event in _events(reached.client, chosen.id, follow=follow):
            if wanted.holds(event):
                click.echo(event.model_dump_json() if as_json else lines.line(event))


async def _events(client: ControlPlaneClient, swarm_id: SwarmId, *, follow: bool) -> AsyncIterator[EventRow]:
    after = 0
    while True:
        page = await client.events(swarm_id, after=after, limit=PAGE, wait_s=WAIT_S if follow and after else 0.0)
        for event in page.events:
            yield event
        if page.events:
            after = page.events[-1].seq
        elif not follow or page.state in ENDED:
            return
