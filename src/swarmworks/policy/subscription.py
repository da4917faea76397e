"""Whether a call fits the throughput of a subscription: requests and tokens per window of time, instead of money.

A call counts as long as any moment between its beginning and its end lies within the window, with the most it may use until
its true use is known. So whichever moment the provider's own meter takes, no window ever holds more than its limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Window:
    """At most so many of each within any `seconds`; None: not limited. Tokens are those of input and output together."""

    seconds: float
    requests: int | None = None
    tokens: int | None = None

    def since(self, now: datetime) -> datetime:
        """From when calls count, on the whole second before: counted longer rather than shorter."""
        return (now - timedelta(seconds=self.seconds)).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A provider whose calls cost no money. All of `windows` hold together."""

    provider: str
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the calls of one window use, at most."""

    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class PastCall:
    """`ended_at` None: under way."""

    ended_at: datetime | None
    tokens: int


def never(window: Window, tokens: int) -> bool:
    """Whether a call of so many tokens does not fit even an empty window."""
    return window.tokens is not None and tokens > window.tokens


def fits(window: Window, drawn: Drawn, tokens: int) -> bool:
    """Whether one more call, of at most so many tokens, fits now."""
    if window.requests is not None and drawn.requests + 1 > window.requests:
        return False
    return window.tokens is None or drawn.tokens + tokens <= window.tokens


def wait_s(window: Window, drawn: Drawn, oldest: Sequence[PastCall], tokens: int, now: datetime) -> int:
    """Seconds until enough of the `oldest` calls (those that ended first come first) has left the window, at least 1. Calls
    under way leave it a whole window after they end. Never more than a window, should a clock have gone back.
    """
    requests, used = drawn.requests, drawn.tokens
    for call in oldest:
        if call.ended_at is None:
            break
        requests, used = requests - 1, used - call.tokens
        if fits(window, Drawn(requests, used), tokens):
            left = (call.ended_at + timedelta(seconds=window.seconds + 1) - now).total_seconds()
            return max(1, math.ceil(min(left, window.seconds + 1)))
    return math.ceil(window.seconds)
