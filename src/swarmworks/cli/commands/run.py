"""`swarm run`: a plan is run by a swarm of agents."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import click

from swarmworks.base.errors import InvalidDocumentError, Problem
from swarmworks.cli.approving import approve_plan, approve_reviews
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.ending import end
from swarmworks.cli.faults import erring_model, fault_options, notice
from swarmworks.cli.options import Words, budget_options, json_option, project_option
from swarmworks.cli.plan_view import findings, overview
from swarmworks.cli.planning import Terms, plan_from
from swarmworks.cli.ringing import ringing
from swarmworks.cli.sandboxing import weakness
from swarmworks.cli.suitability_view import suitability_lines, suits
from swarmworks.cli.swarms import reach
from swarmworks.cli.view.progress import display_for
from swarmworks.cli.view.summary import money
from swarmworks.cli.watching import follow
from swarmworks.cli.wishes import named_file, one_of, wish_from
from swarmworks.cli.writing import refuse_overwriting, write_whole
from swarmworks.domain.plan import Plan
from swarmworks.policy.lint import Finding, errors, lint
from swarmworks.policy.planning.fit import unknown_gates
from swarmworks.policy.planning.from_words import Wish
from swarmworks.policy.tiers import TIERS
from swarmworks.wire.api import MOST_APPROVAL, CreateSwarm, SwarmStatus
from swarmworks.wire.config import REHEARSAL, SwarmConfig
from swarmworks.wire.planfile import dump_plan, load_plan


@click.command("run")
@click.argument("asked", metavar="[PLAN | WORDS]", required=False)
@click.option(
    "--from", "notes_file", type=click.Path(path_type=Path), help="Notes, a design (Markdown, text) or issues (JSON)."
)
@click.option("--issues", "issues_file", type=click.Path(path_type=Path), help="A list of issues: JSON or Markdown.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where a plan made from words is kept; else .swarm."
)
@click.option(
    "--approve",
    type=Words(MOST_APPROVAL, needed=True),
    metavar="REASON",
    help="Approve the plan without being asked, for scripts; says why.",
)
@click.option(
    "--agents", metavar="N", type=click.IntRange(1, 1000), help="How many agents work at once; else as in swarm.toml."
)
@budget_options
@click.option("--model", help="A tier, provider:model or rehearsal, for all tasks; else as in swarm.toml.")
@click.option(
    "--runtime", help="The agents' program: builtin, claude, codex, ... (docs/runtimes.md); else as in swarm.toml."
)
@fault_options(default=None)
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=0,
    help="The API's port on loopback; else a free one.",
)
@click.option("--allow-dirty", is_flag=True, help="Start from the last commit although there are uncommitted changes.")
@project_option
@json_option
@click.pass_obj
def command(
    launcher: Launcher,
    asked: str | None,
    notes_file: Path | None,
    issues_file: Path | None,
    output: Path | None,
    approve: str | None,
    agents: int | None,
    budget: int | None,
    tokens: int | None,
    model: str | None,
    runtime: str | None,
    faults: str | None,
    seed: int,
    port: int,
    path: Path,
    allow_dirty: bool,
    as_json: bool,
) -> None:
    """Run a plan with a swarm of agents; or say what is wanted, see the plan, and run it.

    WORDS, notes and issues are planned first, by the same model; you are shown the plan and asked before anything is built.
    A budget is for both.

    Nothing lands without passing its gates, and your own branch is not touched: the result is
    a branch of the swarm's own, which `swarm deliver` brings to yours.
    Ctrl-C stops in order; `swarm resume` goes on.

    Exit codes: 0 landed, 1 blocked, 2 usage, 3 stopped by a limit, 4 infrastructure, 130 stopped by you.
    """
    one_of(asked, notes_file, issues_file)
    file = named_file(asked) if asked is not None else None
    project = launcher.project(path)
    terms = Terms(
        model=full_model_name(model or project.config.models.default, project.config),
        kinds={} if model else project.config.models.by_kind(),
        budget=budget,
        tokens=tokens,
        agents=agents,
        port=port,
        allow_dirty=allow_dirty,
        as_json=as_json,
        runtime=runtime or project.config.agents.runtime,
        runtimes={} if runtime else project.config.agents.runtimes,
    )
    if file is not None:
        plan = runnable_plan(file, project.config)
    else:
        wish = wish_from(asked, notes_file, issues_file)
        if output is not None:
            refuse_overwriting(notes_file or issues_file, output, force=False, how="")
        plan, terms, approve = approved_plan(launcher, project, wish, terms, output, approve)
    request = swarm_request(
        launcher,
        project,
        plan,
        agents=terms.agents,
        budget=terms.budget,
        tokens=terms.tokens,
        model=terms.model,
        kinds=terms.kinds,
        allow_dirty=allow_dirty,
    )
    model = erring_model(request.model, faults, seed)
    request = request.model_copy(
        update={"model": model, "approved": approve, "runtime": terms.runtime, "runtimes": terms.runtimes}
    )
    if not as_json:
        for line in (*weakness(launcher, project), *notice(project.state, request.model)):
            click.echo(line)
    status = asyncio.run(run_swarm(launcher, project, request, port=port, as_json=as_json))
    end(status, project.root, as_json=as_json)


def approved_plan(
    launcher: Launcher, project: OpenProject, wish: Wish, terms: Terms, output: Path | None, approve: str | None
) -> tuple[Plan, Terms, str]:
    """The plan made from words once a person has approved it, what is left of the budget, and why it was approved. Ends the
    command when there is no plan, or no yes.
    """
    made, status = asyncio.run(plan_from(launcher, project, wish, terms))
    if made is None:
        end(status, project.root, as_json=terms.as_json)
    file = output or project.state / "plans" / f"{status.id}.yaml"
    write_whole(file, dump_plan(made))
    if not terms.as_json:
        fitting = suitability_lines(suits(made, project.config, urgent=False, budget=terms.budget is not None))
        for line in (*overview(made), *fitting, *findings(lint(made))):
            click.echo(line)
        click.echo(f"planning: {money(status)}")
        click.echo(f"the plan is {file}")
    why = approve_plan(made, file, reason=approve, as_json=terms.as_json)
    return made, terms.after(status), why


def runnable_plan(path: Path, config: SwarmConfig) -> Plan:
    """InvalidDocumentError with every reason why the plan must not run as it is."""
    plan = load_plan(path)
    found = errors(judged(plan, config))
    if found:
        problems = [Problem(0, f"{each.task}: {each.what}" if each.task else each.what, each.mend) for each in found]
        raise InvalidDocumentError(str(path), problems)
    return plan


def judged(plan: Plan, config: SwarmConfig | None) -> tuple[Finding, ...]:
    """What the lint says, and in a project which gates it has not."""
    if config is None:
        return lint(plan)
    known = config.gate_names
    return (*(() if known is None else unknown_gates(plan, known)), *lint(plan, exclusive=config.files.exclusive))


def swarm_request(
    launcher: Launcher,
    project: OpenProject,
    plan: Plan,
    *,
    agents: int | None,
    budget: int | None,
    tokens: int | None,
    model: str | None,
    allow_dirty: bool,
    kinds: Mapping[str, str] | None = None,
) -> CreateSwarm:
    """What the command line leaves open comes from the project's configuration. `budget` is in nano-dollars."""
    config = project.config
    return CreateSwarm(
        project=project.name,
        repository=str(project.root),
        base=launcher.base_commit(project, allow_dirty=allow_dirty),
        plan=plan,
        config=config,
        agents=agents or config.agents.count,
        model=full_model_name(model or config.models.default, config),
        kinds=dict(kinds or {}),
        budget_nano_usd=config.budget.swarm_nano_usd if budget is None else budget,
        budget_tokens=tokens,
    )


def full_model_name(model: str, config: SwarmConfig) -> str:
    """A tier, or `provider:model`. The rehearsal model is both of the latter."""
    if model in config.models.tiers:
        return model
    if model in TIERS:
        raise click.BadParameter(
            f'the tier {model} is not set: add {model} = ["provider:model"] to [models]', param_hint="--model"
        )
    if model == REHEARSAL:
        return f"{REHEARSAL}:{REHEARSAL}"
    provider, colon, name = model.partition(":")
    if not (provider and colon and name):
        raise click.BadParameter(
            f"{model!r} is neither rehearsal nor provider:model, such as openai:gpt-5, nor a tier", param_hint="--model"
        )
    return model


async def run_swarm(
    launcher: Launcher, project: OpenProject, request: CreateSwarm, *, port: int, as_json: bool
) -> SwarmStatus:
    project = project.with_agents(max(request.agents, project.config.agents.count))
    model = REHEARSAL if request.plan.is_mechanical else None if request.kinds else request.model
    async with reach(launcher, project, work=True, port=port, model=model) as reached:
        status = await reached.client.create_swarm(request)
        status = await approve_reviews(reached, status, request.plan, as_json=as_json)
        return await follow(reached, status, ringing(display_for(project.state, as_json=as_json), project))
