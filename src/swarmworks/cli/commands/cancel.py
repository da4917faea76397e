"""`swarm cancel`: a task is given up, by a person."""

from __future__ import annotations

from pathlib import Path

import click

from swarmworks.cli.context import Launcher
from swarmworks.cli.deciding import decide
from swarmworks.cli.options import Words, json_option, project_option
from swarmworks.wire.inbox import MOST_WORDS, CancelTask


@click.command("cancel")
@click.argument("task")
@click.option("--reason", type=Words(MOST_WORDS), required=True, help="Why, for the record.")
@click.option("--with-dependents", is_flag=True, help="Also those that wait for it and could never start.")
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, task: str, reason: str, with_dependents: bool, path: Path, as_json: bool) -> None:
    """Give a task up: one that waits, is ready, or is blocked.

    Tasks that wait for it could never start: they are named, and given up with it only when you say --with-dependents.
    TASK as for `swarm retry`.
    """
    request = CancelTask(reason=reason, with_dependents=with_dependents)
    decide(launcher, path, lambda inbox: inbox.cancel(task, request), as_json=as_json)
