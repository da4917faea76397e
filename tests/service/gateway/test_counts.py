"""Counting tokens is free, and reaches no further than a call does."""

import json

import pytest

from tests.provider.test_media import PDF, PNG, carried
from tests.service.gateway.plant import plant, quick, vendor

URL = {"type": "url", "url": "https://example.com/a.png"}
COUNTS = {"anthropic": "/v1/messages/count_tokens", "google": "/v1beta/models/x:countTokens"}


def said(block):
    return {"messages": [{"role": "user", "content": [block]}]}


def parts(part):
    return {"contents": [{"role": "user", "parts": [part]}]}


FILE = {"fileData": {"fileUri": "https://example.com/a.mp4", "mimeType": "video/mp4"}}
BEYOND = [
    ("anthropic", said({"type": "image", "source": URL})),
    ("anthropic", said({"type": "document", "source": {"type": "file", "file_id": "file_1"}})),
    ("anthropic", said({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": URL}]})),
    (
        "anthropic",
        {**said({"type": "text", "text": "x"}), "mcp_servers": [{"type": "url", "url": "https://example.com"}]},
    ),
    (
        "anthropic",
        {**said({"type": "text", "text": "x"}), "tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    ),
    ("google", parts(FILE)),
    ("google", {"generateContentRequest": {"model": "models/x", **parts(FILE)}}),
    ("google", {"contents": [], "generateContentRequest": {"model": "models/x", **parts(FILE)}}),
    ("google", {"generateContentRequest": {**parts({"text": "x"}), "tools": [{"googleSearch": {}}]}}),
    ("google", {"generateContentRequest": {**parts({"text": "x"}), "cachedContent": "cachedContents/1"}}),
    ("google", {"generateContentRequest": [parts(FILE)]}),
    ("google", {**parts({"text": "x"}), "tools": [{"urlContext": {}}]}),
    ("google", {**parts({"text": "x"}), "systemInstruction": {"parts": [FILE]}}),
    ("google", {**parts({"text": "x"}), "system_instruction": {"parts": [{"text": "x"}]}}),
]


async def counted(p, kind, body):
    headers = {"x-api-key": p.tokens[0]}
    async with p.client.post(p.url + COUNTS[kind], data=json.dumps(body).encode(), headers=headers) as response:
        return response.status, await response.read()


@pytest.mark.parametrize(("kind", "body"), BEYOND)
async def test_what_a_call_may_not_reach_a_count_may_not_either(kind, body):
    async with plant(kind) as p:
        status, told = await counted(p, kind, body)
        assert status == 400
        assert b"mend" in told
        assert p.upstream.received == []


@pytest.mark.parametrize(("media_type", "data"), [("image/png", PNG), ("application/pdf", PDF)])
@pytest.mark.parametrize("kind", COUNTS)
async def test_what_a_call_may_carry_is_counted(kind, media_type, data):
    body = carried(kind, media_type, data)
    forms = [body] if kind == "anthropic" else [{"contents": body["contents"]}, {"generateContentRequest": body}]
    async with plant(kind, published=vendor(kind)) as p:
        for form in forms:
            assert (await counted(p, kind, form))[0] == 200
        assert len(p.upstream.received) == len(forms)


async def test_a_count_may_name_a_model_and_instructions_beside_its_contents_and_is_of_the_sessions_model():
    whole = {**parts({"text": "x"}), "systemInstruction": {"parts": [{"text": "be brief"}]}}
    async with plant("google") as p:
        assert (await counted(p, "google", {"model": "models/x", **whole}))[0] == 200
        assert p.upstream.received[0].json == {"model": "models/real-model", **whole}


async def test_fields_that_the_gateway_is_told_to_let_through_are_let_through_to_a_count_too():
    whole = {**parts({"text": "x"}), "newField": "x"}
    async with plant("google", settings=quick(allowed_fields=frozenset({"newField", "tools"}))) as p:
        assert (await counted(p, "google", whole))[0] == 200
        assert (await counted(p, "google", {**whole, "tools": [{"urlContext": {}}]}))[0] == 400
        assert len(p.upstream.received) == 1


@pytest.mark.parametrize("how", ["stopped", "shut"])
@pytest.mark.parametrize("kind", COUNTS)
async def test_a_session_that_is_over_counts_nothing_more(kind, how):
    body = said({"type": "text", "text": "x"}) if kind == "anthropic" else parts({"text": "x"})
    async with plant(kind) as p:
        assert (await counted(p, kind, body))[0] == 200
        if how == "stopped":
            p.gateway._book.stop(p.sessions[0], "it went in circles")
        else:
            p.gateway.shut(p.sessions[0])
        status, told = await counted(p, kind, body)
        assert status == 400
        assert {"stopped": b"went in circles", "shut": b"handed in"}[how] in told
        assert len(p.upstream.received) == 1
