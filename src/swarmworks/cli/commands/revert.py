"""`swarm revert`: what a task landed is taken back, by the gates and the merge queue."""

from __future__ import annotations

from pathlib import Path

import click

from swarmworks.cli.context import Launcher
from swarmworks.cli.deciding import decide
from swarmworks.cli.options import Words, json_option, project_option
from swarmworks.wire.inbox import MOST_WORDS, RevertTask


@click.command("revert")
@click.argument("task")
@click.option("--reason", type=Words(MOST_WORDS), default="", help="Why, for the record.")
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, task: str, reason: str, path: Path, as_json: bool) -> None:
    """Take back what a task landed.

    A commit that takes it back passes the gates, the reviews and the merge queue like any other change; no agent and no model is
    asked. Tasks that build on it are named. Where others changed the same lines since, nothing is done, and you are told whose
    change has to be taken back first.

    TASK is its id; where several swarms have it, the newest one's, unless you write SWARM:TASK.
    """
    project = launcher.project(path)
    request = RevertTask(reason=reason, repository=str(project.root))
    decide(launcher, path, lambda inbox: inbox.revert(task, request), as_json=as_json)
