"""What a model call costs at most, and what it did cost: integers, nano-dollars, always rounded up.

The gateway reserves `worst_case` before a byte goes to a provider and settles at `cost` when the provider's usage is
known. The one property everything rests on: with usage inside the bound, `cost(price, usage) <= worst_case(...)`.

    worst case = choices * (input_bound * dearest input rate + output_cap * dearest output rate)

No tokenizer is asked and no cache hit assumed. The input's bound is the least of those that apply: the bytes (here: a
byte-level tokenizer emits at most one token per UTF-8 byte, and a provider that normalises its input (NFKC) at most one
per byte of the normal form), what the provider counted for the conversation so far (`policy/delta.py`), what it counts
when asked (`counted_bound`), and the context window.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from swarmworks.domain.budget import Amount, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PER_MILLION = 1_000_000
FRAME_TOKENS = 1_024  # what a provider wraps around a request: roles, separators, its own preamble
TOOLS_TOKENS = 1_000  # the instructions a provider adds when tools are offered, and again for each tool it predefines
PIECE = 128  # characters
LONG_PIECE = 65_536
"""Where no marks follow each other for long: normalising is one call that nothing interrupts."""
SEAM_BYTES = 24
"""A mark behind a seam can take the composed characters on both sides of it apart again, into twelve bytes each."""
_RUN = re.compile(r"[^\x00-\x7f]+")
ROUNDED_BY = 20
"""Tables round windows down, 1,048,576 to 1,000,000: one part in so many is added."""
COUNT_TOKENS = 512  # a provider's own count is an estimate: it may miss this much, and 3 %
UNFOLDED_BYTES = 33  # the longest NFKC form of one character (U+FDFA), in UTF-8
_ESCAPE_BYTES = 6  # of a character written as \uXXXX


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


class MediaKind(StrEnum):
    """What is not text, and is billed at the price of text."""

    IMAGE = "image"
    DOCUMENT = "document"  # a PDF


NOTHING_PUBLISHED: Mapping[MediaKind, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Shape:
    """What a request can grow to. `text_bytes` from `text_bytes()`; `vendor_tools` counts tools whose schema the
    provider holds; `one_hour_cache` whether an hour's cache entry may be written; `any_window` whether the request may
    be served with a longer context window than the price table knows; `media`: items whose payload is not in the bytes.
    """

    text_bytes: int
    output_cap: int
    choices: int = 1
    tools: bool = False
    vendor_tools: int = 0
    one_hour_cache: bool = False
    any_window: bool = False
    media: tuple[MediaKind, ...] = ()


def text_bytes(raw: bytes, text: str, decoded: object, *, media_bytes: int = 0) -> int:
    """The most bytes any reading of a JSON body has: as sent, with its escapes resolved, and the NFKC form of either;
    without `media_bytes` of payload, which are ASCII in each of them.

    `text` is `raw` decoded, `decoded` the parsed value.
    """
    escaped = "\\u" in text
    if raw.isascii() and not escaped:
        return len(raw) - media_bytes
    longest = max(len(raw), _normal_bytes(text))
    return (max(longest, json_bytes(decoded)) if escaped else longest) - media_bytes


def json_bytes(decoded: object) -> int:
    """The most bytes a JSON value has as text, normalised or not. An escape that is left when all are resolved stands in
    JSON within JSON (arguments of a tool): a provider that reads that too makes one character of it, and normalises it.
    """
    plain = json.dumps(decoded, ensure_ascii=False)
    longest = max(len(plain.encode("utf-8", "surrogatepass")), 0 if plain.isascii() else _normal_bytes(plain))
    return longest + plain.count("\\u") * (UNFOLDED_BYTES - _ESCAPE_BYTES)


def frame_tokens(shape: Shape) -> int:
    """What a provider adds to what was sent."""
    return FRAME_TOKENS + (TOOLS_TOKENS * (1 + shape.vendor_tools) if shape.tools else 0)


def context_window(shape: Shape, price: Price | None) -> int | None:
    """No provider takes a longer input. None when it is not known."""
    window = None if price is None or shape.any_window else price.context_window
    return None if window is None else window + _ceil_div(window, ROUNDED_BY)


def input_bound(shape: Shape, price: Price | None, per_item: Mapping[MediaKind, int] = NOTHING_PUBLISHED) -> int | None:
    """Tokens, at most. `per_item`: the most one item of media can be; a kind that is not in it is bounded by the context
    window, and the result None when that is not known either.
    """
    window = context_window(shape, price)
    if any(kind not in per_item for kind in shape.media):
        return window
    bound = shape.text_bytes + sum(per_item[kind] for kind in shape.media) + frame_tokens(shape)
    return bound if window is None else min(bound, window)


def counted_bound(tokens: int) -> int:
    """From the answer of a provider's count endpoint."""
    return tokens + _ceil_div(tokens * 3, 100) + COUNT_TOKENS


def worst_case(shape: Shape, price: Price | None, most_input: int | None = None) -> Amount:
    """What to reserve; `most_input` tokens where a tighter bound than `input_bound` is known. Without a price the money
    is zero: the caller must refuse that under a money budget. ValueError for a request that has no bound.
    """
    most_input = input_bound(shape, price) if most_input is None else most_input
    if most_input is None:
        raise ValueError("a request with media that nothing bounds")
    tokens = shape.choices * (most_input + shape.output_cap)
    if price is None:
        return Amount(0, tokens)
    input_rate, output_rate = dearest_rates(shape, price, most_input)
    nano_millions = shape.choices * (most_input * input_rate + shape.output_cap * output_rate)
    return Amount(_ceil_div(nano_millions, PER_MILLION), tokens)


def dearest_rates(shape: Shape, price: Price, most_input: int) -> tuple[int, int]:
    """For input and output, nano-dollars for a million tokens, with an input of up to `most_input` tokens."""
    reachable = list(_rates_up_to(price, most_input))
    input_rate = max(_dearest_input(rates, one_hour=shape.one_hour_cache) for rates in reachable)
    return input_rate, max(rates.output for rates in reachable)


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
    """Of the NFKC form, at most. In pieces where combining marks may follow each other for long: normalising them takes
    the square of their number.
    """
    long = any(run.end() - run.start() >= PIECE for run in _RUN.finditer(text))
    size = PIECE if long else LONG_PIECE
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    normal = sum(len(unicodedata.normalize("NFKC", piece).encode("utf-8", "surrogatepass")) for piece in pieces)
    return normal + SEAM_BYTES * max(0, len(pieces) - 1)


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
