import json
from importlib import resources

import pytest

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.policy.bound import FRAME_TOKENS, Shape, input_bound, worst_case
from swarmworks.provider.prices import PriceTable, user_price
from swarmworks.wire.genai_prices import NOT_TEXT

TABLE = PriceTable.load()
ANTHROPIC, OPENAI = "https://api.anthropic.com", "https://api.openai.com/v1"


def test_the_shipped_table_says_when_and_from_where():
    raw = json.loads(resources.files("swarmworks.provider").joinpath("prices.json").read_text())
    assert raw["source"].startswith("genai-prices ")
    price = TABLE.find("anthropic", "claude-sonnet-4-5-20250929", ANTHROPIC)
    assert price.source == f"{raw['source']}, {raw['as_of']}"


def test_well_known_models_have_a_price_at_their_vendor():
    assert TABLE.find("a", "claude-sonnet-4-5", ANTHROPIC).rates.input == 3_000_000_000
    assert TABLE.find("o", "gpt-5.1", OPENAI).rates.output == 10_000_000_000
    assert TABLE.find("g", "gemini-2.5-flash", "https://generativelanguage.googleapis.com/v1beta/openai") is not None


def test_every_entry_is_usable():
    for vendor in TABLE.vendors:
        for model in vendor.models:
            assert model.price.rates.output >= 0
            starts = [tier.above_tokens for tier in model.price.tiers]
            assert starts == sorted(starts)
            worst_case(Shape(text_bytes=1_000, output_cap=100, one_hour_cache=True), model.price)


def test_a_vendors_name_elsewhere_is_unpriced():
    assert TABLE.find("mine", "claude-sonnet-4-5", "http://127.0.0.1:8000") is None
    assert TABLE.find("mine", "claude-sonnet-4-5", "https://api.anthropic.com.example.org") is None
    assert TABLE.find("openai", "no-such-model", OPENAI) is None


def test_the_users_price_comes_first_and_the_narrower_name_wins():
    table = PriceTable.load(
        {
            "gpt-5.1": {"input_usd_per_mtok": 1, "output_usd_per_mtok": "2.5"},
            "proxy:gpt-5.1": {"input_usd_per_mtok": 0.1, "output_usd_per_mtok": 0.3, "cache_write_usd_per_mtok": 9},
        }
    )
    assert table.find("openai", "gpt-5.1", OPENAI).rates.output == 2_500_000_000
    rates = table.find("proxy", "gpt-5.1", "http://127.0.0.1").rates
    assert (rates.input, rates.cache_read, rates.cache_write) == (100_000_000, 100_000_000, 9_000_000_000)


def test_a_price_is_rounded_up_never_down():
    rates = user_price("m", {"input_usd_per_mtok": "0.0000000001", "output_usd_per_mtok": 0}).rates
    assert (rates.input, rates.output) == (1, 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"input_usd_per_mtok": 1},
        {"input_usd_per_mtok": -1, "output_usd_per_mtok": 1},
        {"input_usd_per_mtok": "nan", "output_usd_per_mtok": 1},
        {"input_usd_per_mtok": "cheap", "output_usd_per_mtok": 1},
        {"input_usd_per_mtok": True, "output_usd_per_mtok": 1},
        {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1, "inptu": 1},
        {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1, "context_window": 0},
        {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1, "context_window": "1000"},
        {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1, "context_window": True},
        {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1, "context_window": 10**10},
    ],
)
def test_a_wrong_price_is_named(fields):
    with pytest.raises(InvalidDocumentError) as problem:
        user_price("m", fields)
    assert 'prices."m"' in str(problem.value)


def test_the_cliff_of_a_long_context_is_in_the_table():
    price = TABLE.find("o", "gpt-5.4", OPENAI)
    assert price.tiers[0].above_tokens == 272_000
    short, long = (worst_case(Shape(text_bytes=size, output_cap=0), price).nano_usd for size in (200_000, 272_001))
    assert long > 2 * short * (272_001 - FRAME_TOKENS) // 272_001


def test_no_shipped_price_names_a_model_that_bills_for_more_than_text():
    rows = json.loads(resources.files("swarmworks.provider").joinpath("prices.json").read_text(encoding="utf-8"))[
        "vendors"
    ]
    models = [model for vendor in rows for model in vendor["models"]]
    assert not [name for model in models for name in (model["id"], *model["match"]) if NOT_TEXT.search(name)]


def test_a_price_of_ones_own_rises_with_the_length_as_the_lists_does_and_nowhere_else():
    own = {"gpt-5.4": {"input_usd_per_mtok": 5, "output_usd_per_mtok": 30, "cache_read_usd_per_mtok": 0}}
    table = PriceTable.load(own)
    listed = PriceTable.load().find("openai", "gpt-5.4", "https://api.openai.com/v1")
    price = table.find("openai", "gpt-5.4", "https://api.openai.com/v1")
    assert price.rates.input == 2 * listed.rates.input
    assert [tier.above_tokens for tier in price.tiers] == [tier.above_tokens for tier in listed.tiers]
    assert price.tiers[0].rates.input == 2 * listed.tiers[0].rates.input
    assert price.tiers[0].rates.output == 2 * listed.tiers[0].rates.output
    assert price.tiers[0].rates.cache_read == 0
    assert price.context_window == listed.context_window
    elsewhere = table.find("mine", "gpt-5.4", "http://127.0.0.1:8000/v1")
    assert (elsewhere.tiers, elsewhere.context_window) == ((), None)


def test_a_window_of_ones_own_takes_the_place_of_the_lists():
    own = {"gpt-5.4": {"input_usd_per_mtok": 5, "output_usd_per_mtok": 30, "context_window": 3_000_000}}
    table = PriceTable.load(own)
    price = table.find("openai", "gpt-5.4", OPENAI)
    assert price.context_window == 3_000_000
    assert price.tiers
    assert input_bound(Shape(text_bytes=2_000_000, output_cap=0), price) > 2_000_000
    assert table.find("mine", "gpt-5.4", "http://127.0.0.1:8000/v1").context_window == 3_000_000
