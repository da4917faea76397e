"""Prices as the client sees them, beside the rest of the API: reached as `client.prices`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import quote, urlencode

from pydantic import BaseModel

from swarmworks.base.ids import SwarmId
from swarmworks.wire.prices import DecidedPrices, DecidePrices, ImportedPrices, ImportPrices, Prices, PricesUsed

ROOT = "/api/v1/prices"

Send = Callable[[str, str, BaseModel | None], Awaitable[bytes]]


class PricesClient:
    def __init__(self, send: Send) -> None:
        self._send = send

    async def prices(self, models: Sequence[str] = ()) -> Prices:
        """Of the configured models when none is named."""
        asked = f"?{urlencode([('model', model) for model in models])}" if models else ""
        return Prices.model_validate_json(await self._send("GET", f"{ROOT}{asked}", None))

    async def used(self, swarm_id: SwarmId) -> PricesUsed:
        return PricesUsed.model_validate_json(await self._send("GET", f"{ROOT}/used/{quote(swarm_id, safe='')}", None))

    async def propose(self, request: ImportPrices) -> ImportedPrices:
        return ImportedPrices.model_validate_json(await self._send("POST", ROOT, request))

    async def approve(self, list_id: str, request: DecidePrices) -> DecidedPrices:
        return await self._decide(list_id, "approve", request)

    async def reject(self, list_id: str, request: DecidePrices) -> DecidedPrices:
        return await self._decide(list_id, "reject", request)

    async def _decide(self, list_id: str, what: str, request: DecidePrices) -> DecidedPrices:
        answer = await self._send("POST", f"{ROOT}/{quote(list_id, safe='')}/{what}", request)
        return DecidedPrices.model_validate_json(answer)
