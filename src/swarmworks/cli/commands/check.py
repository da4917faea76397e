"""`swarm check`: lints a plan file, says whether a swarm suits it, how many agents it keeps busy, and for how long."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from swarmworks.base.errors import EXIT_USAGE, NotARepositoryError, NotFoundError
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import project_option
from swarmworks.cli.plan_view import as_data, findings, overview
from swarmworks.cli.suitability_view import suitability_data, suitability_lines, suits
from swarmworks.domain.budget import Limit
from swarmworks.domain.plan import Plan
from swarmworks.policy.ceilings import overestimated, too_small
from swarmworks.policy.lint import Finding, Severity, errors, lint
from swarmworks.policy.planning.fit import Repository, misfits
from swarmworks.wire.config_gates import BUILT_IN_GATES
from swarmworks.wire.planfile import load_plan

SURE = frozenset({"unknown_gate"})
"""What is wrong whoever wrote the plan. The rest a person may have meant, such as owning a protected file by its name."""


@click.command("check")
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path), default=Path("plan.yaml"))
@click.option("--urgent", is_flag=True, help="Count the work as urgent when judging whether a swarm suits it.")
@project_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
@click.pass_context
def command(context: click.Context, plan_file: Path, path: Path, *, urgent: bool, as_json: bool) -> None:
    """Lint a plan, judge whether a swarm suits it, and forecast its time by number of agents.

    In a project it is also held against its gates and files. Exit code 2 when the plan has errors; warnings alone do not
    count.
    """
    plan = load_plan(plan_file)
    launcher: Launcher | None = context.obj
    project = _project(launcher, path)
    exclusive = project is None or project.config.files.exclusive
    found = (*lint(plan, exclusive=exclusive), *_misfits(plan, launcher, project), *_ceilings(plan, launcher, project))
    fitting = None if errors(found) else suits(plan, project.config if project else None, urgent=urgent)
    if as_json:
        data = as_data(plan, found) | {"suitability": None if fitting is None else suitability_data(fitting)}
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        if fitting is not None:
            for line in (*overview(plan), "", *suitability_lines(fitting)):
                click.echo(line)
        for line in findings(found):
            click.echo(line)
    if errors(found):
        context.exit(EXIT_USAGE)


def _project(launcher: Launcher | None, path: Path) -> OpenProject | None:
    if launcher is None:
        return None
    try:
        return launcher.project(path)
    except NotFoundError:
        return None


def _ceilings(plan: Plan, launcher: Launcher | None, project: OpenProject | None) -> list[Finding]:
    """Of the project's own budget and model: what `swarm run` without options would be refused for."""
    if launcher is None or project is None:
        return []
    config = project.config
    swarm = Limit(config.budget.swarm_nano_usd)
    least = launcher.smallest_call(project, config.models.default)
    small = too_small(least, config.models.default, {"budget.swarm_usd": swarm, **config.ceilings()})
    return [*small, *overestimated(plan, {"budget.task_tokens": config.task_limit()})]


def _misfits(plan: Plan, launcher: Launcher | None, project: OpenProject | None) -> tuple[Finding, ...]:
    """How the plan fits the project's gates, and the files of its last commit where there is one."""
    if launcher is None or project is None:
        return ()
    config = project.config
    chosen = config.gate_names
    gates = frozenset(BUILT_IN_GATES) if chosen is None else chosen
    try:
        files = launcher.tracked_files(project, launcher.base_commit(project, allow_dirty=True))
    except NotARepositoryError:
        files = ()
    found = misfits(plan, Repository(frozenset(files), gates, config.files.protected_globs))
    return tuple(
        each if each.rule in SURE else replace(each, severity=Severity.WARNING)
        for each in found
        if (files or each.rule in SURE) and not (chosen is None and each.rule == "unknown_gate")
    )
