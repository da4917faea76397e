"""A file with prices, as `swarm prices import` takes it: ours in TOML or JSON, or genai-prices' data file.

source = "contract 2026-117"
valid_from = 2026-12-01

[[prices]]
host = "api.example.com"        # or hosts = [...], or provider = "its name in swarm.toml"
model = "qwen3-coder*"          # a star at the end: every name that begins so
input_usd_per_mtok = 0.40
output_usd_per_mtok = 1.60
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, cast

from pydantic import ValidationError

from swarmworks.base.errors import InvalidDocumentError, Problem
from swarmworks.wire import genai_prices
from swarmworks.wire.prices import MOST_ENTRIES, ImportPrices, PriceBody, TierBody
from swarmworks.wire.toml_lines import key_lines, line_of

MOST_BYTES = 16 << 20
MOST_PROBLEMS = 50
_WORDS = {"missing": "is missing", "extra_forbidden": "is no key of a price"}
_SEE = "see docs/prices.md"
_CHANGED = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError)

Table = dict[str, Any]


def read_prices(text: str, name: str, now: datetime, source: str | None = None) -> ImportPrices:
    """The file `name` with this `text`; its own source counts before `source`. InvalidDocumentError with every problem."""
    if len(text) > MOST_BYTES:
        raise InvalidDocumentError(name, [Problem(0, f"the file is larger than {MOST_BYTES:,} bytes", "split it")])
    as_toml = name.lower().endswith(".toml")
    document = _toml(text, name) if as_toml else _json(text, name)
    if genai_prices.is_data_file(document):
        named = f"genai-prices data file, sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"
        return _genai(cast("list[Table]", document), name, now, source or named)
    if not isinstance(document, dict):
        raise InvalidDocumentError(name, [Problem(0, "neither a list of prices nor genai-prices' data file", _SEE)])
    lines = key_lines(text) if as_toml else {}
    return _Own(cast("Table", document), name, lines, now, source).read()


def _toml(text: str, name: str) -> Any:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise InvalidDocumentError(name, [Problem(0, f"not valid TOML: {error}", "see https://toml.io")]) from None


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal)
    except json.JSONDecodeError as error:
        mend = "name the file .toml if it is TOML"
        raise InvalidDocumentError(name, [Problem(error.lineno, f"not valid JSON: {error.msg}", mend)]) from None
    except RecursionError:
        raise InvalidDocumentError(name, [Problem(0, "nested too deeply", _SEE)]) from None


def _genai(document: list[Table], name: str, now: datetime, source: str) -> ImportPrices:
    try:
        rows = genai_prices.entries(document, now)
    except _CHANGED as error:
        what = f"not as genai-prices writes it: {type(error).__name__} {error}"
        raise InvalidDocumentError(
            name, [Problem(0, what, "the format may have changed: use a list of your own")]
        ) from error
    prices: list[PriceBody] = []
    problems: list[Problem] = []
    for place, row in rows:
        try:
            prices.append(PriceBody.model_validate(row))
        except ValidationError as error:
            problems += [Problem(0, f"{place}: {_worded(each['loc'], each)}", _SEE) for each in error.errors()]
    return _checked(name, source, prices, problems)


class _Own:
    """One document of our own format. `lines` is empty for JSON: there the place is told instead."""

    def __init__(
        self, document: Table, name: str, lines: dict[tuple[str, ...], int], now: datetime, source: str | None
    ) -> None:
        self._document, self._name, self._lines, self._now, self._source = document, name, lines, now, source
        self._problems: list[Problem] = []

    def read(self) -> ImportPrices:
        for key in self._document:
            if key not in {"source", "valid_from", "prices"}:
                self._wrong((key,), f"{key} is no key of a list of prices", "known: source, valid_from, prices")
        source = self._document.get("source", self._source)
        if not isinstance(source, str) or not source.strip():
            self._wrong(
                ("source",), "source is missing", "say where the prices are from: a contract, a page and its date"
            )
            source = "-"
        since = self._moment(("valid_from",), self._document.get("valid_from"), self._now)
        rows: Any = self._document.get("prices")
        if not isinstance(rows, list) or not rows:
            self._wrong(("prices",), "there are no prices", "add [[prices]] tables")
            rows = []
        prices = [self._price(number, row, since) for number, row in enumerate(cast("list[Any]", rows))]
        return _checked(self._name, source, [price for price in prices if price is not None], self._problems)

    def _price(self, number: int, row: Any, since: datetime) -> PriceBody | None:
        at = ("prices", str(number))
        if not isinstance(row, dict):
            self._wrong(at, "must be a table", _SEE)
            return None
        fields = dict(cast("Table", row))
        model, host = fields.pop("model", None), fields.pop("host", None)
        if not isinstance(model, str) or not model.removesuffix("*"):
            self._wrong(at, "model is missing", 'name it, such as "gpt-5.1", or "gpt-5*" for all that begin so')
            return None
        if host is not None:
            fields["hosts"] = [*fields.get("hosts", ()), host]
        fields["valid_from"] = self._moment((*at, "valid_from"), fields.get("valid_from"), since)
        fields["label"] = model
        fields["match"] = [f"^{model[:-1]}" if model.endswith("*") else f"={model}"]
        try:
            return PriceBody.model_validate(fields)
        except ValidationError as error:
            for each in error.errors(include_url=False):
                self._wrong((*at, *map(str, each["loc"])), _worded(each["loc"], each), _known(each["loc"]))
            return None

    def _moment(self, at: tuple[str, ...], value: Any, otherwise: datetime) -> datetime:
        """A day begins at midnight UTC."""
        if value is None:
            return otherwise
        try:
            found = datetime.fromisoformat(value) if isinstance(value, str) else value
        except ValueError:
            found = None
        if isinstance(found, datetime):
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        if isinstance(found, date):
            return datetime.combine(found, time(), UTC)
        self._wrong(at, f"valid_from is no date: {value!r}", "write it like 2026-12-01")
        return otherwise

    def _wrong(self, at: tuple[str, ...], what: str, mend: str) -> None:
        if self._lines:
            self._problems.append(Problem(line_of(self._lines, at), what, mend))
        else:
            place = "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in at).lstrip(".")
            self._problems.append(Problem(0, f"{place}: {what}", mend))


def _checked(name: str, source: str, prices: list[PriceBody], problems: list[Problem]) -> ImportPrices:
    if len(prices) > MOST_ENTRIES:
        problems.append(Problem(0, f"{len(prices):,} prices are more than {MOST_ENTRIES:,}", "split the file"))
    if not prices and not problems:
        problems.append(Problem(0, "there is no price of a text model at a known vendor in it", _SEE))
    if problems:
        raise InvalidDocumentError(name, problems[:MOST_PROBLEMS])
    try:
        return ImportPrices(source=source.strip()[:500], prices=tuple(prices))
    except ValidationError as error:
        raise InvalidDocumentError(name, [Problem(0, _worded(e["loc"], e), _SEE) for e in error.errors()]) from None


def _worded(location: tuple[Any, ...], each: Any) -> str:
    key = ".".join(str(part) for part in location)
    what = _WORDS.get(each["type"]) or str(each["msg"]).removeprefix("Value error, ")
    return f"{key} {what}" if each["type"] in _WORDS else f"{key}: {what}".removeprefix(": ")


def _known(location: tuple[Any, ...]) -> str:
    tier = location[:1] == ("tiers",)
    fields = set(TierBody.model_fields if tier else PriceBody.model_fields) - {"label", "match"}
    return f"known: {', '.join(sorted(fields if tier else fields | {'model', 'host'}))}; {_SEE}"
