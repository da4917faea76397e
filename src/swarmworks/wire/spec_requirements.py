"""What a requirement's words mean: `rate limit: 100 requests per minute` becomes a kind and its figures.

Words without a known meaning are kept as a `custom` requirement, which is proved by a test of its own; nothing is dropped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swarmworks.domain import spec
from swarmworks.domain.spec import Requirement
from swarmworks.wire.spec_entries import EntryError

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = {"second": 1, "sec": 1, "s": 1, "minute": 60, "min": 60, "m": 60, "hour": 3600, "h": 3600, "day": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|sec|seconds?)\b")
_PERCENTILE = re.compile(r"\bp(\d\d)\b|\b(\d\d)th percentile")
_RATE = re.compile(
    r"(\d+)\s*(?:requests?|reqs?|calls?|attempts?)?\s*(?:/|per|in an?|an?|every)\s*(\d+)?\s*"
    r"(seconds?|sec|s|minutes?|min|m|hours?|h|days?)\b"
)
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)")


def parse_requirement(area: str, text: str) -> Requirement:
    """Raises EntryError when a known requirement lacks its figure."""
    words = text.lower().replace("_", " ").replace("-", " ")
    for kind, pattern, figures in _KINDS[area]:
        if re.search(pattern, words):
            return Requirement(area, kind, text, figures(text, words))
    return Requirement(area, spec.CUSTOM, text)


def _none(_text: str, _words: str) -> dict[str, float]:
    return {}


def _latency(text: str, words: str) -> dict[str, float]:
    duration, percentile = _DURATION.search(words), _PERCENTILE.search(words)
    if not duration:
        raise EntryError(f"`{text}` has no time", "write `p95 latency below 200 ms`")
    factor = 1 if duration.group(2).startswith("m") else 1000
    share = float(percentile.group(1) or percentile.group(2)) if percentile else 95.0
    return {"percentile": share, "milliseconds": float(duration.group(1)) * factor}


def _throughput(text: str, words: str) -> dict[str, float]:
    count, seconds = _rate(text, words, "write `throughput of 100 requests per second`")
    return {"requests_per_second": count / seconds}


def _rate(text: str, words: str, mend: str) -> tuple[float, float]:
    found = _RATE.search(words.replace(",", ""))
    if not found or int(found.group(1)) == 0:
        raise EntryError(f"`{text}` has no rate", mend)
    unit = _SECONDS.get(found.group(3)) or _SECONDS[found.group(3).removesuffix("s")]
    return float(found.group(1)), float(found.group(2) or 1) * unit


def _rate_limit(text: str, words: str) -> dict[str, float]:
    count, seconds = _rate(text, words, "write `rate limit of 100 requests per minute`")
    return {"requests": count, "seconds": seconds}


def _concurrency(text: str, words: str) -> dict[str, float]:
    found = _NUMBER.search(words.replace(",", ""))
    if not found:
        raise EntryError(f"`{text}` has no number", "write `50 concurrent users`")
    return {"users": float(found.group(1))}


def _pagination(_text: str, words: str) -> dict[str, float]:
    found = _NUMBER.search(words)
    return {"page_size": float(found.group(1))} if found else {}


def _coverage(text: str, words: str) -> dict[str, float]:
    found = _NUMBER.search(words)
    if not found or not 0 < float(found.group(1)) <= 100:
        raise EntryError(f"`{text}` has no percentage between 1 and 100", "write `test coverage of at least 80 %`")
    return {"percent": float(found.group(1))}


_KINDS: dict[str, list[tuple[str, str, Callable[[str, str], dict[str, float]]]]] = {
    "performance": [
        (spec.CONCURRENCY, r"concurren|simultaneous", _concurrency),
        (spec.THROUGHPUT, r"throughput|requests? (per|/) ?s|req ?/ ?s|\brps\b", _throughput),
        (spec.LATENCY, r"latency|response times?|\bp\d\d\b|percentile|respond|answers?\b.* (ms|s)\b", _latency),
        (spec.PAGINATION, r"paginat|page size", _pagination),
    ],
    "quality": [
        (spec.COVERAGE, r"coverage", _coverage),
        (spec.LINT, r"\blint|\bruff\b|pep ?8|code style", _none),
        (spec.TYPES, r"type hint|type check|\btyped\b|mypy|typing|type annotation", _none),
        (spec.DOCUMENTATION, r"document|openapi|docstring", _none),
    ],
    "security": [
        (spec.PASSWORD_HASHING, r"password.*(hash|bcrypt|scrypt|argon)|(hash|bcrypt|scrypt|argon).*password", _none),
        (spec.RATE_LIMIT, r"rate limit|throttl", _rate_limit),
        (spec.SQL_INJECTION, r"sql injection|parameteri[sz]ed", _none),
        (
            spec.INPUT_VALIDATION,
            r"input validation|validate (all )?(input|bod)|inputs? (is|are) validated|invalid input",
            _none,
        ),
        (spec.AUTHENTICATION, r"authenticat|\bjwt\b|bearer|\blog ?in\b|oauth", _none),
    ],
}
AREAS = tuple(_KINDS)
