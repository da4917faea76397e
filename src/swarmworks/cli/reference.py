"""The reference of all commands, `docs/commands.md`, from their own help: `python -m swarmworks.cli.reference` prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from swarmworks.cli.app import COMMANDS, swarm

WIDTH = 100
_HEAD = """# Commands

Generated from the commands' own help by `python -m swarmworks.cli.reference`; a test compares them. Every command that prints
data has `--json`. Errors say what was wrong, where, and the mend; with `--json` they are JSON too, with
the keys `error`, `what`, `where`, `mend` and, for a document, `problems` (each with `line`, `what`, `mend`).

| exit code | |
|---|---|
| 0 | landed, or done |
| 1 | finished with blocked tasks |
| 2 | usage or configuration |
| 3 | stopped by a limit |
| 4 | infrastructure |
| 130 | stopped by you |
"""


def render() -> str:
    """The whole page, Markdown."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    group = click.Context(swarm, info_name="swarm", **swarm.context_settings)
    for name in COMMANDS:
        command = swarm.get_command(group, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=group, terminal_width=WIDTH, max_content_width=WIDTH)
        yield f"## swarm {name}\n\n```\n{command.get_help(context)}\n```\n"
        yield from _below(command, context)


def _below(command: click.Command, context: click.Context) -> Iterator[str]:
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        one = command.get_command(context, name)
        assert one is not None
        inner = click.Context(one, info_name=name, parent=context, terminal_width=WIDTH, max_content_width=WIDTH)
        yield f"### {inner.command_path}\n\n```\n{one.get_help(inner)}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(render())
