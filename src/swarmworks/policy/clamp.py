"""How much output a call may still have when not all it asked for fits the budget.

A call is offered with its whole output cap. Where that does not fit, the cap is lowered to what fits, but never below a
floor: an answer that is cut too early is paid for and of no use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from swarmworks.policy.bound import PER_MILLION, dearest_rates, worst_case

if TYPE_CHECKING:
    from swarmworks.domain.budget import Amount, Limit
    from swarmworks.policy.bound import Price, Shape

FLOOR_TOKENS = 4_096


@dataclass(frozen=True, slots=True)
class Offer:
    """A call with up to `most_input` tokens of input and an output cap of `wanted`, for each of its choices."""

    shape: Shape
    price: Price | None
    most_input: int
    wanted: int

    @property
    def whole(self) -> Amount:
        return self.amount(self.wanted)

    @property
    def floor(self) -> int:
        return min(FLOOR_TOKENS, self.wanted)

    @property
    def least(self) -> Amount:
        return self.amount(self.floor)

    def amount(self, output_cap: int) -> Amount:
        return worst_case(replace(self.shape, output_cap=output_cap), self.price, self.most_input)

    def cap_of(self, amount: Amount) -> int:
        """The output cap that `amount` was made for."""
        return amount.tokens // self.shape.choices - self.most_input

    def fitting(self, room: Limit) -> Amount | None:
        """The most that fits `room`; None when not even the floor does."""
        caps = [self.wanted]
        if room.tokens is not None:
            caps.append(room.tokens // self.shape.choices - self.most_input)
        if room.nano_usd is not None and self.price is not None:
            input_rate, output_rate = dearest_rates(self.shape, self.price, self.most_input)
            left = room.nano_usd * PER_MILLION // self.shape.choices - self.most_input * input_rate
            if left < 0:
                return None
            if output_rate:
                caps.append(left // output_rate)
        cap = min(caps)
        return self.amount(cap) if cap >= self.floor else None
