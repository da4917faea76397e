"""What an examination found, in lines for a person or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from swarmworks.base.errors import EXIT_INFRASTRUCTURE
from swarmworks.base.findings import Check, Finding
from swarmworks.cli.view.amounts import counted

MARKS = {Finding.OK: "ok", Finding.NOTE: "note", Finding.LACKING: "LACKS"}
INDENT = " " * 7


def tell(checks: Sequence[Check], all_well: str, *, as_json: bool) -> None:
    """Leaves with exit code 4 when something is lacking."""
    missing = [check for check in checks if check.finding is Finding.LACKING]
    if as_json:
        click.echo(json.dumps({"ok": not missing, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        _print(checks, missing, all_well)
    if missing:
        raise click.exceptions.Exit(EXIT_INFRASTRUCTURE)


def _print(checks: Sequence[Check], missing: Sequence[Check], all_well: str) -> None:
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
        click.echo(all_well)
