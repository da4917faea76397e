"""`swarm audit`: whether the log of events is what was written, and the log itself, for other programs."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import click
from pydantic import BaseModel

from swarmworks.base.errors import EXIT_BLOCKED
from swarmworks.base.ids import SwarmId
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.swarms import find, reach
from swarmworks.cli.view.amounts import counted, plain
from swarmworks.cli.writing import written_to
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.wire.audit import CheckedAnchors, CheckedSwarm

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Since(click.ParamType[datetime]):
    """A date, a time, or how long ago: 2026-11-20, 2026-11-20T08:00, 90m, 12h, 7d. Without a time zone it is UTC."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        if ago := re.fullmatch(r"(\d{1,6})([mhd])", str(value)):
            try:
                return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            except OverflowError:
                self.fail(f"{value!r} is before the first year", param, ctx)
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time, such as 2026-11-20, 2026-11-20T08:00, 12h or 7d", param, ctx)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


class Verified(BaseModel):
    """What `swarm audit verify --json` prints."""

    intact: bool
    anchors: CheckedAnchors
    swarms: tuple[CheckedSwarm, ...]


@dataclass(slots=True)
class _Heard:
    anchors: CheckedAnchors | None = None
    swarms: list[CheckedSwarm] = field(default_factory=list[CheckedSwarm])


@click.group("audit")
def command() -> None:
    """Verify and export the log of events: who did what, chained by hashes, one chain for each swarm."""


@command.command("verify")
@click.argument("swarm", required=False)
@project_option
@json_option
@click.pass_obj
def verify(launcher: Launcher, swarm: str | None, path: Path, as_json: bool) -> None:
    """Check the log of SWARM, or of every swarm: nothing was changed, taken out or put in since it was written.

    Each chain is followed from its first event to its last, in the database and in archive files, and compared with the
    signed anchors there and in the file of anchors. Exit code 1 when something is wrong.
    """
    verified = asyncio.run(_verify(launcher, launcher.project(path), swarm))
    click.echo(verified.model_dump_json(indent=2) if as_json else "\n".join(_said(verified)))
    if not verified.intact:
        raise click.exceptions.Exit(EXIT_BLOCKED)


@command.command("export")
@click.option("--swarm", help="Only of this swarm: its id or a part of it.")
@click.option("--since", type=Since(), help="Only later ones: 2026-11-20, 2026-11-20T08:00 (UTC), 90m, 12h, 7d.")
@click.option("--format", "form", type=click.Choice(["jsonl"]), default="jsonl", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write them to this file.")
@project_option
@click.pass_obj
def export(
    launcher: Launcher, swarm: str | None, since: datetime | None, form: str, output: Path | None, path: Path
) -> None:
    """The events as lines of JSON, archived ones too, each with the hashes of its chain."""
    del form  # one so far
    with nullcontext(sys.stdout) if output is None else written_to(output) as stream:
        count = asyncio.run(_export(launcher, launcher.project(path), swarm, since, stream))
    if output is not None:
        click.echo(f"wrote {counted(count, 'event')} to {output}")


async def _verify(launcher: Launcher, project: OpenProject, wanted: str | None) -> Verified:
    heard = _Heard()
    async with reach(launcher, project, work=False) as reached:
        swarm_id = await _named(reached.client, wanted)
        async for line in reached.client.audit.verify(swarm_id):
            if isinstance(line, CheckedAnchors):
                heard.anchors = line
            elif isinstance(line, CheckedSwarm):
                heard.swarms.append(line)
            elif sys.stderr.isatty():
                click.echo(f"\r\x1b[K{line.swarm_id}: {line.events:,} events\r", nl=False, err=True)
    assert heard.anchors is not None
    intact = not heard.anchors.problems and not any(one.problems for one in heard.swarms)
    return Verified(intact=intact, anchors=heard.anchors, swarms=tuple(heard.swarms))


async def _export(
    launcher: Launcher, project: OpenProject, wanted: str | None, since: datetime | None, stream: TextIO
) -> int:
    count = 0
    async with reach(launcher, project, work=False) as reached:
        swarm_id = await _named(reached.client, wanted)
        async for line in reached.client.audit.export(swarm_id, since):
            stream.write(f"{line}\n")
            count += 1
    return count


async def _named(client: ControlPlaneClient, wanted: str | None) -> SwarmId | None:
    return None if wanted is None else (await find(client, wanted)).id


def _said(verified: Verified) -> Iterator[str]:
    anchors = verified.anchors
    newest = f", the newest of {anchors.newest_at:%Y-%m-%d %H:%M:%S} UTC" if anchors.newest_at else ""
    yield f"{counted(anchors.anchors, 'anchor')}{newest}"
    yield from (f"  note: {plain(note)}" for note in anchors.notes)
    yield from (f"  WRONG: {plain(problem)}" for problem in anchors.problems)
    for swarm in verified.swarms:
        archived = f", {swarm.archived:,} of them archived" if swarm.archived else ""
        anchored = f"anchored up to {swarm.anchored:,}" if swarm.anchored else "not anchored"
        yield f"{swarm.swarm_id}  {counted(swarm.events, 'event')}{archived}; {anchored}"
        yield from (f"  WRONG: {plain(problem)}" for problem in swarm.problems)
    if verified.intact:
        events = sum(swarm.events for swarm in verified.swarms)
        yield f"intact: {counted(events, 'event')} of {counted(len(verified.swarms), 'swarm')}"
    else:
        yield "NOT INTACT: what is marked above is not what was written"
