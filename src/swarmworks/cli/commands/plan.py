"""`swarm plan`: a specification, words or issues become a plan file, which a person reviews before anything runs."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import click

from swarmworks.base.errors import EXIT_USAGE, UsageError
from swarmworks.base.ids import SwarmId
from swarmworks.cli.commands.run import full_model_name, judged
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.ending import end
from swarmworks.cli.mechanical import mechanical_plan
from swarmworks.cli.options import budget_options, json_option, project_option
from swarmworks.cli.plan_view import as_data, findings, notes, overview
from swarmworks.cli.planning import Terms, plan_from
from swarmworks.cli.suitability_view import config_if_any, suitability_data, suitability_lines, suits
from swarmworks.cli.swarms import find, reach
from swarmworks.cli.view.summary import money
from swarmworks.cli.wishes import named_file, one_of, wish_from
from swarmworks.cli.writing import refuse_overwriting, write_whole
from swarmworks.domain.plan import PLAN_FILE, Plan, Source
from swarmworks.policy.lint import Finding, errors
from swarmworks.policy.planning.decompose import decompose
from swarmworks.policy.planning.fit import without_unknown_gates
from swarmworks.policy.planning.remarks import remarks
from swarmworks.policy.planning.requirements import DEFAULT_COVERAGE
from swarmworks.wire.api import SwarmStatus
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.planfile import dump_plan, parse_plan
from swarmworks.wire.spec import load_specification


@click.command("plan")
@click.argument("asked", metavar="[SPEC | WORDS]", required=False)
@click.option(
    "--from", "notes_file", type=click.Path(path_type=Path), help="Notes, a design (Markdown, text) or issues (JSON)."
)
@click.option("--issues", "issues_file", type=click.Path(path_type=Path), help="A list of issues: JSON or Markdown.")
@click.option("--run", metavar="COMMAND", help="A shell command for each file of --each, in the place of {}: no model.")
@click.option("--each", metavar="PATTERN", multiple=True, help="Which files --run is for, such as 'src/**/*.py'.")
@click.option("--swarm", metavar="SWARM", help="Write the plan that a planning swarm has landed already.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("plan.yaml"),
    help="Where the plan goes.",
    show_default=True,
)
@click.option("--force", is_flag=True, help="Overwrite a plan that was edited by hand.")
@click.option(
    "--model", help="provider:model that plans from words; else as in swarm.toml. A specification needs none."
)
@click.option(
    "--runtime", help="The agent's program: builtin, claude, codex, ... (docs/runtimes.md); else as in swarm.toml."
)
@budget_options
@click.option("--urgent", is_flag=True, help="Count the work as urgent when judging whether a swarm suits it.")
@click.option("--allow-dirty", is_flag=True, help="Plan from the last commit although there are uncommitted changes.")
@project_option
@json_option
@click.pass_obj
def command(
    launcher: Launcher | None,
    asked: str | None,
    notes_file: Path | None,
    issues_file: Path | None,
    run: str | None,
    each: tuple[str, ...],
    swarm: str | None,
    output: Path,
    model: str | None,
    runtime: str | None,
    budget: int | None,
    tokens: int | None,
    path: Path,
    *,
    force: bool,
    urgent: bool,
    allow_dirty: bool,
    as_json: bool,
) -> None:
    """Make a plan from a specification, from words, or from issues.

    SPEC is a resource specification in YAML: it is decomposed by rules, without a model. WORDS say what is wanted; they,
    notes, designs and issues are planned by a model, which reads the repository first. With --run and
    --each it is one task for each file, done by that command without a model. The plan is a file you review and
    edit; `swarm check` lints it, `swarm run` runs it.
    """
    one_of(asked, notes_file, issues_file, swarm, run or each or None)
    spec = named_file(asked) if asked is not None else None
    if spec is not None and spec.suffix.lower() in {".md", ".markdown", ".txt", ".json"}:
        spec, notes_file = None, spec
    refuse_overwriting(spec or notes_file or issues_file, output, force=force)
    if spec is not None:
        config = config_if_any(launcher, path)
        _from_specification(spec, output, config, urgent=urgent, as_json=as_json)
        return
    assert launcher is not None
    project = launcher.project(path)
    status = None
    if run is not None or each:
        _refuse_terms(model=model, runtime=runtime, budget=budget, tokens=tokens)
        plan = mechanical_plan(launcher, project, run, each, allow_dirty=allow_dirty)
    elif swarm is not None:
        plan, status = asyncio.run(_landed_plan(launcher, project, swarm))
    else:
        terms = Terms(
            model=full_model_name(model or project.config.models.default, project.config),
            kinds={} if model else project.config.models.by_kind(),
            budget=budget,
            tokens=tokens,
            allow_dirty=allow_dirty,
            as_json=as_json,
            runtime=runtime or project.config.agents.runtime,
            runtimes={} if runtime else project.config.agents.runtimes,
        )
        made, status = asyncio.run(plan_from(launcher, project, wish_from(asked, notes_file, issues_file), terms))
        if made is None:
            end(status, project.root, as_json=as_json)
        plan = made
    changed = write_whole(output, dump_plan(plan))
    budgeted = budget is not None or tokens is not None
    _show(plan, output, project.config, [], status, changed=changed, urgent=urgent, budget=budgeted, as_json=as_json)


def _refuse_terms(**terms: object) -> None:
    asked = [f"--{name}" for name, value in terms.items() if value is not None]
    if asked:
        raise UsageError(
            "a plan of commands is made without a model",
            where=", ".join(asked),
            mend="leave that out, or say what is wanted in words",
        )


def _from_specification(spec: Path, output: Path, config: SwarmConfig | None, *, urgent: bool, as_json: bool) -> None:
    specification, data = load_specification(spec)
    source = Source("resources", spec.as_posix(), hashlib.sha256(data).hexdigest())
    floor = _floor_of(config)
    plan = decompose(specification, source, floor=floor)
    known = None if config is None else config.gate_names
    remarked = list(remarks(specification, floor=floor if known is None or "coverage" in known else None))
    if known is not None:
        plan, left_out = without_unknown_gates(plan, known)
        if left_out:
            named = f"the project has no gate {', '.join(left_out)}"
            remarked.append(f"{named}: no task requires it, and what it was to prove is left to the other gates")
    changed = write_whole(output, dump_plan(plan))
    _show(
        plan,
        output,
        config,
        remarked,
        None,
        changed=changed,
        urgent=urgent,
        budget=False,
        as_json=as_json,
    )


def _floor_of(config: SwarmConfig | None) -> float:
    """The coverage that the project's own gate asks for."""
    gate = None if config is None else config.gates.commands.get("coverage")
    return DEFAULT_COVERAGE if gate is None or gate.floor is None else gate.floor


async def _landed_plan(launcher: Launcher, project: OpenProject, wanted: str) -> tuple[Plan, SwarmStatus]:
    async with reach(launcher, project, work=False) as reached:
        swarm_id: SwarmId = (await find(reached.client, wanted)).id
        data = await reached.client.file(swarm_id, PLAN_FILE)
        return parse_plan(PLAN_FILE, data), await reached.client.status(swarm_id)


def _show(
    plan: Plan,
    output: Path,
    config: SwarmConfig | None,
    remarked: list[str],
    status: SwarmStatus | None,
    *,
    changed: bool,
    urgent: bool,
    budget: bool,
    as_json: bool,
) -> None:
    found = judged(plan, config)
    fitting = None if errors(found) else suits(plan, config, urgent=urgent, budget=budget)
    if as_json:
        data: dict[str, Any] = as_data(plan, found) | {"file": str(output), "changed": changed, "notes": remarked}
        data["suitability"] = None if fitting is None else suitability_data(fitting)
        data["planning"] = None if status is None else status.money.model_dump() | {"swarm": status.id}
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
        _end_with(found)
        return
    if fitting is not None:
        for line in (*overview(plan), *suitability_lines(fitting)):
            click.echo(line)
    for line in (*notes(remarked), *findings(found)):
        click.echo(line)
    if status is not None:
        click.echo(f"planning: {money(status)}")
    click.echo(f"{'wrote' if changed else 'unchanged:'} {output}")
    click.echo(f"next: read it, then swarm check {output}")
    _end_with(found)


def _end_with(found: tuple[Finding, ...]) -> None:
    if errors(found):
        click.get_current_context().exit(EXIT_USAGE)
