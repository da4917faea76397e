"""What of a body is the conversation, and which changes make it another one."""

import json
from dataclasses import replace

import pytest

from swarmworks.policy.delta import chain
from tests.provider.test_media import FORMATS, PNG

HEADERS = {"anthropic-beta": "one-2026-01-01", "anthropic-version": "2023-06-01"}
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
START = {
    "anthropic": {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "look", "input_schema": SCHEMA}],
        "messages": [{"role": "user", "content": "one"}],
    },
    "chat": {
        "model": "m",
        "tools": [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}],
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "one"}],
    },
    "responses": {
        "model": "m",
        "instructions": "be brief",
        "tools": [{"type": "function", "name": "look", "parameters": SCHEMA}],
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "one"}]}],
    },
    "google": {
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "tools": [{"functionDeclarations": [{"name": "look", "parameters": SCHEMA}]}],
        "contents": [{"role": "user", "parts": [{"text": "one"}]}],
    },
}
LIST = {"anthropic": "messages", "chat": "messages", "responses": "input", "google": "contents"}
ANSWER = {
    "anthropic": {"role": "assistant", "content": [{"type": "text", "text": "two"}]},
    "chat": {"role": "assistant", "content": "two"},
    "responses": {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "two"}]},
    "google": {"role": "model", "parts": [{"text": "two"}]},
}


def digests(kind, body, headers=HEADERS):
    demand = FORMATS[kind].read(json.dumps(body).encode(), headers=headers, allowed_fields=frozenset())
    conversation = demand.conversation
    return chain(conversation.encoded_setting(), conversation.encoded_items()) if conversation else None


def grown(kind, *more):
    body = START[kind]
    return {**body, LIST[kind]: [*body[LIST[kind]], *more]}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_conversation_that_goes_on_keeps_the_digest_of_what_was(kind):
    first, second = digests(kind, START[kind]), digests(kind, grown(kind, ANSWER[kind]))
    assert second[: len(first)] == first
    assert len(second) == len(first) + 1


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (
            "anthropic",
            {"model": "other", "max_tokens": 99, "stream": True, "metadata": {"user_id": "x"}, "temperature": 0},
        ),
        ("chat", {"model": "other", "max_completion_tokens": 99, "stream": True, "n": 2, "user": "x"}),
        ("responses", {"model": "other", "max_output_tokens": 99, "stream": True, "store": False}),
        ("google", {"labels": {"a": "b"}}),
    ],
)
def test_what_changes_no_count_changes_no_digest(kind, change):
    assert digests(kind, {**START[kind], **change}) == digests(kind, START[kind])


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("anthropic", {"system": "be long"}),
        ("anthropic", {"tools": []}),
        ("anthropic", {"tool_choice": {"type": "any"}}),
        ("anthropic", {"thinking": {"type": "enabled", "budget_tokens": 2_000}}),
        ("anthropic", {"output_config": {"effort": "high"}}),
        ("chat", {"tools": []}),
        ("chat", {"response_format": {"type": "json_object"}}),
        ("chat", {"reasoning_effort": "high"}),
        ("chat", {"chat_template_kwargs": {"enable_thinking": True}}),
        ("responses", {"instructions": "be long"}),
        ("responses", {"reasoning": {"effort": "high"}}),
        ("responses", {"text": {"verbosity": "low"}}),
        ("google", {"systemInstruction": {"parts": [{"text": "be long"}]}}),
        ("google", {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}),
        ("google", {"generationConfig": {"thinkingConfig": {"thinkingBudget": 9}}}),
        ("google", {"generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"}}),
    ],
)
def test_what_may_change_a_count_makes_another_conversation(kind, change):
    assert not set(digests(kind, {**START[kind], **change})) & set(digests(kind, START[kind]))


def test_a_cap_of_geminis_changes_nothing():
    config = {"generationConfig": {"temperature": 0}}
    capped = {"generationConfig": {"maxOutputTokens": 5, "temperature": 0}}
    assert digests("google", {**START["google"], **config}) == digests("google", {**START["google"], **capped})


@pytest.mark.parametrize("header", ["anthropic-beta", "anthropic-version"])
def test_another_beta_or_version_makes_another_conversation(header):
    assert digests("anthropic", START["anthropic"], {**HEADERS, header: "x"}) != digests(
        "anthropic", START["anthropic"]
    )


def test_marks_of_the_cache_and_a_text_written_as_a_block_change_nothing():
    mark = {"cache_control": {"type": "ephemeral"}}
    marked = {
        **START["anthropic"],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "one", **mark}]}],
    }
    assert digests("anthropic", marked) == digests("anthropic", START["anthropic"])
    inner = [{"type": "text", "text": "r"}]
    result = {"type": "tool_result", "tool_use_id": "t", "content": inner}
    inner_marked = {**result, "content": [{**inner[0], **mark}], **mark}
    plain, moved = (grown("anthropic", {"role": "user", "content": [each]}) for each in (result, inner_marked))
    assert digests("anthropic", plain) == digests("anthropic", moved)


def test_a_mark_inside_a_tools_arguments_is_data():
    def called(value):
        use = {"type": "tool_use", "id": "t", "name": "look", "input": {"cache_control": value}}
        return digests("anthropic", grown("anthropic", {"role": "assistant", "content": [use]}))

    assert called("a")[-1] != called("b")[-1]


@pytest.mark.parametrize("kind", FORMATS)
def test_an_edited_item_keeps_only_the_digests_before_it(kind):
    edited = json.loads(json.dumps(grown(kind, ANSWER[kind], ANSWER[kind])).replace('"two"', '"2"', 1))
    mine, other = digests(kind, grown(kind, ANSWER[kind], ANSWER[kind])), digests(kind, edited)
    assert mine[:-2] == other[:-2]
    assert not set(mine[-2:]) & set(other[-2:])


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("anthropic", {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}),
        ("responses", {"truncation": "auto"}),
    ],
)
def test_what_drops_parts_by_length_has_no_conversation(kind, change):
    assert digests(kind, {**START[kind], **change}) is None


def test_an_added_item_is_sized_by_its_longest_reading_and_without_its_image():
    texts = ["plain", "\ufdfa" * 9, json.dumps({"a": "\ufdfa" * 9})]
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    items = [{"role": "user", "content": text} for text in texts]
    items.append({"role": "user", "content": [{"type": "image", "source": source}]})
    body = {"messages": items, "max_tokens": 1}
    demand = FORMATS["anthropic"].read(json.dumps(body).encode(), headers={}, allowed_fields=frozenset())
    encoded = demand.conversation.encoded_items()
    plain, unfolded, nested, image = demand.conversation.added(encoded, 0)
    assert plain.text_bytes == len(encoded[0])
    assert unfolded.text_bytes >= 9 * 33
    assert nested.text_bytes >= 9 * 33
    assert image.text_bytes == len(encoded[3]) - len(PNG) < 200
    assert [len(item.media) for item in (plain, unfolded, nested, image)] == [0, 0, 0, 1]
    assert demand.conversation.added(encoded, 3) == [image]


class CountedMedia(list):
    """How often it is gone through."""

    rounds = 0

    def __iter__(self):
        self.rounds += 1
        return super().__iter__()


def test_images_are_gone_through_once_for_all_that_was_added():
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    message = {"role": "user", "content": [{"type": "image", "source": source}]}
    body = {"messages": [message] * 50, "max_tokens": 1}
    demand = FORMATS["anthropic"].read(json.dumps(body).encode(), headers={}, allowed_fields=frozenset())
    media = CountedMedia(demand.conversation.media)
    found = replace(demand.conversation, media=media)
    added = found.added(found.encoded_items(), 10)
    assert [len(item.media) for item in added] == [1] * 40
    assert media.rounds == 1
