import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from swarmworks.domain.budget import Limit
from swarmworks.policy.bound import Price, Rates, Shape, Tier, worst_case
from swarmworks.policy.clamp import FLOOR_TOKENS, Offer

rate = st.integers(0, 200_000_000_000)
rates = st.builds(Rates, rate, rate, rate, rate, rate)
prices = st.none() | st.builds(
    lambda base, above, dear: Price(base, (Tier(above, dear),)), rates, st.integers(1, 90_000), rates
)
offers = st.builds(
    Offer,
    st.builds(
        Shape, text_bytes=st.just(0), output_cap=st.just(0), choices=st.integers(1, 4), one_hour_cache=st.booleans()
    ),
    prices,
    st.integers(0, 100_000),
    st.integers(1, 200_000),
)
rooms = st.builds(Limit, st.none() | st.integers(0, 10**11), st.none() | st.integers(0, 10**6))


def fits(amount, room):
    money = room.nano_usd is None or amount.nano_usd <= room.nano_usd
    return money and (room.tokens is None or amount.tokens <= room.tokens)


@given(offers, rooms)
def test_what_is_found_fits_and_a_token_more_would_not(offer, room):
    found = offer.fitting(room)
    if found is None:
        assert not fits(offer.least, room)
        return
    cap = offer.cap_of(found)
    assert offer.amount(cap) == found
    assert fits(found, room)
    assert offer.floor <= cap <= offer.wanted
    assert cap == offer.wanted or not fits(offer.amount(cap + 1), room)


@given(offers, st.data())
def test_money_between_the_least_and_the_whole_is_used_to_the_last_token(offer, data):
    assume(offer.price is not None)
    money = data.draw(st.integers(offer.least.nano_usd, offer.whole.nano_usd))
    found = offer.fitting(Limit(money))
    assert found is not None
    assert found.nano_usd <= money
    cap = offer.cap_of(found)
    assert cap == offer.wanted or offer.amount(cap + 1).nano_usd > money


@given(offers)
def test_the_whole_is_found_where_there_is_room_for_it(offer):
    assert offer.fitting(Limit()) == offer.whole
    assert offer.fitting(Limit(offer.whole.nano_usd, offer.whole.tokens)) == offer.whole


@given(offers)
def test_the_least_keeps_the_floor(offer):
    assume(offer.wanted > FLOOR_TOKENS)
    assert offer.cap_of(offer.least) == FLOOR_TOKENS
    assert offer.fitting(Limit(None, offer.least.tokens)) == offer.least
    assert offer.fitting(Limit(None, offer.least.tokens - 1)) is None


@pytest.mark.parametrize("wanted", [1, 100, FLOOR_TOKENS])
def test_a_call_that_asks_for_less_than_the_floor_is_never_cut(wanted):
    offer = Offer(Shape(text_bytes=0, output_cap=0), None, 10, wanted)
    assert offer.least == offer.whole == worst_case(Shape(text_bytes=0, output_cap=wanted), None, 10)
    assert offer.fitting(Limit(None, offer.whole.tokens - 1)) is None
