"""What a model call costs at most, and what it did cost: integers, nano-dollars, always rounded up.

The gateway reserves `worst_case` before a byte goes to a provider and settles at `cost` when the provider's usage is
known. The one property everything rests on: with usage inside the bound, `cost(price, usage) <= worst_case(...)`.

    worst case = choices * (input_bound * dearest input rate + output_cap * dearest output rate)

No tokenizer is asked and no cache hit assumed: a byte-level tokenizer emits at most one token per UTF-8 byte, and a
provider that normalises its input (NFKC) at most one per byte of the normal form.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.domain.budget import Amount, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

PER_MILLION = 1_000_000
FRAME_TOKENS = 1_024  # what a provider wraps around a request: roles, separators, its own preamble
TOOLS_TOKENS = 1_000  # the instructions a provider adds when tools are offered, and again for each tool it predefines


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars for a million tokens of each kind. `cache_write_1h` is for entries asked to live an hour."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int

    @classmethod
    def of(
        cls,
        *,
        input: int,  # noqa: A002 - the trade's word
        output: int,
        cache_read: int | None = None,
        cache_write: int | None = None,
        cache_write_1h: int | None = None,
    ) -> Rates:
        """Unknown cache rates at their dearest: a read as fresh input, a write at 1.25 times it, an hour's at 2 times."""
        return cls(
            input=input,
            output=output,
            cache_read=input if cache_read is None else cache_read,
            cache_write=_ceil_div(input * 5, 4) if cache_write is None else cache_write,
            cache_write_1h=max(input * 2, cache_write or 0) if cache_write_1h is None else cache_write_1h,
        )


@dataclass(frozen=True, slots=True)
class Tier:
    """The rates of the whole request once its input is longer than `above_tokens`."""

    above_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Price:
    """`source` says where the figures are from, with their date. `tiers` ascend."""

    rates: Rates
    tiers: tuple[Tier, ...] = ()
    context_window: int | None = None
    source: str = ""


FREE = Price(Rates(0, 0, 0, 0, 0), source="free by definition")


@dataclass(frozen=True, slots=True)
class Billed:
    """A provider's usage with the one detail money needs beyond it."""

    usage: Usage
    cache_write_1h_tokens: int = 0  # part of usage.cache_write_tokens


@dataclass(frozen=True, slots=True)
class Shape:
    """What a request can grow to. `text_bytes` from `text_bytes()`; `vendor_tools` counts tools whose schema the
    provider holds; `one_hour_cache` whether an hour's cache entry may be written; `any_window` whether the request may
    be served with a longer context window than the price table knows.
    """

    text_bytes: int
    output_cap: int
    choices: int = 1
    tools: bool = False
    vendor_tools: int = 0
    one_hour_cache: bool = False
    any_window: bool = False


def text_bytes(raw: bytes, text: str, decoded: object) -> int:
    """The most bytes any reading of a JSON body has: as sent, with its escapes resolved, and the NFKC form of either.

    `text` is `raw` decoded, `decoded` the parsed value.
    """
    escaped = "\\u" in text
    if raw.isascii() and not escaped:
        return len(raw)
    longest = max(len(raw), _normal_bytes(text))
    if escaped:
        plain = json.dumps(decoded, ensure_ascii=False)
        longest = max(longest, len(plain.encode("utf-8", "surrogatepass")), _normal_bytes(plain))
    return longest


def input_bound(shape: Shape, price: Price | None) -> int:
    """Tokens, at most."""
    bound = shape.text_bytes + FRAME_TOKENS
    if shape.tools:
        bound += TOOLS_TOKENS * (1 + shape.vendor_tools)
    window = price.context_window if price else None
    return bound if window is None or shape.any_window else min(bound, window)


def worst_case(shape: Shape, price: Price | None) -> Amount:
    """What to reserve. Without a price the money is zero: the caller must refuse that under a money budget."""
    most_input = input_bound(shape, price)
    tokens = shape.choices * (most_input + shape.output_cap)
    if price is None:
        return Amount(0, tokens)
    reachable = list(_rates_up_to(price, most_input))
    input_rate = max(_dearest_input(rates, one_hour=shape.one_hour_cache) for rates in reachable)
    output_rate = max(rates.output for rates in reachable)
    nano_millions = shape.choices * (most_input * input_rate + shape.output_cap * output_rate)
    return Amount(_ceil_div(nano_millions, PER_MILLION), tokens)


def cost(price: Price | None, billed: Billed) -> Amount:
    """What a call with this usage costs. The length of the whole input, cached or not, chooses the tier."""
    usage = billed.usage
    tokens = usage.input_tokens + usage.output_tokens
    if price is None:
        return Amount(0, tokens)
    rates = _rates_at(price, usage.input_tokens)
    short_writes = usage.cache_write_tokens - billed.cache_write_1h_tokens
    fresh = usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens
    nano_millions = (
        max(fresh, 0) * rates.input
        + usage.cache_read_tokens * rates.cache_read
        + max(short_writes, 0) * rates.cache_write
        + billed.cache_write_1h_tokens * rates.cache_write_1h
        + usage.output_tokens * rates.output
    )
    return Amount(_ceil_div(nano_millions, PER_MILLION), tokens)


def _dearest_input(rates: Rates, *, one_hour: bool) -> int:
    dearest = max(rates.input, rates.cache_read, rates.cache_write)
    return max(dearest, rates.cache_write_1h) if one_hour else dearest


def _rates_up_to(price: Price, most_input: int) -> Iterable[Rates]:
    yield price.rates
    for tier in price.tiers:
        if most_input > tier.above_tokens:
            yield tier.rates


def _rates_at(price: Price, input_tokens: int) -> Rates:
    return list(_rates_up_to(price, input_tokens))[-1]


def _normal_bytes(text: str) -> int:
    return len(unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass"))


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
