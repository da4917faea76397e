"""Quiet hours: a span of the wall clock in which only what is urgent is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` until `end`, over midnight where `end` is the earlier. `zone` None: the machine's own."""

    start: time
    end: time
    zone: tzinfo | None = None


def quiet_until(now: datetime, quiet: QuietHours | None) -> datetime | None:
    """When the quiet that `now` (aware) lies in is over, aware UTC; None when it is not quiet."""
    if quiet is None:
        return None
    local = now.astimezone(quiet.zone)
    clock = local.time().replace(fold=0)
    if quiet.start <= quiet.end:
        inside, days = quiet.start <= clock < quiet.end, 0
    else:
        inside, days = clock >= quiet.start or clock < quiet.end, int(clock >= quiet.start)
    if not inside:
        return None
    day = local.date() + timedelta(days=days)
    if quiet.zone is None:
        over = datetime.combine(day, quiet.end).astimezone(UTC)  # naive: read as the machine's own time
    else:
        over = datetime.combine(day, quiet.end, tzinfo=quiet.zone).astimezone(UTC)
    return max(over, now.astimezone(UTC) + timedelta(seconds=1))
