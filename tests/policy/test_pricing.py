from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.policy.bound import Price, Rates, Tier
from swarmworks.policy.pricing import ApprovedPrice, PriceEntry, fits, in_force, ranked, read, written

FROM = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def approved(number, rate, *, position=0, days=0, match=("=m",), provider="p", hosts=()):
    entry = PriceEntry(
        "m", match, FROM + days * DAY, Price(Rates.of(input=rate, output=rate)), provider, frozenset(hosts)
    )
    return ApprovedPrice(f"prl_{number}", number, position, entry)


def rate(prices, at=FROM + 9 * DAY, *, provider="p", host="", model="m"):
    found = in_force(ranked(prices, provider, host, model), at)
    return None if found is None else found.entry.price.rates.input


def test_the_latest_day_that_has_come_holds_and_of_one_day_what_was_approved_last():
    prices = [approved(1, 10), approved(2, 20, days=5), approved(3, 30), approved(4, 40, days=50)]
    assert rate(prices, FROM - DAY) is None
    assert rate(prices, FROM) == 30
    assert rate(prices, FROM + 5 * DAY) == 20
    assert rate(prices, FROM + 50 * DAY) == 40


def test_within_one_list_the_first_that_fits_holds():
    assert rate([approved(1, 10, position=0, match=("=m",)), approved(1, 20, position=1, match=("^m",))]) == 10


def test_a_price_holds_at_its_place_only():
    prices = [approved(1, 10), approved(2, 20, provider=None, hosts=["api.example"])]
    assert rate(prices, provider="other") is None
    assert rate(prices, provider="other", host="api.example") == 20
    assert rate(prices, model="m2") is None


@pytest.mark.parametrize(
    ("pattern", "model"), [("=m", "m"), ("^m", "mini"), ("$x", "max"), ("*a", "max"), ("~a.$", "max")]
)
def test_each_kind_of_pattern(pattern, model):
    assert fits(pattern, model)
    assert not fits(pattern, "zzz")


@given(
    rates=st.lists(st.integers(0, 10**15), min_size=10, max_size=10),
    window=st.none() | st.integers(1, 10**7),
    source=st.text(max_size=50),
)
def test_what_was_written_is_read_back_as_it_was(rates, window, source):
    price = Price(Rates(*rates[:5]), (Tier(1_000, Rates(*rates[5:])),), window, source)
    assert read(written(price)) == price
