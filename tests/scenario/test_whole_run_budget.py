"""Limits of money and tokens, met by a whole run: it stops, nothing above the limit was ever held, and it goes on."""

from __future__ import annotations

import pytest

from tests.scenario.driver import CALL_NANO_USD, CountedModel, Site, twelve

pytestmark = [pytest.mark.sandbox]

SMALL_ANSWERS = "[limits]\nmax_output_tokens = 1024\n"
LEAST_CALLS = 10
TASKS = 14
"""28 calls. Both limits let no session start once some twelve calls are paid, whatever runs beside it."""


@pytest.fixture
def model():
    made = CountedModel()
    yield made
    made.close()


@pytest.fixture
def site(tmp_path, model):
    made = Site(tmp_path / "site", model.url, twelve(TASKS), more=SMALL_ANSWERS)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("limit", "raised"),
    [(("--budget", "0.075"), ("--budget", "10")), (("--tokens", "57k"), ("--tokens", "100M"))],
    ids=["money", "tokens"],
)
async def test_a_run_stops_at_its_limit_and_a_higher_one_finishes_it(site, model, limit, raised):
    stopped = site.run("run", str(site.plan_file), "--json", *limit)
    assert stopped.code == 3, stopped
    assert (stopped.json["state"], stopped.json["reason"]) == ("stopped", "budget")
    truth = await site.truth()
    truth.assert_sound(cost_nano_usd=model.calls * CALL_NANO_USD)
    assert truth.peak.calls >= LEAST_CALLS
    assert 1 <= len(truth.landed()) < TASKS
    assert not [state for state in truth.states().values() if state == "blocked"]
    assert_within(truth)

    resumed = site.run("resume", "--json", *raised)
    assert (resumed.code, resumed.json["state"]) == (0, "landed"), resumed
    truth = await site.truth()
    truth.assert_sound(cost_nano_usd=model.calls * CALL_NANO_USD)
    assert set(truth.states().values()) == {"landed"}
    assert site.left_behind() == []


def assert_within(truth) -> None:
    """`spent + held` never passed the limit, at no instant of the ledger."""
    limit = truth.totals.limit
    assert limit.nano_usd is None or truth.peak.peak.nano_usd <= limit.nano_usd
    assert limit.tokens is None or truth.peak.peak.tokens <= limit.tokens
