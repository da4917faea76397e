"""The data file of genai-prices (`prices/data.json` of github.com/pydantic/genai-prices, MIT) as a list of prices.

Vendors whose addresses are known here, and models that bill for text tokens alone. Where a price depends on the time of day
the dearest is kept; where it changed on a date, the one in force on the day of the import. `scripts/import-prices` makes
the shipped table of the same data, and takes its vendors from here.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast

HOSTS = {
    "anthropic": ["api.anthropic.com"],
    "openai": ["api.openai.com"],
    "google": ["generativelanguage.googleapis.com"],
    "mistral": ["api.mistral.ai"],
    "deepseek": ["api.deepseek.com"],
    "x-ai": ["api.x.ai"],
    "groq": ["api.groq.com"],
    "moonshotai": ["api.moonshot.ai", "api.moonshot.cn"],
    "zai": ["api.z.ai"],
}
NOT_TEXT = re.compile(
    r"(?i)search|research|image|audio|realtime|tts|transcri|whisper|embed|computer|moderation|ocr|video|veo|imagen|live|"
    r"voice|speech|voxtral|compound"
)
"""Models that bill for more than text tokens, by their ids; and what names such a model among the patterns of another."""
FIELDS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}
SIGNS = {"equals": "=", "starts_with": "^", "ends_with": "$", "contains": "*", "regex": "~"}
GOOGLE_MODELS = ("gemini", "gemma")
"""The others in Google's list are served elsewhere."""

Table = dict[str, Any]


def is_data_file(document: Any) -> bool:
    """A list of vendors, each with models."""
    if not isinstance(document, list) or not document:
        return False
    rows = cast("list[Any]", document)
    return all(isinstance(row, dict) and "models" in row and "id" in row for row in rows)


def entries(document: list[Table], now: datetime) -> list[tuple[str, Table]]:
    """For each model its place in the file, for messages, and a price as `wire.prices.PriceBody` wants it. KeyError, TypeError,
    ValueError, AttributeError or ArithmeticError where the file is not as expected.
    """
    found: list[tuple[str, Table]] = []
    for vendor in document:
        hosts = HOSTS.get(vendor["id"])
        for number, model in enumerate(vendor["models"] if hosts else ()):
            if vendor["id"] == "google" and not str(model["id"]).startswith(GOOGLE_MODELS):
                continue
            entry = _entry(model, now.date())
            if entry is not None:
                place = f"{vendor['id']}.models[{number}] ({model['id']})"
                found.append((place, {**entry, "hosts": hosts, "valid_from": now}))
    return found


def _entry(model: Table, today: date) -> Table | None:
    options = _in_force(model["prices"], today)
    match = [pattern for pattern in _patterns(model["match"]) if not NOT_TEXT.search(pattern)]
    base = _rates(options, 0)
    if (
        not match
        or "input_usd_per_mtok" not in base
        or "output_usd_per_mtok" not in base
        or NOT_TEXT.search(model["id"])
    ):
        return None
    starts = sorted({tier["start"] for option in options for value in option.values() for tier in _tiers(value)})
    window = model.get("context_window")
    if window is not None and any(start >= window for start in starts):
        window = None  # a longer window is on sale than the table says
    tiers = [{"above_tokens": start, **_rates(options, start + 1)} for start in starts]
    return {"label": model["id"], "match": match, "context_window": window, "tiers": tiers, **base}


def _patterns(clause: Table) -> list[str]:
    for kind, sign in SIGNS.items():
        if kind in clause:
            return [f"{sign}{clause[kind]}"]
    return [pattern for part in clause.get("or", ()) for pattern in _patterns(part)]


def _in_force(prices: Table | list[Table], today: date) -> list[Table]:
    """The undated or latest dated price, and every one that holds at some time of the day."""
    if isinstance(prices, dict):
        return [prices]
    dated: tuple[date, list[Table]] = (date.min, [])
    hourly: list[Table] = []
    for option in prices:
        constraint = option.get("constraint")
        if constraint is not None and "start_date" not in constraint:
            hourly.append(option["prices"])
            continue
        start = date.min if constraint is None else date.fromisoformat(constraint["start_date"])
        if dated[0] <= start <= today:
            dated = (start, [option["prices"]])
    return dated[1] + hourly


def _rates(options: list[Table], tokens: int) -> Table:
    found: Table = {}
    for name, field in FIELDS.items():
        values = [_at(option[field], tokens) for option in options if option.get(field) is not None]
        if values:
            found[f"{name}_usd_per_mtok"] = max(values)
    return found


def _at(value: Any, tokens: int) -> Decimal:
    price = Decimal(cast("Table", value)["base"]) if isinstance(value, dict) else Decimal(value)
    for tier in _tiers(value):
        if tokens > tier["start"]:
            price = Decimal(tier["price"])
    return price


def _tiers(value: Any) -> list[Table]:
    return cast("list[Table]", value["tiers"]) if isinstance(value, dict) else []
