"""A subscription's throughput, held in the transaction that reserves a call: counted from the reservations themselves, so
that it survives a restart and holds over all control planes together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import BudgetExceededError
from swarmworks.base.ids import AccountId
from swarmworks.policy.subscription import fits, never, wait_s
from swarmworks.service.gateway.queue import BusyError

if TYPE_CHECKING:
    from datetime import datetime

    from swarmworks.policy.subscription import Subscription, Window
    from swarmworks.store.protocol import Reader, Tx

MOST_LOOKED_AT = 1_000  # calls, to say when there is room again


class NeverFitsError(BudgetExceededError):
    """A call that is larger than a whole window of the subscription."""

    code = "throughput_exceeded"


def line_of(subscription: Subscription | None) -> tuple[AccountId, ...]:
    """Where calls wait for the subscription, in the words of the queue."""
    return () if subscription is None else (AccountId(f"subscription:{subscription.provider}"),)


def check(tx: Tx, subscription: Subscription, tokens: int, now: datetime) -> None:
    """That one more call of at most so many tokens fits every window, until the transaction ends. NeverFitsError, BusyError."""
    provider = subscription.provider
    for window in subscription.windows:
        if never(window, tokens):
            raise NeverFitsError(
                f"this call may use {tokens:,} tokens, and the subscription of {provider} has {window.tokens:,} in "
                f"{window.seconds:g} seconds",
                where=f"[providers.{provider}]",
                mend="make the task or limits.max_output_tokens smaller, or use another model",
            )
    tx.hold_subscription(provider)
    for window in subscription.windows:
        since = window.since(now)
        drawn = tx.drawn(provider, since)
        if not fits(window, drawn, tokens):
            oldest = tx.oldest_draws(provider, since, MOST_LOOKED_AT)
            raise _busy(subscription, window, wait_s(window, drawn, oldest, tokens, now))


def has_room(reader: Reader, subscription: Subscription, tokens: int, now: datetime) -> bool:
    """Whether a call of so many tokens would fit now. A hint: nothing is held."""
    return all(
        fits(window, reader.drawn(subscription.provider, window.since(now)), min(tokens, window.tokens or tokens))
        for window in subscription.windows
    )


def _busy(subscription: Subscription, window: Window, wait_s: int) -> BusyError:
    limits = (
        f"{window.requests:,} requests" if window.requests is not None else "",
        f"{window.tokens:,} tokens" if window.tokens is not None else "",
    )
    return BusyError(
        f"the subscription of {subscription.provider} is used up for now: {' and '.join(filter(None, limits))} in "
        f"{window.seconds:g} seconds",
        account_id=line_of(subscription)[0],
        mend=f"try again in {wait_s} seconds",
        retry_after_s=wait_s,
    )
