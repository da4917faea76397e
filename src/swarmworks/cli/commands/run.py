"""`swarm run`: a plan is run by a swarm of agents."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from swarmworks.base.errors import InvalidDocumentError, Problem
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.ending import end
from swarmworks.cli.options import budget_options, json_option, project_option
from swarmworks.cli.swarms import reach
from swarmworks.cli.view.progress import display_for
from swarmworks.cli.watching import follow
from swarmworks.domain.plan import Plan
from swarmworks.policy.lint import errors, lint
from swarmworks.wire.api import CreateSwarm, SwarmStatus
from swarmworks.wire.config import REHEARSAL
from swarmworks.wire.planfile import load_plan


@click.command("run")
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option(
    "--agents", metavar="N", type=click.IntRange(1, 1000), help="How many agents work at once; else as in swarm.toml."
)
@budget_options
@click.option("--model", help="provider:model, or rehearsal; else as in swarm.toml.")
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
    plan_file: Path,
    agents: int | None,
    budget: int | None,
    tokens: int | None,
    model: str | None,
    port: int,
    path: Path,
    allow_dirty: bool,
    as_json: bool,
) -> None:
    """Run a plan with a swarm of agents.

    Nothing lands without passing its gates, and your own branch is not touched: the result is a branch that you take over.
    Ctrl-C stops in order; `swarm resume` goes on.

    Exit codes: 0 landed, 1 blocked, 2 usage, 3 stopped by a limit, 4 infrastructure, 130 stopped by you.
    """
    plan = runnable_plan(plan_file)
    project = launcher.project(path)
    request = swarm_request(
        launcher,
        project,
        plan,
        agents=agents,
        budget=budget,
        tokens=tokens,
        model=model,
        allow_dirty=allow_dirty,
    )
    status = asyncio.run(run_swarm(launcher, project, request, port=port, as_json=as_json))
    end(status, project.root, as_json=as_json)


def runnable_plan(path: Path) -> Plan:
    """InvalidDocumentError with every reason why the plan must not run as it is."""
    plan = load_plan(path)
    found = errors(lint(plan))
    if found:
        problems = [Problem(0, f"{each.task}: {each.what}" if each.task else each.what, each.mend) for each in found]
        raise InvalidDocumentError(str(path), problems)
    return plan


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
        model=full_model_name(model or config.models.default),
        budget_nano_usd=config.budget.swarm_nano_usd if budget is None else budget,
        budget_tokens=tokens,
    )


def full_model_name(model: str) -> str:
    """`provider:model`. The rehearsal model is both."""
    if model == REHEARSAL:
        return f"{REHEARSAL}:{REHEARSAL}"
    provider, colon, name = model.partition(":")
    if not (provider and colon and name):
        raise click.BadParameter(
            f"{model!r} is neither rehearsal nor provider:model, such as openai:gpt-5", param_hint="--model"
        )
    return model


async def run_swarm(
    launcher: Launcher, project: OpenProject, request: CreateSwarm, *, port: int, as_json: bool
) -> SwarmStatus:
    async with reach(launcher, project, work=True, port=port, model=request.model) as reached:
        status = await reached.client.create_swarm(request)
        return await follow(reached, status, display_for(project.state, as_json=as_json))
