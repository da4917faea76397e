"""`swarm doctor`: what this machine has, and what it lacks."""

from __future__ import annotations

from pathlib import Path

import click

from swarmworks.base.errors import EXIT_BLOCKED, UsageError
from swarmworks.cli.checks import examine
from swarmworks.cli.context import Launcher
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.verifying import verify_gates
from swarmworks.cli.view.findings import tell


@click.command("doctor")
@click.option("--gates", is_flag=True, help="Also build the environment and run the gates once on the last commit.")
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, path: Path, *, gates: bool, as_json: bool) -> None:
    """What this machine has, and what it lacks.

    Exit code 4 when something is lacking that a swarm needs; with --gates 1 when a gate is not green.
    """
    if gates and as_json:
        raise UsageError("--gates tells what it does as it goes", where="--json", mend="leave one of them out")
    tell(examine(launcher, path), "Everything a swarm needs is here.", as_json=as_json)
    if gates and not verify_gates(launcher, path):
        raise click.exceptions.Exit(EXIT_BLOCKED)
