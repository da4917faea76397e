"""`swarm attach`: look over an agent's shoulder, and speak to it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from swarmworks.base.errors import EXIT_BLOCKED, EXIT_LANDED, NotFoundError
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.following import Follower
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.swarms import find, find_open, reach
from swarmworks.cli.view.session_lines import session_lines
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.wire.api import EventRow, SwarmSummary

GOOD = frozenset({"submitted", "nothing_to_do", "handed_off"})


@click.command("attach")
@click.argument("of", metavar="SESSION|TASK|AGENT")
@click.option("--swarm", "swarm", help="The swarm it belongs to; else the newest that has not landed, or the newest.")
@click.option("--tail", metavar="N", type=click.IntRange(0, 100_000), help="Only the last N events, then what comes.")
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, of: str, swarm: str | None, tail: int | None, path: Path, as_json: bool) -> None:
    """Follow a session live, and speak to its agent.

    Shows what the agent says and does, from the start of its session to its end. On a terminal, a line you type goes to the
    agent; Ctrl-D or Ctrl-C leaves, and the session goes on. With --json, one JSON object a line.

    Exit codes: 0 handed in or left early, 1 ended otherwise.
    """
    outcome = asyncio.run(_attach(launcher, launcher.project(path), of, swarm, tail=tail, as_json=as_json))
    raise click.exceptions.Exit(EXIT_LANDED if outcome is None or outcome in GOOD else EXIT_BLOCKED)


async def _attach(
    launcher: Launcher, project: OpenProject, of: str, swarm: str | None, *, tail: int | None, as_json: bool
) -> str | None:
    """The session's outcome; None when it had not ended."""
    show = _json_line if as_json else _Shown(Console()).event
    async with reach(launcher, project, work=False) as reached:
        chosen = await _swarm(reached.client, swarm)
        session = await reached.client.session(chosen.id, of)
        follower = Follower(reached.client, chosen.id, session.id, show, live=not reached.owned)
        speaking = not as_json and not reached.owned and sys.stdin.isatty() and sys.stdout.isatty()
        if speaking and session.outcome is None:
            click.echo("What you type goes to the agent; Ctrl-D or Ctrl-C leaves, the session goes on.", err=True)
        return await follower.run(tail=tail, speaking=speaking)


async def _swarm(client: ControlPlaneClient, wanted: str | None) -> SwarmSummary:
    try:
        return await find_open(client, wanted)
    except NotFoundError:
        return await find(client, wanted)


def _json_line(event: EventRow) -> None:
    click.echo(event.model_dump_json())


class _Shown:
    def __init__(self, console: Console) -> None:
        self._console = console

    def event(self, event: EventRow) -> None:
        at = f"{event.at.astimezone():%H:%M:%S}"
        for line in session_lines(event):
            self._console.print(Text.assemble((f"{at}  ", "dim"), (line.text, line.style)), soft_wrap=True)
            at = " " * len(at)
