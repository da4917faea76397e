from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmworks.policy.quiet import QuietHours, quiet_until

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(time(22), time(7), BERLIN)
NOON = QuietHours(time(12), time(13, 30), UTC)


def at(text):
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "quiet", "until"),
    [
        ("2026-03-10T21:59:59+01:00", NIGHT, None),
        ("2026-03-10T22:00:00+01:00", NIGHT, "2026-03-11T07:00:00+01:00"),
        ("2026-03-11T03:00:00+01:00", NIGHT, "2026-03-11T07:00:00+01:00"),
        ("2026-03-11T07:00:00+01:00", NIGHT, None),
        ("2026-03-11T12:10:00+00:00", NOON, "2026-03-11T13:30:00+00:00"),
        ("2026-03-11T13:30:00+00:00", NOON, None),
        ("2026-03-28T23:00:00+01:00", NIGHT, "2026-03-29T07:00:00+02:00"),  # clocks go forward in that night
        ("2026-10-24T23:00:00+02:00", NIGHT, "2026-10-25T07:00:00+01:00"),  # and back in this one
        ("2026-03-11T12:10:00+00:00", None, None),
    ],
)
def test_until_when_it_is_quiet(now, quiet, until):
    assert quiet_until(at(now), quiet) == (at(until) if until else None)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    now=st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    start=st.times(),
    end=st.times(),
    zone=st.sampled_from([UTC, BERLIN, ZoneInfo("Australia/Lord_Howe"), None]),
)
def test_quiet_always_ends_within_a_day_and_never_in_the_past(now, start, end, zone):
    quiet = QuietHours(start.replace(microsecond=0), end.replace(microsecond=0), zone)
    until = quiet_until(now, quiet)
    if until is not None:
        assert now < until <= now + timedelta(hours=25)
