"""Whether a budget still pays for a call, and whose budget it was that ended a session."""

from __future__ import annotations

import re

from swarmworks.domain.budget import AccountKind, Amount, Limit, Window
from swarmworks.policy.ledger import used_percent

LARGEST_CALL = 16
"""The largest call, in smallest ones (a full context against a first request). Where more than that is left, what was refused
is a session that asks too much, and a fresh one may do with less.
"""
_REFUSAL = re.compile(r"the budget of (\w+) (.+?) is full")


def refusal(kind: AccountKind, subject: str) -> str:
    """How the reason begins for which a call is refused."""
    return f"the budget of {kind} {subject} is full"


def refused_by(stopped: str) -> tuple[AccountKind, str] | None:
    """Kind and subject of the account for which the gateway had a session ended; None when it was something else."""
    found = _REFUSAL.match(stopped)
    return (AccountKind(found[1]), found[2]) if found and found[1] in set(AccountKind) else None


def fits(limit: Limit, used: Amount, asked: Amount, *, calls: int = 0) -> bool:
    """Whether a call for `asked` still fits beside what is used, and beside the `calls` that were made."""
    money = limit.nano_usd is None or used.nano_usd + asked.nano_usd <= limit.nano_usd
    tokens = limit.tokens is None or used.tokens + asked.tokens <= limit.tokens
    return money and tokens and (limit.calls is None or calls < limit.calls)


def nearly_used_up(limit: Limit, spent: Amount, least: Amount, *, calls: int) -> bool:
    """Whether the largest call may not fit any more."""
    largest = Amount(least.nano_usd * LARGEST_CALL, least.tokens * LARGEST_CALL)
    return not fits(limit, spent, largest, calls=calls + LARGEST_CALL)


def pauses(window: Window, least: Amount, percent: int) -> bool:
    """Whether no session should begin in the window any more: `percent` of a limit are used, or no call fits."""
    used = used_percent(window.limit, window.spent, window.calls)
    return used >= percent or not fits(window.limit, window.spent.plus(window.held), least)
