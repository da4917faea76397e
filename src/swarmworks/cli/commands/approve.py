"""`swarm approve`: a person says yes at a review gate."""

from __future__ import annotations

from pathlib import Path

import click

from swarmworks.cli.context import Launcher
from swarmworks.cli.deciding import decide
from swarmworks.cli.options import Words, json_option, project_option
from swarmworks.wire.inbox import MOST_WORDS, Approve


@click.command("approve")
@click.argument("item", metavar="ID")
@click.option("--reason", type=Words(MOST_WORDS), default="", help="Why, for the record.")
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, item: str, reason: str, path: Path, as_json: bool) -> None:
    """Say yes at a review gate: of a plan, a change or a delivery.

    ID is the review's, a part of it, or the id of the task whose change is reviewed; see `swarm inbox`. Your name is on
    record with it. Where the gate names who may decide, only they can.
    """
    decide(launcher, path, lambda inbox: inbox.approve(item, Approve(reason=reason)), as_json=as_json)
