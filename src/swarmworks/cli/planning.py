"""Plans from words: a swarm of one task reads the repository and writes the plan file, which is then handed to the person.

Used by `swarm plan` and `swarm run`. It is an ordinary swarm, with its budget, its gates and its record, but nothing of it
is delivered: only the file is read from its branch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from swarmworks.base.errors import LimitReachedError, UsageError
from swarmworks.cli.ringing import ringing
from swarmworks.cli.swarms import reach
from swarmworks.cli.view.progress import display_for
from swarmworks.cli.watching import follow
from swarmworks.domain.plan import PLAN_FILE
from swarmworks.domain.swarm import SwarmState
from swarmworks.policy.patterns import matching_pattern
from swarmworks.policy.planning.from_words import Facts, GateFact, planning_plan
from swarmworks.wire.api import CreateSwarm, SwarmStatus
from swarmworks.wire.config import BUILT_IN_RUNTIME, REHEARSAL, SwarmConfig
from swarmworks.wire.config_gates import BUILT_IN_GATES
from swarmworks.wire.config_review import ReviewsSection
from swarmworks.wire.planfile import parse_plan

if TYPE_CHECKING:
    from swarmworks.cli.context import Launcher, OpenProject
    from swarmworks.domain.plan import Plan
    from swarmworks.policy.planning.from_words import Wish

ATTEMPTS = 3
"""One plan, repaired at most twice."""

MOST_PROTECTED = 60


@dataclass(frozen=True, slots=True)
class Terms:
    """What the command line says about a run. `budget` is in nano-dollars; None leaves it to the project. `model` is full."""

    model: str
    budget: int | None = None
    tokens: int | None = None
    agents: int | None = None
    port: int = 0
    allow_dirty: bool = False
    as_json: bool = False
    runtime: str = BUILT_IN_RUNTIME
    kinds: dict[str, str] = field(default_factory=dict[str, str])
    runtimes: dict[str, str] = field(default_factory=dict[str, str])

    def after(self, status: SwarmStatus) -> Terms:
        """What is left for the run once the planning is paid. LimitReachedError when nothing is."""
        spent = status.money
        budget = None if spent.limit_nano_usd is None else spent.limit_nano_usd - spent.spent_nano_usd
        tokens = None if spent.tokens_limit is None else spent.tokens_limit - spent.tokens_spent
        if (budget is not None and budget <= 0) or (tokens is not None and tokens <= 0):
            raise LimitReachedError(
                "planning has used the whole budget",
                where=f"swarm {status.id}",
                mend="run the plan with a new --budget",
            )
        return replace(self, budget=budget, tokens=tokens)


def refuse_rehearsal(model: str, config: SwarmConfig) -> None:
    """The rehearsal model follows rules: it knows specifications, and no words."""
    if not any(one.partition(":")[0] == REHEARSAL for one in config.models.chain(model)):
        return
    named = next(iter(config.providers), "")
    mend = f"name a real one with --model {named or 'PROVIDER'}:MODEL"
    if not named:
        mend += ", and add a table [providers.PROVIDER] to swarm.toml; or write a specification and plan that"
    raise UsageError("the rehearsal model cannot plan from words", where=f"--model {REHEARSAL}", mend=mend)


def planning_request(launcher: Launcher, project: OpenProject, wish: Wish, terms: Terms) -> CreateSwarm:
    config = project.config
    refuse_rehearsal(terms.model, config)
    base = launcher.base_commit(project, allow_dirty=terms.allow_dirty)
    files = launcher.tracked_files(project, base)
    return CreateSwarm(
        project=project.name,
        repository=str(project.root),
        base=base,
        plan=planning_plan(wish, facts_of(config, files)),
        config=planning_config(config),
        agents=1,
        model=terms.model,
        budget_nano_usd=config.budget.swarm_nano_usd if terms.budget is None else terms.budget,
        budget_tokens=terms.tokens,
        runtime=terms.runtime,
        kinds=terms.kinds,
        runtimes=terms.runtimes,
    )


def planning_config(config: SwarmConfig) -> SwarmConfig:
    """The project's, but that a plan is judged as a plan even where no gates are wanted, gets its attempts, and is not
    reviewed as a change: the person is asked about the plan itself.
    """
    return config.model_copy(
        update={
            "gates": config.gates.model_copy(update={"explicitly_none": False}),
            "limits": config.limits.model_copy(update={"attempts": ATTEMPTS}),
            "review": ReviewsSection(explicitly_none=True),
        }
    )


def facts_of(config: SwarmConfig, files: tuple[str, ...]) -> Facts:
    commands = {name: gate.run or f"reads the report of {gate.source}" for name, gate in config.gates.commands.items()}
    gates = [*(GateFact(name) for name in BUILT_IN_GATES), *(GateFact(name, run) for name, run in commands.items())]
    patterns = config.files.protected_globs
    protected = [path for path in files if matching_pattern(path, patterns) is not None]
    return Facts(
        config.project.language, config.project.framework, files, tuple(gates), tuple(protected[:MOST_PROTECTED])
    )


async def plan_from(
    launcher: Launcher, project: OpenProject, wish: Wish, terms: Terms
) -> tuple[Plan | None, SwarmStatus]:
    """The plan as it landed, None when it did not: the status says why."""
    request = planning_request(launcher, project, wish, terms)
    async with reach(
        launcher, project, work=True, port=terms.port, model=None if terms.kinds else terms.model
    ) as reached:
        status = await reached.client.create_swarm(request)
        status = await follow(reached, status, ringing(display_for(project.state, as_json=terms.as_json), project))
        if status.state != SwarmState.LANDED:
            return None, status
        data = await reached.client.file(status.id, PLAN_FILE)
    return replace(parse_plan(PLAN_FILE, data), source=wish.source), status
