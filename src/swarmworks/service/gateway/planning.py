"""A request that was read becomes a plan: what it may cost with the first model that can answer it, and what is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import RejectedError
from swarmworks.policy.clamp import Offer
from swarmworks.service.gateway.bounding import UnboundedError
from swarmworks.service.gateway.calling import Plan
from swarmworks.service.gateway.content import prompt_of
from swarmworks.service.gateway.exchange import Letter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swarmworks.provider.format import Demand, WireFormat
    from swarmworks.service.gateway.bounding import Bounded, InputBounds
    from swarmworks.service.gateway.calling import Target
    from swarmworks.service.gateway.record import GatewaySettings


def planned(
    raw: bytes,
    *,
    wire: WireFormat,
    headers: Mapping[str, str],
    targets: Sequence[Target],
    most_output: int,
    bounds: InputBounds,
    settings: GatewaySettings,
) -> Plan:
    """`targets` in the order of preference: those that cannot bound the request are passed over. RejectedError for one
    whose cost has no bound with any. May run off the loop.
    """
    try:
        demand = wire.read(raw, headers=headers, allowed_fields=settings.allowed_fields)
        cap = most_output if demand.asked_output is None else min(most_output, demand.asked_output)
        target, bounded, fallbacks = _first_bounded(targets, wire, demand, bounds)
        body = wire.rewrite(demand, model=target.model, output_cap=cap)
    except RecursionError as error:
        raise _too_deep() from error
    most = settings.content_chars
    return Plan(
        target=target,
        clamped=demand.asked_output is None or demand.asked_output > cap,
        strip_usage=demand.stream and not demand.wants_usage,
        bounded=bounded,
        offer=Offer(demand.shape, target.price, bounded.most_input, cap),
        letter=Letter(target.model, cap, body),
        prompt=prompt_of(demand.body.values, most, target.upstream.keys()) if most else (),
        fallbacks=tuple(fallbacks),
    )


def counted(raw: bytes, *, wire: WireFormat, model: str, allowed_fields: frozenset[str]) -> bytes:
    """What is sent to have a request counted. RejectedError for what a call would be refused for, too. May run off the loop."""
    try:
        return wire.counted(raw, model=model, allowed_fields=allowed_fields)
    except RecursionError as error:
        raise _too_deep() from error


def _too_deep() -> RejectedError:
    return RejectedError("the request is nested too deeply", mend="send a flatter one")


def _first_bounded(
    targets: Sequence[Target], wire: WireFormat, demand: Demand, bounds: InputBounds
) -> tuple[Target, Bounded, Sequence[Target]]:
    """And the targets behind it. UnboundedError, the first choice's, when there is none."""
    first: UnboundedError | None = None
    for at, target in enumerate(targets):
        try:
            bounded = bounds.of(target.upstream, target.model, target.price, wire, demand)
        except UnboundedError as error:
            first = first or error
        else:
            return target, bounded, targets[at + 1 :]
    assert first is not None
    raise first
