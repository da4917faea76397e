"""`swarm say`: a person's words to the agent of a running session."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from swarmworks.base.errors import ConflictError
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import Words, json_option, project_option
from swarmworks.cli.swarms import find_open, reach
from swarmworks.wire.conversing import MOST_SAID_CHARS, Said, Say


@click.command("say")
@click.argument("to", metavar="SESSION|TASK|AGENT", type=Words(200))
@click.argument("words", nargs=-1, required=True, type=Words(MOST_SAID_CHARS))
@click.option("--swarm", "swarm", help="The swarm it belongs to; else the newest that has not landed.")
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, to: str, words: tuple[str, ...], swarm: str | None, path: Path, as_json: bool) -> None:
    """Say something to the agent of a running session.

    It hears it between two of its turns. What is said is on record, with your name.
    """
    text = " ".join(words).strip()
    if not 0 < len(text) <= MOST_SAID_CHARS:
        raise click.UsageError(f"say between 1 and {MOST_SAID_CHARS} characters")
    if not to:
        raise click.UsageError("name the session, the task or the agent that is to hear it")
    said = asyncio.run(_say(launcher, launcher.project(path), swarm, Say(to=to, text=text)))
    if as_json:
        click.echo(said.model_dump_json(indent=2))
    else:
        session = said.session
        click.echo(
            f"said to {session.agent}, at work on {session.task_id}; follow it with: swarm attach {session.task_id}"
        )


async def _say(launcher: Launcher, project: OpenProject, swarm: str | None, request: Say) -> Said:
    async with reach(launcher, project, work=False) as reached:
        chosen = await find_open(reached.client, swarm)
        if reached.owned:
            raise ConflictError(
                f"swarm {chosen.id} is not running, so nobody would hear it",
                where=request.to,
                mend="go on with it first: swarm resume",
            )
        return await reached.client.say(chosen.id, request)
