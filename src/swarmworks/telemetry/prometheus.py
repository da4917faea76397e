"""The counts of model calls as Prometheus reads them (text format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from swarmworks.domain.budget import NANO
from swarmworks.telemetry import names
from swarmworks.telemetry.calls import Target
from swarmworks.telemetry.counting import Histogram, Snapshot, Tally

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Labels = Mapping[str, str]


def text(now: Snapshot) -> str:
    rows = sorted(now.tallies.items(), key=lambda row: (row[0].account, row[0].model, row[0].operation, row[0].vendor))
    return "".join(f"{line}\n" for line in _lines(_labelled(rows), now.untold))


def _labelled(rows: Iterable[tuple[Target, Tally]]) -> list[tuple[Labels, Tally]]:
    return [({"provider": to.account, "model": to.model, "operation": to.operation}, tally) for to, tally in rows]


def _lines(rows: list[tuple[Labels, Tally]], untold: int | None) -> Iterator[str]:
    yield from _head(names.CALLS_TOTAL, "counter", "Model calls by outcome; refused ones were never sent.")
    for labels, tally in rows:
        for (outcome, reason), durations in sorted(tally.durations.items(), key=str):
            yield _line(names.CALLS_TOTAL, {**labels, "outcome": outcome, "reason": reason or ""}, durations.count)
    yield from _head(names.TOKENS_TOTAL, "counter", "Tokens as providers count them; input includes cached ones.")
    for labels, tally in rows:
        yield _line(names.TOKENS_TOTAL, {**labels, "type": "input"}, tally.input_tokens.sum)
        yield _line(names.TOKENS_TOTAL, {**labels, "type": "output"}, tally.output_tokens.sum)
    yield from _head(names.CACHED_TOKENS_TOTAL, "counter", "Of the input tokens: read from, written to a cache.")
    for labels, tally in rows:
        yield _line(names.CACHED_TOKENS_TOTAL, {**labels, "type": "read"}, tally.cache_read_tokens)
        yield _line(names.CACHED_TOKENS_TOTAL, {**labels, "type": "write"}, tally.cache_write_tokens)
    yield from _head(names.COST_DOLLARS, "counter", "What was booked; estimated: the whole reservation of a lost call.")
    for labels, tally in rows:
        yield _line(names.COST_DOLLARS, {**labels, "estimated": "false"}, _dollars(tally.exact_nano_usd))
        yield _line(names.COST_DOLLARS, {**labels, "estimated": "true"}, _dollars(tally.estimated_nano_usd))
    yield from _head(names.DURATION_SECONDS, "histogram", "From the request's arrival to the end of its answer.")
    for labels, tally in rows:
        for (outcome, reason), durations in sorted(tally.durations.items(), key=str):
            shown = {**labels, "outcome": outcome, "reason": reason or ""}
            yield from _histogram(names.DURATION_SECONDS, shown, durations)
    yield from _head(names.FIRST_BYTE_SECONDS, "histogram", "From the request's arrival to the provider's first byte.")
    for labels, tally in rows:
        yield from _histogram(names.FIRST_BYTE_SECONDS, labels, tally.first_bytes)
    if untold is not None:
        yield from _head(names.UNTOLD_TOTAL, "counter", "Calls of which the collector could not be told.")
        yield _line(names.UNTOLD_TOTAL, {}, untold)


def _head(name: str, kind: str, words: str) -> tuple[str, str]:
    return f"# HELP {name} {words}", f"# TYPE {name} {kind}"


def _line(name: str, labels: Labels, value: object) -> str:
    """An empty label is no label."""
    shown = ",".join(f'{key}="{each.translate(_ESCAPES)}"' for key, each in labels.items() if each)
    return f"{name}{{{shown}}} {value}" if shown else f"{name} {value}"


def _histogram(name: str, labels: Labels, histogram: Histogram) -> Iterator[str]:
    bounds = (*map(str, histogram.bounds), "+Inf")
    for bound, count in zip(bounds, accumulate(histogram.counts), strict=True):
        yield _line(f"{name}_bucket", {**labels, "le": bound}, count)
    yield _line(f"{name}_sum", labels, histogram.sum)
    yield _line(f"{name}_count", labels, histogram.count)


def _dollars(nano_usd: int) -> str:
    """To the nano-dollar: no float in between."""
    return f"{nano_usd // NANO}.{nano_usd % NANO:09}"
