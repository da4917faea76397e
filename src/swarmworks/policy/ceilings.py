"""What is refused before it runs: a budget that does not hold a single call, and a task whose estimate is above its ceiling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.domain.budget import NANO, Amount
from swarmworks.policy.lint import Finding, Severity
from swarmworks.policy.purse import fits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swarmworks.domain.budget import Limit
    from swarmworks.domain.plan import Plan


def too_small(least: Amount, model: str, ceilings: Mapping[str, Limit]) -> list[Finding]:
    """The ceilings, by the name a person knows them by, that do not hold the smallest worst case of one call."""
    return [
        Finding(
            Severity.ERROR,
            "budget_too_small",
            "",
            f"{name} does not hold one call of {model}, which is reserved at {worded(least)} before it is made",
            f"allow at least {worded(least)}, choose a cheaper model, or lower limits.max_output_tokens",
        )
        for name, limit in ceilings.items()
        if not fits(limit, Amount(), least)
    ]


def overestimated(plan: Plan, ceilings: Mapping[str, Limit]) -> list[Finding]:
    """The tasks whose own estimate of tokens is above a ceiling that holds for each task."""
    return [
        Finding(
            Severity.ERROR,
            "estimate_above_ceiling",
            task.id,
            f"is estimated at {task.estimate.tokens:,} tokens, above {name} ({limit.tokens:,})",
            "split the task, correct its estimate, or raise the ceiling",
        )
        for task in plan.tasks
        for name, limit in ceilings.items()
        if limit.tokens is not None and task.estimate.tokens > limit.tokens
    ]


def worded(amount: Amount) -> str:
    """Cents rounded up: what is asked for is enough."""
    tokens = f"{amount.tokens:,} tokens"
    cents = -(-amount.nano_usd * 100 // NANO)
    return f"${cents / 100:.2f} and {tokens}" if amount.nano_usd else tokens
