from hypothesis import given
from hypothesis import strategies as st

from swarmworks.domain.budget import Amount, Limit
from swarmworks.policy.ledger import SHARE, UNBOUNDED, affordable, give_back, room, top_up

amounts = st.integers(0, 10**15)
needs = st.integers(1, 10**12)


@given(needs, amounts, st.none() | amounts)
def test_a_top_up_meets_the_need_and_exceeds_no_room(need, spare, cap_spare):
    cap_room = None if cap_spare is None else need + cap_spare
    chunk = top_up(need, need + spare, cap_room)
    assert need <= chunk <= need + spare
    assert cap_room is None or chunk <= cap_room


@given(needs)
def test_a_small_budget_is_carved_to_the_last_unit(need):
    assert top_up(need, need * 3, None) == need


@given(needs, st.integers(1024, 10**6))
def test_a_chunk_from_plenty_is_not_given_back_at_once(need, times):
    parent = need * times
    chunk = top_up(need, parent, None)
    assert chunk > need
    assert give_back(chunk, parent - chunk) == 0


@given(amounts, amounts)
def test_what_stays_unused_is_a_small_share_of_what_the_parent_has(unused, parent_room):
    back = give_back(unused, parent_room)
    assert 0 <= back <= unused
    assert (unused - back) * SHARE <= parent_room


def test_nothing_flows_back_to_an_unbounded_parent():
    assert give_back(10, None) == 0


@given(amounts, amounts, amounts, amounts)
def test_room_counts_everything_that_is_committed(limit, spent, held, allocated):
    assert room(limit, spent, held, allocated) == limit - spent - held - allocated
    assert room(None, spent, held, allocated) is None


@given(amounts, amounts, needs, needs)
def test_what_is_affordable_fits_and_one_more_would_not(usd, tokens, least_usd, least_tokens):
    times = affordable(Limit(usd, tokens), Amount(least_usd, least_tokens))
    assert times * least_usd <= usd
    assert times * least_tokens <= tokens
    assert (times + 1) * least_usd > usd or (times + 1) * least_tokens > tokens


def test_without_a_bound_or_a_least_everything_is_affordable():
    assert affordable(Limit(), Amount(5, 5)) == UNBOUNDED
    assert affordable(Limit(5, 5), Amount()) == UNBOUNDED
    assert affordable(Limit(-5, None), Amount(1, 1)) == 0
