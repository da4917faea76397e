"""`swarm reject`: a person says no at a review gate, and why."""

from __future__ import annotations

from pathlib import Path

import click

from swarmworks.cli.context import Launcher
from swarmworks.cli.deciding import decide
from swarmworks.cli.options import Words, json_option, project_option
from swarmworks.wire.inbox import MOST_WORDS, Reject


@click.command("reject")
@click.argument("item", metavar="ID")
@click.option("--reason", type=Words(MOST_WORDS), required=True, help="What is wrong; the next attempt is told.")
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, item: str, reason: str, path: Path, as_json: bool) -> None:
    """Say no at a review gate, and why.

    A change that is rejected goes back to an agent with your words, and counts as an attempt. A plan that is rejected is
    not run. ID as for `swarm approve`.
    """
    decide(launcher, path, lambda inbox: inbox.reject(item, Reject(reason=reason)), as_json=as_json)
