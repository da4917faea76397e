"""Which day and which month a moment belongs to, in a project's time zone. Pure.

A window never goes back: once a later one was begun, what is reserved belongs to it even if the clock says otherwise, so
that no clock opens a limit anew that was used up. A clock that was ahead is therefore paid for until it has come to where
it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from swarmworks.domain.budget import Period

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Span:
    """`starts_at` and `ends_at` in UTC; `key` as people write it, and in the order of time."""

    key: str
    starts_at: datetime
    ends_at: datetime


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def span_at(period: Period, now: datetime, zone: str) -> Span:
    return _SPANS[period](now.astimezone(_zone(zone)).date(), zone)


@lru_cache(maxsize=256)
def span_of(period: Period, key: str, zone: str) -> Span:
    return _SPANS[period](date.fromisoformat(key if period is Period.DAY else f"{key}-01"), zone)


def present(period: Period, now: datetime, zone: str, newest: str | None) -> Span:
    """The window of this moment; `newest` is the key of the last one that was begun."""
    if newest is None:
        return span_at(period, now, zone)
    last = span_of(period, newest, zone)
    return last if now < last.ends_at else span_at(period, now, zone)


def _day(day: date, zone: str) -> Span:
    return Span(day.isoformat(), _midnight(day, zone), _midnight(day + timedelta(days=1), zone))


def _month(day: date, zone: str) -> Span:
    first = day.replace(day=1)
    after = (first + timedelta(days=31)).replace(day=1)
    return Span(f"{first:%Y-%m}", _midnight(first, zone), _midnight(after, zone))


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), _zone(zone)).astimezone(UTC)


_SPANS: dict[Period, Callable[[date, str], Span]] = {Period.DAY: _day, Period.MONTH: _month}
