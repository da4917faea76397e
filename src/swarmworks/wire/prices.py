"""Prices on the wire: a list that is imported, what it would change, and what holds for each model. Version 1."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MOST_ENTRIES = 20_000
MOST_REASON = 2_000
Dollars = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$")]
Text = Annotated[str, Field(min_length=1, max_length=500)]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RatesBody(Model):
    """Dollars for a million tokens. Unknown cache prices are taken at their dearest, see `policy.bound.Rates.of`."""

    input_usd_per_mtok: Dollars
    output_usd_per_mtok: Dollars
    cache_read_usd_per_mtok: Dollars | None = None
    cache_write_usd_per_mtok: Dollars | None = None
    cache_write_1h_usd_per_mtok: Dollars | None = None


class TierBody(RatesBody):
    """The prices of the whole request once its input is longer."""

    above_tokens: Annotated[int, Field(gt=0, le=1_000_000_000)]


class PriceBody(RatesBody):
    """What models cost at one place: a provider of swarm.toml, or the hosts of a vendor. `match`: a sign and a pattern each,
    see `policy.pricing.fits`.
    """

    label: Text
    match: Annotated[tuple[Text, ...], Field(min_length=1, max_length=100)]
    provider: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    hosts: Annotated[tuple[Host, ...], Field(max_length=20)] = ()
    valid_from: datetime
    context_window: Annotated[int, Field(gt=0, le=1_000_000_000)] | None = None
    tiers: Annotated[tuple[TierBody, ...], Field(max_length=20)] = ()

    @field_validator("match")
    @classmethod
    def _understood(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if pattern[0] not in "=^$*~" or len(pattern) < 2:
                raise ValueError(f"{pattern!r} is no pattern")
            if pattern[0] == "~":
                try:
                    re.compile(pattern[1:])
                except re.error as error:
                    raise ValueError(f"{pattern[1:]!r} is no regular expression: {error}") from None
        return patterns

    @field_validator("valid_from")
    @classmethod
    def _aware(cls, moment: datetime) -> datetime:
        if moment.tzinfo is None:
            raise ValueError("valid_from has no time zone")
        return moment

    @model_validator(mode="after")
    def _one_place(self) -> PriceBody:
        if (self.provider is None) == (not self.hosts):
            raise ValueError("a price holds at one place: give either provider or host")
        starts = [tier.above_tokens for tier in self.tiers]
        if starts != sorted(set(starts)):
            raise ValueError("tiers must ascend by above_tokens")
        if self.context_window is not None and starts and starts[-1] >= self.context_window:
            raise ValueError("a tier begins beyond the context window")
        return self


class ImportPrices(Model):
    source: Text
    prices: Annotated[tuple[PriceBody, ...], Field(min_length=1, max_length=MOST_ENTRIES)]


class DecidePrices(Model):
    reason: Annotated[str, Field(max_length=MOST_REASON)] = ""


class Figures(Model):
    """Nano-dollars for a million tokens."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int


class TierFigures(Figures):
    above_tokens: int


class PriceView(Model):
    """`origin`: what the price is from. `since`: when it began to hold, where that is known."""

    origin: Literal["swarm.toml", "approved", "shipped", "subscription", "free"]
    source: str
    since: datetime | None
    rates: Figures
    tiers: tuple[TierFigures, ...]
    context_window: int | None


class PricedModel(Model):
    """`price` None: unpriced."""

    model: str
    price: PriceView | None


class PriceChange(Model):
    """One entry of a list that is not what holds now. `before` None: unpriced."""

    label: str
    place: str
    match: tuple[str, ...]
    valid_from: datetime
    before: PriceView | None
    after: PriceView


class PriceListView(Model):
    id: str
    source: str
    state: Literal["proposed", "approved", "rejected"]
    entries: int
    imported_by: str
    imported_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None


class ImportedPrices(Model):
    """`same`: entries of the file that say what holds already, and are not in the list. `models`: what the configured models
    would cost by it, those that change.
    """

    prices: PriceListView
    changes: tuple[PriceChange, ...]
    same: int
    models: tuple[PricedModel, ...]


class DecidedPrices(Model):
    """`swarms`: open swarms in whose log it stands."""

    prices: PriceListView
    swarms: int


class Prices(Model):
    models: tuple[PricedModel, ...]
    lists: tuple[PriceListView, ...]


class PriceUseView(Model):
    """Calls of a swarm that were priced alike. Tokens as the providers said; `nano_usd` with what was charged in full."""

    model: str
    price: PriceView | None
    subscription: str | None
    calls: int
    estimated_calls: int
    nano_usd: int
    tokens: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int


class PricesUsed(Model):
    swarm_id: str
    uses: tuple[PriceUseView, ...]
