"""`swarm answer`: a person answers what an agent asked."""

from __future__ import annotations

from pathlib import Path

import click

from swarmworks.cli.context import Launcher
from swarmworks.cli.deciding import decide
from swarmworks.cli.options import Words, json_option, project_option
from swarmworks.wire.inbox import MOST_WORDS, AnswerQuestion


@click.command("answer")
@click.argument("item", metavar="ID")
@click.argument("words", nargs=-1, required=True, type=Words(MOST_WORDS))
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, item: str, words: tuple[str, ...], path: Path, as_json: bool) -> None:
    """Answer what an agent asked.

    ID is the question's, a part of it, or the id of the task that asks; see `swarm inbox`. A session that still runs hears
    it between two of its turns; a task that is blocked by the question is ready again, and its next session is told.
    """
    text = Words(MOST_WORDS).convert(" ".join(words), None, None)
    decide(launcher, path, lambda inbox: inbox.answer(item, AnswerQuestion(text=text)), as_json=as_json)
