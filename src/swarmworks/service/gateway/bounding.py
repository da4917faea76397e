"""How much input a call can have at most: the least of its bytes, what was counted of its conversation, and the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.base.errors import RejectedError
from swarmworks.policy.bound import context_window, input_bound
from swarmworks.policy.delta import Counts, Match, believable, chain, delta_bound

if TYPE_CHECKING:
    from swarmworks.base.clock import Clock
    from swarmworks.domain.budget import Usage
    from swarmworks.policy.bound import Price, Shape
    from swarmworks.provider.format import Demand, WireFormat
    from swarmworks.provider.limits import LimitTable, ModelLimits
    from swarmworks.service.gateway.record import Upstream


class UnboundedError(RejectedError):
    """Nothing bounds what the call can cost with this model."""

    code = "unbounded"


@dataclass(frozen=True, slots=True)
class Bounded:
    """`most_input` tokens. `digest` of the whole conversation, to remember by what the provider counts; None where that is
    of no use. `match`: the part of it that was counted before.
    """

    most_input: int
    digest: bytes | None = None
    match: Match | None = None


class InputBounds:
    def __init__(self, limits: LimitTable, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._counts = Counts()

    def limits_of(self, upstream: Upstream, model: str) -> ModelLimits:
        return self._limits.find(upstream.kind, model, upstream.base_url)

    def of(self, upstream: Upstream, model: str, price: Price | None, wire: WireFormat, demand: Demand) -> Bounded:
        """UnboundedError, naming the item, when nothing bounds one."""
        limits = self.limits_of(upstream, model)
        by_bytes = input_bound(demand.shape, price, limits.per_item)
        digest, match, by_delta = None, None, None
        if limits.whole_input and demand.conversation is not None:
            encoded = demand.conversation.encoded_items()
            served_by = (upstream.name, upstream.base_url, model, wire.name)
            setting = (*(part.encode() for part in served_by), *demand.conversation.encoded_setting())
            digests = chain(setting, encoded)
            digest = digests[-1] if digests else None
            match = self._counts.longest(digests, self._clock.monotonic())
            if match is not None:
                added = demand.conversation.added(encoded, match.length)
                by_delta = delta_bound(demand.shape, match.counted, added, limits.per_item)
        known = [bound for bound in (by_bytes, by_delta, context_window(demand.shape, price)) if bound is not None]
        if not known:
            raise _unbounded(demand, model, limits)
        return Bounded(min(known), digest, match)

    def remember(self, bounded: Bounded, shape: Shape, usage: Usage) -> None:
        """Exact usage of a call, as the provider gave it."""
        if bounded.digest is None or usage.input_tokens > bounded.most_input:
            return
        if believable(usage, shape, bounded.match):
            self._counts.put(bounded.digest, usage, self._clock.monotonic())


def _unbounded(demand: Demand, model: str, limits: ModelLimits) -> UnboundedError:
    first = next(each for each in demand.media if each.kind not in limits.per_item)
    return UnboundedError(
        f"nothing bounds what a {first.kind} costs with {model}: no maximum is published, and its window is not known",
        where=first.place,
        mend="send text, or choose a model with a published maximum or a known context window",
    )
