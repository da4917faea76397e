"""`swarm retry`: a blocked task is tried again, as a person wants it."""

from __future__ import annotations

from pathlib import Path

import click

from swarmworks.cli.context import Launcher
from swarmworks.cli.deciding import decide
from swarmworks.cli.options import Words, json_option, project_option
from swarmworks.wire.inbox import MOST_WORDS, RetryTask


@click.command("retry")
@click.argument("task")
@click.option("--note", type=Words(MOST_WORDS), help="What its agent should know.")
@click.option("--model", metavar="NAME", type=Words(200), help="provider:model for this task.")
@click.option("--agent", metavar="NAME", type=Words(100), help="Who takes it, such as api-2.")
@project_option
@json_option
@click.pass_obj
def command(
    launcher: Launcher, task: str, note: str | None, model: str | None, agent: str | None, path: Path, as_json: bool
) -> None:
    """Try a blocked task again, with fresh attempts.

    TASK is its id or a part of it; where several swarms have it, the newest one's, unless you write SWARM:TASK.
    """
    request = RetryTask(note=note, model=model, agent=agent)
    decide(launcher, path, lambda inbox: inbox.retry(task, request), as_json=as_json)
