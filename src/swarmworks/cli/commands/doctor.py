"""`swarm doctor`: what this machine has, and what it lacks."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from swarmworks.base.errors import EXIT_INFRASTRUCTURE
from swarmworks.cli.checks import Check, Finding, examine, lacking
from swarmworks.cli.context import Launcher
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.view.amounts import counted

MARKS = {Finding.OK: "ok", Finding.NOTE: "note", Finding.LACKING: "LACKS"}
INDENT = " " * 7


@click.command("doctor")
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, path: Path, as_json: bool) -> None:
    """What this machine has, and what it lacks.

    Exit code 4 when something is lacking that a swarm needs.
    """
    checks = examine(launcher, path)
    missing = lacking(checks)
    if as_json:
        click.echo(json.dumps({"ok": not missing, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        _print(checks, missing)
    if missing:
        raise click.exceptions.Exit(EXIT_INFRASTRUCTURE)


def _print(checks: list[Check], missing: list[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        click.echo(f"{MARKS[check.finding]:<{len(INDENT)}}{check.name:<{width}}  {check.found}")
        if check.mend and check.finding is not Finding.OK:
            click.echo(f"{INDENT}{'':<{width}}  mend: {check.mend}")
    click.echo("")
    if missing:
        names = ", ".join(check.name for check in missing)
        click.echo(f"{counted(len(missing), 'thing')} lacking: {names}")
    else:
        click.echo("Everything a swarm needs is here.")
