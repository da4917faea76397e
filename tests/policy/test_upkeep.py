from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from swarmworks.policy.upkeep import (
    FULL_EVERY,
    MOST_PACKS,
    MOST_PACKS_AT_ALL_COSTS,
    PACK_AT,
    PACK_AT_ALL_COSTS,
    HubFacts,
    Upkeep,
    due,
)

IDLE = HubFacts(loose=10, packs=1, busy=False, since=timedelta())
counts = st.integers(0, 100_000)


@given(counts, counts, st.timedeltas(min_value=timedelta()))
def test_nothing_is_ever_given_up_while_work_is_under_way(loose, packs, since):
    assert due(HubFacts(loose, packs, True, since)) is not Upkeep.FULL


def test_when_what_is_due():
    assert due(IDLE) is Upkeep.NOTHING
    assert due(replace(IDLE, loose=PACK_AT)) is Upkeep.PACK
    assert due(replace(IDLE, loose=PACK_AT, busy=True)) is Upkeep.NOTHING
    assert due(replace(IDLE, loose=PACK_AT_ALL_COSTS, busy=True)) is Upkeep.PACK
    assert due(replace(IDLE, packs=MOST_PACKS_AT_ALL_COSTS + 1, busy=True)) is Upkeep.JOIN
    assert due(replace(IDLE, packs=MOST_PACKS_AT_ALL_COSTS, busy=True)) is Upkeep.NOTHING
    assert due(replace(IDLE, since=FULL_EVERY)) is Upkeep.FULL
    assert due(replace(IDLE, packs=MOST_PACKS + 1)) is Upkeep.FULL
    assert due(HubFacts(0, 1, False, FULL_EVERY)) is Upkeep.NOTHING
    assert due(HubFacts(0, 1, False, FULL_EVERY, over=1)) is Upkeep.FULL
