"""Every term of the delta bound, what is remembered, and when it is not believed."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from swarmworks.domain.budget import Usage
from swarmworks.policy import delta
from swarmworks.policy.bound import FRAME_TOKENS, TOOLS_TOKENS, MediaKind, Shape
from swarmworks.policy.delta import ITEM_TOKENS, Counts, Item, Match, believable, chain, delta_bound

SHAPE = Shape(text_bytes=0, output_cap=1)
parts = st.lists(st.binary(max_size=8), max_size=5)


def test_each_term_of_the_bound_counts():
    assert delta_bound(SHAPE, Usage(100, 0), [], {}) == 100 + FRAME_TOKENS
    assert delta_bound(SHAPE, Usage(100, 7), [], {}) == 100 + 7 + FRAME_TOKENS
    added = [Item(50), Item(20)]
    assert delta_bound(SHAPE, Usage(100, 7), added, {}) == 100 + 7 + 50 + 20 + 2 * ITEM_TOKENS + FRAME_TOKENS
    tools = Shape(text_bytes=0, output_cap=1, tools=True, vendor_tools=2)
    assert delta_bound(tools, Usage(100, 0), [], {}) == 100 + FRAME_TOKENS + 3 * TOOLS_TOKENS
    seen = [Item(5, (MediaKind.IMAGE, MediaKind.IMAGE))]
    assert delta_bound(SHAPE, Usage(), seen, {MediaKind.IMAGE: 900}) == 5 + 2 * 900 + ITEM_TOKENS + FRAME_TOKENS


def test_cached_input_is_part_of_what_was_counted():
    assert delta_bound(SHAPE, Usage(100, 0, 90, 10), [], {}) == 100 + FRAME_TOKENS


def test_an_added_item_without_a_maximum_has_no_delta():
    assert delta_bound(SHAPE, Usage(1, 1), [Item(5, (MediaKind.DOCUMENT,))], {MediaKind.IMAGE: 9}) is None


@given(parts, parts, parts)
def test_a_prefix_has_the_digest_it_had_when_it_was_the_whole(setting, items, more):
    whole = chain(setting, items + more)
    assert whole[: len(items)] == chain(setting, items)
    assert len(set(whole)) == len(whole)


@given(parts, parts, parts, parts)
def test_two_conversations_have_one_digest_only_when_they_are_the_same(setting, items, other_setting, other_items):
    mine, other = chain(setting, items)[-1:], chain(other_setting, other_items)[-1:]
    if (setting, items) != (other_setting, other_items) and len(setting) == len(other_setting):
        assert not mine or mine != other


def test_an_edit_changes_every_digest_from_there_on():
    mine, edited = chain([b"s"], [b"a", b"b", b"c"]), chain([b"s"], [b"a", b"B", b"c"])
    assert mine[0] == edited[0]
    assert not set(mine[1:]) & set(edited[1:])


def test_every_byte_is_hashed_once(monkeypatch):
    fed, real = [], hashlib.sha256

    class Counting:
        def __init__(self):
            self._real = real()

        def update(self, data):
            fed.append(len(data))
            self._real.update(data)

        def copy(self):
            return self._real.copy()

    monkeypatch.setattr(delta.hashlib, "sha256", Counting)
    items = [b"x" * 1_000] * 50
    assert len(chain([b"s" * 10], items)) == 50
    assert sum(fed) == 10 + 50 * 1_000 + 51 * 8


def test_the_longest_prefix_that_was_counted_is_found():
    counts = Counts()
    digests = chain([], [b"a", b"b", b"c"])
    assert counts.longest(digests, 0.0) is None
    counts.put(digests[0], Usage(1), 0.0)
    counts.put(digests[1], Usage(2), 0.0)
    assert counts.longest(digests, 0.0) == Match(2, Usage(2))
    assert counts.longest(digests[:1], 0.0) == Match(1, Usage(1))
    assert counts.longest([], 0.0) is None


def test_what_is_remembered_is_bounded_by_number_and_by_time():
    counts = Counts(most=2, kept_s=10.0)
    one, two, three = chain([], [b"a"]), chain([], [b"b"]), chain([], [b"c"])
    counts.put(one[0], Usage(1), 0.0)
    counts.put(two[0], Usage(2), 0.0)
    assert counts.longest(one, 1.0)
    counts.put(three[0], Usage(3), 1.0)
    assert len(counts) == 2
    assert counts.longest(two, 1.0) is None
    assert counts.longest(one, 9.9)
    assert counts.longest(one, 10.0) is None


def test_a_count_that_cannot_be_true_is_not_believed():
    text = Shape(text_bytes=3_200, output_cap=1)
    assert believable(Usage(100), text, None)
    assert not believable(Usage(99), text, None)
    assert not believable(Usage(500), text, Match(3, Usage(501, 4)))
    assert believable(Usage(501), text, Match(3, Usage(501, 4)))
