"""Routes about prices: what holds, what calls were priced by, and lists that people import and decide about."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from swarmworks.api.control_plane import ControlPlaneServices, services
from swarmworks.api.person import Person
from swarmworks.base.ids import SwarmId
from swarmworks.policy.pricing import PriceVerdict
from swarmworks.wire.prices import DecidedPrices, DecidePrices, ImportedPrices, ImportPrices, Prices, PricesUsed

router = APIRouter(prefix="/prices")
Services = Annotated[ControlPlaneServices, Depends(services)]
Models = Annotated[list[Annotated[str, Query(max_length=200)]] | None, Query(max_length=100)]


@router.get("")
async def prices(plane: Services, model: Models = None) -> Prices:
    return await plane.prices.prices(model or ())


@router.get("/used/{swarm_id}")
async def used(swarm_id: SwarmId, plane: Services) -> PricesUsed:
    return await plane.prices.used(swarm_id)


@router.post("")
async def propose(body: ImportPrices, plane: Services, person: Person) -> ImportedPrices:
    return await plane.prices.propose(body, person)


@router.post("/{list_id}/approve")
async def approve(list_id: str, body: DecidePrices, plane: Services, person: Person) -> DecidedPrices:
    return await plane.prices.decide(list_id, PriceVerdict.APPROVED, body.reason, person)


@router.post("/{list_id}/reject")
async def reject(list_id: str, body: DecidePrices, plane: Services, person: Person) -> DecidedPrices:
    return await plane.prices.decide(list_id, PriceVerdict.REJECTED, body.reason, person)
