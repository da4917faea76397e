"""`swarm check`: lints a plan file and says how many agents it keeps busy, and for how long."""

from __future__ import annotations

import json
from pathlib import Path

import click

from swarmworks.base.errors import EXIT_USAGE
from swarmworks.cli.plan_view import as_data, findings, overview
from swarmworks.policy.lint import errors, lint
from swarmworks.wire.planfile import load_plan


@click.command("check")
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path), default=Path("plan.yaml"))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
@click.pass_context
def command(context: click.Context, plan_file: Path, as_json: bool) -> None:
    """Lint a plan, and forecast its time by number of agents.

    Exit code 2 when the plan has errors; warnings alone do not count.
    """
    plan = load_plan(plan_file)
    found = lint(plan)
    if as_json:
        click.echo(json.dumps(as_data(plan), indent=2, ensure_ascii=False))
    else:
        if not errors(found):
            for line in overview(plan):
                click.echo(line)
        for line in findings(found):
            click.echo(line)
    if errors(found):
        context.exit(EXIT_USAGE)
