"""How well a swarm suits a plan, as it is shown by `swarm plan` and `swarm check`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from swarmworks.base.errors import NotFoundError
from swarmworks.policy.planning.fit import PROVES_NOTHING
from swarmworks.policy.suitability import Ground, Suitability, suitability, work_of
from swarmworks.wire.config import SandboxSection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from swarmworks.cli.context import Launcher
    from swarmworks.domain.plan import Plan
    from swarmworks.wire.config import SwarmConfig

WIDTH = 80
STATIC_READERS = frozenset({"ruff", "mypy", "lines"})
STATIC_NAMES = ("lint", "type", "check", "vet", "clippy")


def config_if_any(launcher: Launcher | None, path: Path) -> SwarmConfig | None:
    """Of the project `path` lies in; None where there is none. A swarm.toml with errors is an error."""
    if launcher is None:
        return None
    try:
        return launcher.project(path).config
    except NotFoundError:
        return None


def suits(plan: Plan, config: SwarmConfig | None, *, urgent: bool, budget: bool = False) -> Suitability:
    """For a plan whose lint has no errors. `budget`: one was named on the command line."""
    return suitability(work_of(plan), ground_of(config, budget=budget), urgent=urgent)


def ground_of(config: SwarmConfig | None, *, budget: bool = False) -> Ground:
    if config is None:
        return Ground(budget=budget)
    gates = config.gates.commands
    names = [name for name in gates if name not in PROVES_NOTHING]
    tests = any("test" in name or gates[name].reads == "junit" for name in names)
    static = any(gates[name].reads in STATIC_READERS or any(word in name for word in STATIC_NAMES) for name in names)
    asks = [gate for gate in config.review.all_gates() if gate.question]
    return Ground(
        tests=tests,
        static_checks=static,
        coverage=any(gate.reads == "coverage" for gate in gates.values()),
        sandbox=config.sandbox.floor >= SandboxSection().floor,
        budget=budget or config.budget.swarm_usd is not None,
        reviews=bool(asks),
    )


def suitability_lines(found: Suitability) -> Iterator[str]:
    verdict = "a swarm is recommended" if found.recommended else "one agent may serve you better"
    yield f"suitability     {found.score:g} of 10: {verdict}; {found.agents} kept busy"
    for part in found.parts:
        prefix = f"  {part.name:<18}{f'{part.points:g}/{part.most:g}':<8}"
        yield from textwrap.wrap(
            "; ".join(part.reasons), WIDTH, initial_indent=prefix, subsequent_indent=" " * len(prefix)
        )


def suitability_data(found: Suitability) -> dict[str, Any]:
    return {
        "score": found.score,
        "recommended": found.recommended,
        "keeps_busy": found.agents,
        "parts": [
            {"name": part.name, "points": part.points, "most": part.most, "reasons": list(part.reasons)}
            for part in found.parts
        ],
    }
