from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.wire.price_file import read_prices

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SMALL = {
    "source": "a page",
    "prices": [{"host": "h.example", "model": "m*", "input_usd_per_mtok": 1, "output_usd_per_mtok": 2}],
}
GENAI = [
    {
        "id": "openai",
        "models": [
            {
                "id": "gpt-x",
                "match": {"or": [{"equals": "gpt-x"}, {"starts_with": "gpt-x-"}]},
                "context_window": 400_000,
                "prices": {
                    "input_mtok": {"base": 1.25, "tiers": [{"start": 200_000, "price": 2.5}]},
                    "cache_read_mtok": 0.125,
                    "output_mtok": 10,
                },
            },
            {
                "id": "gpt-y",
                "match": {"or": [{"equals": "gpt-y"}, {"equals": "gpt-y-search-preview"}]},
                "prices": {"input_mtok": 1, "output_mtok": 2},
            },
            {"id": "GPT-OCR", "match": {"equals": "GPT-OCR"}, "prices": {"input_mtok": 1, "output_mtok": 2}},
            {"id": "text-embedding-4", "match": {"equals": "text-embedding-4"}, "prices": {"input_mtok": 0.1}},
        ],
    },
    {
        "id": "deepseek",
        "models": [
            {
                "id": "deep",
                "match": {"contains": "deep"},
                "prices": [
                    {"prices": {"input_mtok": 0.1, "output_mtok": 9}},
                    {"constraint": {"start_date": "2026-11-01"}, "prices": {"input_mtok": 0.2, "output_mtok": 0.4}},
                    {"constraint": {"start_date": "2027-01-01"}, "prices": {"input_mtok": 99, "output_mtok": 99}},
                    {
                        "constraint": {"start_time": "00:30:00Z", "end_time": "16:30:00Z"},
                        "prices": {"input_mtok": 0.3, "output_mtok": 0.3},
                    },
                ],
            }
        ],
    },
    {
        "id": "somebody",
        "models": [{"id": "x", "match": {"equals": "x"}, "prices": {"input_mtok": 1, "output_mtok": 1}}],
    },
]


def wrong(text, name="p.json"):
    with pytest.raises(InvalidDocumentError) as caught:
        read_prices(text, name, NOW)
    return str(caught.value)


def test_a_list_of_our_own_in_json():
    [price] = read_prices(json.dumps(SMALL), "p.json", NOW).prices
    assert (price.label, price.match, price.hosts, price.valid_from) == ("m*", ("^m",), ("h.example",), NOW)
    assert price.output_usd_per_mtok == 2


def test_a_date_in_the_list_holds_for_each_price_that_has_none():
    toml = """
source = "a page"
valid_from = 2026-12-01
[[prices]]
provider = "p"
model = "a"
input_usd_per_mtok = 0.1
output_usd_per_mtok = 0
[[prices]]
provider = "p"
model = "b"
valid_from = 2026-12-24T18:00:00+01:00
input_usd_per_mtok = 0.1
output_usd_per_mtok = 0
"""
    one, two = read_prices(toml, "p.toml", NOW).prices
    assert one.valid_from == datetime(2026, 12, 1, tzinfo=UTC)
    assert two.valid_from == datetime(2026, 12, 24, 17, tzinfo=UTC)
    assert one.input_usd_per_mtok == Decimal("0.1")


def test_the_data_file_of_genai_prices():
    found = read_prices(json.dumps(GENAI), "data.json", NOW)
    assert found.source.startswith("genai-prices data file, sha256 ")
    gpt, plain, deep = found.prices
    assert plain.match == ("=gpt-y",)  # a search has a fee of its own
    assert (gpt.match, gpt.hosts, gpt.context_window) == (("=gpt-x", "^gpt-x-"), ("api.openai.com",), 400_000)
    assert (gpt.input_usd_per_mtok, gpt.cache_read_usd_per_mtok) == (Decimal("1.25"), Decimal("0.125"))
    [tier] = gpt.tiers
    assert (tier.above_tokens, tier.input_usd_per_mtok, tier.output_usd_per_mtok) == (200_000, Decimal("2.5"), 10)
    assert (deep.input_usd_per_mtok, deep.output_usd_per_mtok) == (Decimal("0.3"), Decimal("0.4"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"source": ""}, "source: source is missing"),
        ({"prices": []}, "prices: there are no prices"),
        ({"note": 1}, "note: note is no key"),
        ({"prices": [{**SMALL["prices"][0], "output_usd_per_mtok": -2}]}, "prices[0].output_usd_per_mtok: "),
        ({"prices": [{**SMALL["prices"][0], "output_usd_per_mtok": "NaN"}]}, "prices[0].output_usd_per_mtok: "),
        ({"prices": [{**SMALL["prices"][0], "model": "*"}]}, "prices[0]: model is missing"),
        ({"prices": [{**SMALL["prices"][0], "provider": "p"}]}, "prices[0]: a price holds at one place"),
        ({"prices": [{**SMALL["prices"][0], "host": "a/b"}]}, "prices[0].hosts[0]: "),
        ({"prices": [SMALL["prices"][0], 3]}, "prices[1]: must be a table"),
        ({"valid_from": "soon"}, "valid_from: valid_from is no date: 'soon'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(change, told):
    assert told in wrong(json.dumps(SMALL | change))


def test_tiers_ascend_and_begin_within_the_window():
    tier = {"above_tokens": 10, "input_usd_per_mtok": 1, "output_usd_per_mtok": 1}
    row = SMALL["prices"][0]
    assert "ascend" in wrong(json.dumps(SMALL | {"prices": [{**row, "tiers": [tier, tier]}]}))
    assert "beyond" in wrong(json.dumps(SMALL | {"prices": [{**row, "tiers": [tier], "context_window": 10}]}))


def test_a_broken_file_is_told_with_its_line():
    assert "p.json:2: not valid JSON" in wrong('{\n"source": }')
    assert "not valid TOML" in wrong("= 1", "p.toml")
    assert "neither" in wrong("3")
    assert "not as genai-prices writes it" in wrong(json.dumps([{"id": "openai", "models": [{"id": "x"}]}]))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["id", "models", "prices", "match", "model", "host", "source", "valid_from"])
                | st.text(),
                inner,
            )
        ),
        max_leaves=20,
    )
)
def test_whatever_is_in_it_is_read_or_refused(document):
    with contextlib.suppress(InvalidDocumentError):
        assert read_prices(json.dumps(document), "p.json", NOW).prices
