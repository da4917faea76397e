"""What a provider bills is never more than what was reserved, whatever is sent and however the provider counts."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmworks.base.clock import ManualClock
from swarmworks.base.errors import RejectedError
from swarmworks.policy.bound import Price, Rates, Tier, cost
from swarmworks.policy.clamp import Offer
from swarmworks.provider.limits import ImageRow, LimitTable, VendorLimits
from swarmworks.service.gateway.bounding import InputBounds
from swarmworks.service.gateway.record import Upstream
from tests.provider.test_conversation import LIST, START
from tests.provider.test_media import FORMATS, PNG
from tests.service.gateway import toy_provider
from tests.service.gateway.toy_provider import Habits

KIND_OF = {"anthropic": "anthropic", "chat": "openai", "responses": "openai", "google": "google"}
PRICE = Price(
    Rates.of(input=3_000_000_000, output=15_000_000_000),
    (Tier(4_000, Rates.of(input=6_000_000_000, output=9_000_000_000)),),
)
CAP = 300
UGLY = ["\ufdfa", "\u0390", "\u00e9", "\U0001d15e", "\u2167", "\\ufdfa", "\\", '"', "\u0301", "\x00", "<|im_start|>"]
texts = st.lists(st.sampled_from([*UGLY, "word ", "x", "{", "  "]) | st.text(max_size=5), max_size=30).map("".join)


def said(kind, role, text):
    if kind == "google":
        return {"role": "model" if role == "assistant" else "user", "parts": [{"text": text}]}
    if kind == "responses":
        part = "output_text" if role == "assistant" else "input_text"
        return {"type": "message", "role": role, "content": [{"type": part, "text": text}]}
    return {"role": role, "content": text}


def called(kind, text):
    if kind == "anthropic":
        return {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {"a": text}}]}
    if kind == "chat":
        function = {"name": "look", "arguments": json.dumps({"a": text})}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "t", "type": "function", "function": function}],
        }
    if kind == "responses":
        return {"type": "function_call", "name": "look", "call_id": "c", "arguments": json.dumps({"a": text})}
    return {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"a": text}}}]}


def pictured(kind):
    if kind == "anthropic":
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        return {"role": "user", "content": [{"type": "image", "source": source}]}
    url = f"data:image/png;base64,{PNG}"
    if kind == "chat":
        return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    if kind == "responses":
        return {"role": "user", "content": [{"type": "input_image", "image_url": url}]}
    return {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}]}


steps = st.lists(
    st.tuples(st.sampled_from(["say", "answer", "call", "picture", "edit", "drop", "model", "tools", "again"]), texts),
    min_size=1,
    max_size=9,
)
habits = st.builds(
    Habits,
    merges=st.integers(1, 8),
    normalises=st.booleans(),
    reads_inner=st.booleans(),
    frame=st.integers(0, 1_024),
    around=st.integers(0, 20),
    image=st.integers(1, 1_500),
)


def changed(kind, body, model, step, text):
    items = list(body[LIST[kind]])
    if step == "edit":
        items[len(text) % len(items)] = said(kind, "user", text)
    elif step == "drop" and len(items) > 1:
        del items[len(text) % len(items)]
    elif step == "tools":
        body = {key: value for key, value in body.items() if key != "tools"}
    elif step == "model":
        return body, "another" if model == "first" else "first"
    elif step in ("say", "answer"):
        items.append(said(kind, "user" if step == "say" else "assistant", text))
    elif step == "call":
        items.append(called(kind, text))
    elif step == "picture":
        items.append(pictured(kind))
    return {**body, LIST[kind]: items}, model


class Meter:
    """The gateway's way through one call, without the network: read, bound, offer, rewrite, bill, remember."""

    def __init__(self, kind, *, whole_input=True):
        self.kind = kind
        vendor = VendorLimits(KIND_OF[kind], frozenset({"v"}), whole_input, False, (ImageRow(("*",), 1_500),))
        self.bounds = InputBounds(LimitTable((vendor,)), ManualClock())
        self.upstream = Upstream("p", KIND_OF[kind], "https://v")
        self.deltas = 0

    def call(self, raw, model, provider):
        """What was reserved and what is booked; `provider` answers the bytes it is sent."""
        wire = FORMATS[self.kind]
        demand = wire.read(raw, headers={}, allowed_fields=frozenset())
        bounded = self.bounds.of(self.upstream, model, PRICE, wire, demand)
        self.deltas += bounded.match is not None
        offer = Offer(demand.shape, PRICE, bounded.most_input, CAP)
        billed = wire.billed(json.dumps(provider(wire.rewrite(demand, model=model, output_cap=CAP))).encode())
        self.bounds.remember(bounded, demand.shape, billed.usage)
        return offer.whole, cost(PRICE, billed)


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=150, deadline=None)
@given(steps, habits, st.booleans(), st.data())
def test_no_call_of_any_conversation_costs_more_than_was_reserved(kind, script, counting, ascii_only, data):
    meter, body, model = Meter(kind), START[kind], "first"
    for step, text in script:
        body, model = changed(kind, body, model, step, text)
        try:
            raw = json.dumps(body, ensure_ascii=ascii_only).encode()
        except UnicodeEncodeError:
            return
        # The same request may be wrapped otherwise the next time, and another model counts otherwise.
        now = replace(
            counting, frame=data.draw(st.integers(0, 1_024)), merges=1 if model == "another" else counting.merges
        )

        def provider(sent, now=now):
            taken = toy_provider.count(kind, json.loads(sent), now)
            return toy_provider.answer(
                kind, taken, data.draw(st.integers(0, CAP)), read=data.draw(st.integers(0, taken))
            )

        reserved, booked = meter.call(raw, model, provider)
        assert booked.nano_usd <= reserved.nano_usd
        assert booked.tokens <= reserved.tokens


@pytest.mark.parametrize("kind", FORMATS)
def test_the_unkindest_provider_stays_below_the_delta_of_a_long_conversation(kind):
    meter, body = Meter(kind), START[kind]
    for turn in range(12):
        now = Habits(frame=1_024 * (turn % 2), around=20)

        def provider(sent, now=now):
            return toy_provider.answer(kind, toy_provider.count(kind, json.loads(sent), now), CAP)

        reserved, booked = meter.call(json.dumps(body).encode(), "first", provider)
        assert booked.tokens <= reserved.tokens
        added = [called(kind, "\ufdfa" * turn), said(kind, "user", "r\u00e9sultat " * 9), pictured(kind)]
        body = {**body, LIST[kind]: [*body[LIST[kind]], *added]}
    assert meter.deltas == 11


@pytest.mark.parametrize("kind", FORMATS)
def test_a_server_that_leaves_cached_tokens_out_of_its_usage_has_no_delta(kind):
    """It tells 20 tokens for what it had in its cache, and the whole when the cache was emptied."""
    meter, body = Meter(kind, whole_input=False), START[kind]
    for turn in range(6):

        def provider(sent, turn=turn):
            taken = toy_provider.count(kind, json.loads(sent), Habits())
            return toy_provider.answer(kind, taken if turn % 3 == 0 else 20, 5)

        reserved, booked = meter.call(json.dumps(body).encode(), "first", provider)
        assert booked.tokens <= reserved.tokens
        body = {**body, LIST[kind]: [*body[LIST[kind]], said(kind, "user", "word " * 200)]}
    assert meter.deltas == 0


@pytest.mark.parametrize("kind", FORMATS)
def test_a_count_that_is_told_shorter_than_before_is_no_base_for_the_next(kind):
    meter, body = Meter(kind), START[kind]
    for turn in range(6):

        def provider(sent, turn=turn):
            taken = toy_provider.count(kind, json.loads(sent), Habits(merges=4))
            return toy_provider.answer(kind, taken // 9 if turn % 2 else taken, 5)

        reserved, booked = meter.call(json.dumps(body).encode(), "first", provider)
        assert booked.tokens <= reserved.tokens
        body = {**body, LIST[kind]: [*body[LIST[kind]], said(kind, "user", "word " * 60)]}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["text", "image", "user", "", "\ufdfa"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "source", "text", "parts", "file"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_body_is_bounded_or_refused_and_nothing_else(kind, data):
    fields = [LIST[kind], "tools", "system", "input", "modalities", "generationConfig", "thinking", "include", "stream"]
    body = {**START[kind], **data.draw(st.dictionaries(st.sampled_from(fields), json_values, max_size=3))}
    wire = FORMATS[kind]
    try:
        demand = wire.read(json.dumps(body).encode(), headers={}, allowed_fields=frozenset())
        bounds = InputBounds(LimitTable.load(), ManualClock())
        bounded = bounds.of(Upstream("p", KIND_OF[kind], "https://v"), "m", PRICE, wire, demand)
        wire.to_count(demand, model="m")
        json.loads(wire.rewrite(demand, model="m", output_cap=9))
    except RejectedError:
        return
    assert bounded.most_input >= demand.shape.text_bytes


def test_deep_nesting_and_keys_written_twice_are_refused():
    for raw in (b'{"messages":' + b"[" * 90_000, b'{"messages":[{"content":"a","content":"b"}]}'):
        with pytest.raises(RejectedError):
            Meter("chat").call(raw, "first", None)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_one_model_counted_bounds_no_other(kind):
    """One makes a token of eight letters, the other of each."""
    meter, body = Meter(kind), {**START[kind], LIST[kind]: [said(kind, "user", "letters and words " * 400)]}
    for model, merges in (("first", 8), ("another", 1), ("first", 8), ("another", 1)):

        def provider(sent, merges=merges):
            taken = toy_provider.count(kind, json.loads(sent), Habits(merges=merges))
            return toy_provider.answer(kind, taken, 5)

        reserved, booked = meter.call(json.dumps(body).encode(), model, provider)
        assert booked.tokens <= reserved.tokens
        body = {**body, LIST[kind]: [*body[LIST[kind]], said(kind, "assistant", "yes")]}
    assert meter.deltas == 2
