"""Whether a budget still pays for a call, and whether it was the swarm's budget that ended a session."""

from __future__ import annotations

from swarmworks.domain.budget import Amount, Limit, Window
from swarmworks.domain.session import SessionOutcome
from swarmworks.policy.ledger import used_percent

LARGEST_CALL = 16
"""The largest call, in smallest ones (a full context against a first request): a session that says the swarm's budget
refused it is believed only while less than this is left.
"""


def fits(limit: Limit, used: Amount, asked: Amount, *, calls: int = 0) -> bool:
    """Whether a call for `asked` still fits beside what is used, and beside the `calls` that were made."""
    money = limit.nano_usd is None or used.nano_usd + asked.nano_usd <= limit.nano_usd
    tokens = limit.tokens is None or used.tokens + asked.tokens <= limit.tokens
    return money and tokens and (limit.calls is None or calls < limit.calls)


def refused_by_swarm(
    outcome: SessionOutcome,
    reason: str | None,
    swarm_id: str,
    limit: Limit,
    spent: Amount,
    least: Amount,
    *,
    calls: int = 0,
) -> bool:
    """Whether the gateway turned the session's last call away because the swarm's own budget does not hold it. The
    reason went through the agent's hands: it counts only while the swarm's budget is nearly used up.
    """
    said = outcome is SessionOutcome.STOPPED and f"the budget of swarm {swarm_id} is full" in (reason or "")
    largest = Amount(least.nano_usd * LARGEST_CALL, least.tokens * LARGEST_CALL)
    return said and not fits(limit, spent, largest, calls=calls + LARGEST_CALL)


def pauses(window: Window, least: Amount, percent: int) -> bool:
    """Whether no session should begin in the window any more: `percent` of a limit are used, or no call fits."""
    used = used_percent(window.limit, window.spent, window.calls)
    return used >= percent or not fits(window.limit, window.spent.plus(window.held), least)
