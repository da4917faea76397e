"""What is held is shown apart from what is spent, for the swarm and for the project's day and month."""

from datetime import UTC, datetime
from pathlib import Path

from swarmworks.cli.view.standing import standing
from swarmworks.cli.view.summary import windows
from swarmworks.wire.api import WindowStatus
from tests.cli import sample

DAY = WindowStatus(
    period="day",
    key="2026-11-28",
    ends_at=datetime(2026, 11, 29, tzinfo=UTC),
    percent=82,
    paused=False,
    limit_nano_usd=5 * 10**9,
    spent_nano_usd=4_100_000_000,
    held_nano_usd=200_000_000,
    tokens_limit=None,
    tokens_spent=0,
    calls_limit=500,
    calls=70,
)


def of(*found, **more):
    return sample.status(money=sample.money(windows=found, **more))


def test_a_day_shows_what_is_spent_and_held_and_its_limit():
    assert list(windows(of(DAY))) == ["day 2026-11-28: $4.10 spent and $0.20 held, of $5.00, 70 of 500 calls (82 %)"]


def test_a_day_that_is_nearly_used_up_says_until_when_nothing_begins():
    [line] = windows(of(DAY.model_copy(update={"paused": True, "percent": 91})))
    assert line.endswith("(91 %); nothing new begins until 2026-11-29 00:00 UTC")


def test_the_status_has_them_below_the_cost():
    text = "\n".join(standing(of(DAY, held_nano_usd=10**9), Path("/p"), running=True))
    assert "and $1.00 held" in text
    assert "  limit     day 2026-11-28: $4.10 spent" in text
