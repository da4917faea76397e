import json
import unicodedata
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.domain.budget import Usage
from swarmworks.policy import bound
from swarmworks.policy.bound import (
    FRAME_TOKENS,
    FREE,
    LONG_PIECE,
    PIECE,
    TOOLS_TOKENS,
    UNFOLDED_BYTES,
    Billed,
    MediaKind,
    Price,
    Rates,
    Shape,
    Tier,
    cost,
    counted_bound,
    input_bound,
    text_bytes,
    worst_case,
)

rate = st.integers(0, 200_000_000_000)
rates = st.builds(Rates, rate, rate, rate, rate, rate)
tiers = st.lists(st.tuples(st.integers(1, 400_000), rates), max_size=3).map(
    lambda rows: tuple(Tier(above, found) for above, found in sorted(rows, key=lambda row: row[0]))
)
prices = st.builds(Price, rates, tiers, st.none() | st.integers(1_000, 2_000_000))
shapes = st.builds(
    Shape,
    text_bytes=st.integers(0, 500_000),
    output_cap=st.integers(1, 100_000),
    choices=st.integers(1, 5),
    tools=st.booleans(),
    vendor_tools=st.integers(0, 3),
    one_hour_cache=st.booleans(),
    any_window=st.booleans(),
)


@given(prices, shapes, st.data())
def test_no_usage_inside_the_bound_costs_more_than_was_reserved(price, shape, data):
    most_input = input_bound(shape, price)
    total = data.draw(st.integers(0, most_input))
    read = data.draw(st.integers(0, total))
    written = data.draw(st.integers(0, total - read))
    hour = data.draw(st.integers(0, written)) if shape.one_hour_cache else 0
    output = data.draw(st.integers(0, shape.choices * shape.output_cap))
    billed = Billed(Usage(total, output, read, written), hour)
    reserved, settled = worst_case(shape, price), cost(price, billed)
    assert settled.nano_usd <= reserved.nano_usd
    assert settled.tokens <= reserved.tokens


@given(st.text(max_size=300), st.booleans())
def test_the_byte_bound_covers_every_reading_of_the_body(text, ascii_only):
    body = {"messages": [{"role": "user", "content": text}]}
    plain = json.dumps(body, ensure_ascii=ascii_only)
    raw = plain.encode("utf-8", "surrogatepass")
    bound = text_bytes(raw, plain, body)
    assert bound >= len(raw)
    for reading in (text, unicodedata.normalize("NFKC", text)):
        assert bound >= len(reading.encode("utf-8", "surrogatepass"))


def test_a_ligature_is_bounded_by_what_it_unfolds_to():
    unfolded = len(unicodedata.normalize("NFKC", "\ufdfa" * 20).encode())  # each becomes eighteen characters
    for ascii_only in (True, False):
        text = json.dumps({"content": "\ufdfa" * 20}, ensure_ascii=ascii_only)
        assert text_bytes(text.encode(), text, json.loads(text)) >= unfolded


def test_a_cliff_counts_when_the_bound_can_reach_it():
    low, high = Rates.of(input=1_000_000_000, output=0), Rates.of(input=2_000_000_000, output=0)
    price = Price(low, (Tier(272_000, high),))
    below, above = (Shape(text_bytes=size - FRAME_TOKENS, output_cap=0) for size in (272_000, 272_001))
    assert worst_case(below, price).nano_usd == 272_000 * 1_250
    assert worst_case(above, price).nano_usd == 272_001 * 2_500


def test_an_hour_of_cache_doubles_the_input_and_choices_multiply():
    price = Price(Rates.of(input=1_000_000, output=3_000_000))
    plain = Shape(text_bytes=0, output_cap=10)
    assert worst_case(plain, price).nano_usd == -(-FRAME_TOKENS * 5 // 4) + 30
    hour = Shape(text_bytes=0, output_cap=10, one_hour_cache=True, choices=3)
    assert worst_case(hour, price).nano_usd == 3 * (FRAME_TOKENS * 2 + 30)


def test_tools_cost_a_thousand_tokens_and_the_window_caps_the_input():
    tools = Shape(text_bytes=10, output_cap=1, tools=True, vendor_tools=2)
    assert input_bound(tools, None) == 10 + FRAME_TOKENS + 3 * TOOLS_TOKENS
    small = Price(Rates.of(input=1, output=1), context_window=500)
    assert input_bound(tools, small) == 525  # what a table rounded
    assert input_bound(Shape(text_bytes=10, output_cap=1, any_window=True), small) == 10 + FRAME_TOKENS


def test_money_is_rounded_up_and_an_unpriced_call_still_counts_its_tokens():
    price = Price(Rates.of(input=1, output=1))
    assert cost(price, Billed(Usage(1, 0))).nano_usd == 1
    assert cost(None, Billed(Usage(5, 6))).tokens == 11
    assert cost(FREE, Billed(Usage(5, 6))).nano_usd == 0


@given(
    st.lists(
        st.sampled_from(
            ("a", "o", "á", "ồ", "\u0301", "\u0316", "\u1161", "\u11a8", "가", "\u09c7", "\u09be", "ﷺ", "中")
        )
    )
)
def test_the_bound_holds_over_the_seams_of_a_text_that_is_normalised_in_pieces(parts):
    text = "\u0301" * PIECE + "".join(parts) * 40
    body = json.dumps(text, ensure_ascii=False)
    assert text_bytes(body.encode(), body, text) >= len(unicodedata.normalize("NFKC", text).encode())


def test_marks_that_follow_each_other_without_end_are_bounded_in_time():
    text = "a" + "\u0301" * 300_000 + "\u0316" * 300_000  # normalised in one piece this takes minutes
    body = json.dumps(text, ensure_ascii=False)
    assert text_bytes(body.encode(), body, text) >= 1_200_001


def test_no_character_unfolds_to_more_than_is_counted_for_one():
    longest = max(
        len(unicodedata.normalize("NFKC", chr(each)).encode("utf-8", "surrogatepass")) for each in range(0x110000)
    )
    assert longest == UNFOLDED_BYTES


@given(st.text(max_size=50), st.integers(1, 3))
def test_json_within_json_is_bounded_by_what_it_says_at_every_depth(text, depth):
    inner = text
    for _ in range(depth):
        inner = json.dumps({"a": inner})
    plain = json.dumps({"arguments": inner})
    bound = text_bytes(plain.encode(), plain, json.loads(plain))
    assert bound >= len(unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass"))


def test_an_escape_inside_arguments_counts_as_the_longest_character():
    plain = json.dumps({"arguments": json.dumps({"a": "\ufdfa" * 100})})
    assert text_bytes(plain.encode(), plain, json.loads(plain)) >= 100 * UNFOLDED_BYTES


def test_the_payload_of_media_is_no_text_and_each_item_counts_its_maximum():
    plain = json.dumps({"data": "A" * 1_000, "text": "\u00e9"}, ensure_ascii=False)
    size = text_bytes(plain.encode(), plain, json.loads(plain), media_bytes=1_000)
    assert size == len(plain.encode()) - 1_000
    seen = Shape(text_bytes=size, output_cap=1, media=(MediaKind.IMAGE, MediaKind.IMAGE))
    assert input_bound(seen, None, {MediaKind.IMAGE: 1_500}) == size + 2 * 1_500 + FRAME_TOKENS


def test_media_without_a_maximum_are_bounded_by_the_window_and_by_nothing_without_one():
    price = Price(Rates.of(input=1, output=1), context_window=200_000)
    read = Shape(text_bytes=10, output_cap=1, media=(MediaKind.IMAGE, MediaKind.DOCUMENT))
    assert input_bound(read, price, {MediaKind.IMAGE: 1_500}) == 210_000
    assert input_bound(read, Price(Rates.of(input=1, output=1)), {MediaKind.IMAGE: 1_500}) is None
    longer = Shape(text_bytes=10, output_cap=1, media=(MediaKind.DOCUMENT,), any_window=True)
    assert input_bound(longer, price) is None
    with pytest.raises(ValueError, match="nothing bounds"):
        worst_case(longer, price)


def test_a_providers_own_count_gets_three_per_cent_and_512():
    assert counted_bound(1_000) == 1_000 + 30 + 512
    assert counted_bound(1) == 1 + 1 + 512


def test_a_tighter_bound_lowers_the_reservation_and_may_miss_a_cliff():
    price = Price(Rates.of(input=1_000_000, output=0), (Tier(1_000, Rates.of(input=9_000_000, output=0)),))
    shape = Shape(text_bytes=100_000, output_cap=5)
    assert worst_case(shape, price, 1_000).nano_usd == 1_000 * 5 // 4
    assert worst_case(shape, price, 1_001).nano_usd == -(-1_001 * 45 // 4)
    assert worst_case(shape, price, 1_000).tokens == 1_005


def test_a_long_text_is_normalised_in_pieces_that_others_can_run_between(monkeypatch):
    sizes = []

    def told(form, piece):
        sizes.append(len(piece))
        return unicodedata.normalize(form, piece)

    monkeypatch.setattr(bound, "unicodedata", SimpleNamespace(normalize=told))
    text = ("\u0301" * (PIECE - 1) + "a") * 2_000
    assert text_bytes(text.encode(), text, text) >= len(text.encode())
    assert max(sizes) <= LONG_PIECE < len(text) == sum(sizes)
