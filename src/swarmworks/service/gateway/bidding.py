"""A call's way to a reservation: all it asked for, else the output that fits, else with the input counted by the provider."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from swarmworks.base.errors import BudgetExceededError
from swarmworks.policy.bound import COUNT_TOKENS, counted_bound
from swarmworks.policy.delta import PLAUSIBLE_BYTES
from swarmworks.service.gateway.ledger import Terms
from swarmworks.service.gateway.queue import BusyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from swarmworks.domain.budget import Reservation
    from swarmworks.policy.clamp import Offer
    from swarmworks.policy.subscription import Subscription
    from swarmworks.service.gateway.ledger import Caller, Ledger


class Bid:
    """`count` asks the provider how long the input is; None when it cannot be asked. It is asked once, and only where its
    answer could make the call fit.
    """

    def __init__(
        self,
        ledger: Ledger,
        caller: Caller,
        model: str,
        offer: Offer,
        count: Callable[[], Awaitable[int | None]] | None,
        subscription: Subscription | None = None,
    ) -> None:
        self._ledger = ledger
        self._caller = caller
        self._model = model
        self._count = count
        self._terms = Terms(offer.price, subscription)
        self.offer = offer

    async def attempt(self) -> Reservation:
        """BudgetExceededError when it can never fit, BusyError when it may later."""
        try:
            return await self._reserve()
        except (BudgetExceededError, BusyError):
            if not await self._tighten():
                raise
        return await self._reserve()

    async def _reserve(self) -> Reservation:
        return await self._ledger.reserve(self._caller, self._model, self.offer.whole, self.offer, self._terms)

    async def _tighten(self) -> bool:
        """Whether the offer got smaller."""
        count, self._count = self._count, None
        if count is None:
            return False
        shortest = self.offer.shape.text_bytes // PLAUSIBLE_BYTES + COUNT_TOKENS
        if replace(self.offer, most_input=shortest).fitting(await self._ledger.room(self._caller)) is None:
            return False
        tokens = await count()
        if tokens is None or counted_bound(tokens) >= self.offer.most_input:
            return False
        self.offer = replace(self.offer, most_input=counted_bound(tokens))
        return True
