"""The end of a command that followed a swarm: what is printed last, and the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from swarmworks.cli.view.summary import summary
from swarmworks.cli.watching import exit_code
from swarmworks.wire.api import SwarmStatus


def end(status: SwarmStatus, root: Path, *, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(status.model_dump_json(indent=2))
    else:
        for line in summary(status, root):
            click.echo(line)
    raise click.exceptions.Exit(exit_code(status))
