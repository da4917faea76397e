import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from swarmworks.domain.budget import Usage
from swarmworks.policy.bound import (
    FRAME_TOKENS,
    FREE,
    TOOLS_TOKENS,
    Billed,
    Price,
    Rates,
    Shape,
    Tier,
    cost,
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
    assert input_bound(tools, small) == 500
    assert input_bound(Shape(text_bytes=10, output_cap=1, any_window=True), small) == 10 + FRAME_TOKENS


def test_money_is_rounded_up_and_an_unpriced_call_still_counts_its_tokens():
    price = Price(Rates.of(input=1, output=1))
    assert cost(price, Billed(Usage(1, 0))).nano_usd == 1
    assert cost(None, Billed(Usage(5, 6))).tokens == 11
    assert cost(FREE, Billed(Usage(5, 6))).nano_usd == 0
