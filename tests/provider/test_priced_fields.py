"""Every field that changes a price, in every format: counted, or refused by name with what to do."""

import json

import pytest

from swarmworks.base.errors import RejectedError
from tests.provider.test_conversation import LIST, START
from tests.provider.test_media import FORMATS


def read(kind, change):
    body = json.dumps({**START[kind], **change}).encode()
    return FORMATS[kind].read(body, headers={}, allowed_fields=frozenset())


@pytest.mark.parametrize(
    ("kind", "change", "where"),
    [
        ("anthropic", {"service_tier": "priority"}, "service_tier"),
        ("anthropic", {"speed": "fast"}, "speed"),
        ("anthropic", {"inference_geo": "us"}, "inference_geo"),
        ("anthropic", {"container": {"skills": []}, "mcp_servers": [{"url": "https://x"}]}, "container"),
        ("anthropic", {"mcp_servers": [{"type": "url", "url": "https://x"}]}, "mcp_servers"),
        ("anthropic", {"fallbacks": [{"model": "x"}]}, "fallbacks"),
        ("anthropic", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ("anthropic", {"tools": [{"type": "code_execution_20250825", "name": "c"}]}, "tools[0].type"),
        ("anthropic", {"tools": [{"type": "web_fetch_20250910", "name": "f"}]}, "tools[0].type"),
        ("anthropic", {"tools": [{"type": []}]}, "tools[0].type"),
        ("anthropic", {"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management.edits[0]"),
        (
            "anthropic",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "document",
                                "source": {"type": "text", "data": "a."},
                                "citations": {"enabled": True},
                            }
                        ],
                    }
                ]
            },
            "messages[0].content[0].citations",
        ),
        ("chat", {"service_tier": "priority"}, "service_tier"),
        ("chat", {"service_tier": "scale"}, "service_tier"),
        ("chat", {"modalities": ["audio"]}, "modalities"),
        ("chat", {"modalities": 5}, "modalities"),
        ("chat", {"audio": {"voice": "x"}}, "audio"),
        ("chat", {"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
        ("chat", {"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ("chat", {"prompt_cache_retention": "24h"}, "prompt_cache_retention"),
        ("chat", {"plugins": [{"id": "web"}]}, "plugins"),
        ("chat", {"best_of": 5}, "best_of"),
        ("chat", {"n": 129}, "n"),
        ("chat", {"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ("responses", {"service_tier": "priority"}, "service_tier"),
        ("responses", {"background": True}, "background"),
        ("responses", {"previous_response_id": "r"}, "previous_response_id"),
        ("responses", {"conversation": "c"}, "conversation"),
        ("responses", {"prompt": {"id": "p"}}, "prompt"),
        ("responses", {"context_management": [{"type": "compaction"}]}, "context_management"),
        ("responses", {"tools": [{"type": "mcp", "server_url": "https://x"}]}, "tools[0].type"),
        ("responses", {"tools": [{"type": "code_interpreter"}]}, "tools[0].type"),
        ("responses", {"tools": [{"type": "image_generation"}]}, "tools[0].type"),
        ("responses", {"tools": [{"type": {}}]}, "tools[0].type"),
        ("responses", {"include": [[]]}, "include"),
        ("responses", {"n": 2}, "n"),
        ("google", {"serviceTier": "SERVICE_TIER_PRIORITY"}, "serviceTier"),
        ("google", {"cachedContent": "cachedContents/x"}, "cachedContent"),
        ("google", {"tools": [{"googleSearch": {}}]}, "tools[0].googleSearch"),
        ("google", {"tools": [{"codeExecution": {}}]}, "tools[0].codeExecution"),
        ("google", {"tools": [{"urlContext": {}}]}, "tools[0].urlContext"),
        ("google", {"generationConfig": {"responseModalities": ["IMAGE"]}}, "generationConfig.responseModalities"),
        ("google", {"generationConfig": {"speechConfig": {"x": 1}}}, "generationConfig.speechConfig"),
        ("google", {"generationConfig": {"imageConfig": {"imageSize": "4K"}}}, "generationConfig.imageConfig"),
        ("google", {"generationConfig": {"candidateCount": 9}}, "candidateCount"),
    ],
)
def test_what_would_cost_more_is_refused_by_name_and_never_stripped(kind, change, where):
    with pytest.raises(RejectedError) as refused:
        read(kind, change)
    assert refused.value.where == where
    assert refused.value.mend


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("anthropic", {"service_tier": "standard_only", "speed": "standard", "inference_geo": "global"}),
        ("chat", {"service_tier": "flex", "modalities": ["text"], "prompt_cache_retention": "in_memory"}),
        ("chat", {"service_tier": "on_demand"}),
        ("responses", {"service_tier": "default"}),
        ("google", {"generationConfig": {"responseModalities": ["TEXT"], "mediaResolution": "MEDIA_RESOLUTION_HIGH"}}),
    ],
)
def test_what_costs_no_more_passes(kind, change):
    assert read(kind, change).shape.choices == 1


@pytest.mark.parametrize(
    ("kind", "change"), [("chat", {"n": 3}), ("google", {"generationConfig": {"candidateCount": 3}})]
)
def test_choices_multiply(kind, change):
    assert read(kind, change).shape.choices == 3


@pytest.mark.parametrize("kind", ["anthropic", "chat"])
def test_an_hour_of_cache_is_seen_wherever_it_is_asked_for(kind):
    mark = {"type": "ephemeral", "ttl": "1h"}
    parts = [{"type": "text", "text": "x", "cache_control": mark}]
    assert read(kind, {LIST[kind]: [{"role": "user", "content": parts}]}).shape.one_hour_cache
    assert not read(kind, {}).shape.one_hour_cache


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("anthropic", {"type": "message", "usage": {"input_tokens": 1, "output_tokens": 1, "inference_geo": "us"}}),
        ("anthropic", {"type": "message", "usage": {"input_tokens": 1, "output_tokens": 1, "speed": "fast"}}),
        (
            "anthropic",
            {
                "type": "message",
                "usage": {"input_tokens": 1, "output_tokens": 1, "server_tool_use": {"web_search_requests": 1}},
            },
        ),
        ("chat", {"service_tier": "priority", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}),
        (
            "responses",
            {"status": "completed", "service_tier": "priority", "usage": {"input_tokens": 1, "output_tokens": 1}},
        ),
        (
            "google",
            {
                "usageMetadata": {
                    "promptTokenCount": 1,
                    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1}],
                }
            },
        ),
    ],
)
def test_usage_at_a_price_that_was_not_asked_for_is_not_booked_as_exact(kind, answer):
    assert FORMATS[kind].billed(json.dumps(answer).encode()) is None


def test_groqs_standard_tier_is_charged_by_its_usage():
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    told = FORMATS["chat"].billed(json.dumps({"service_tier": "on_demand", "usage": usage}).encode())
    assert told is not None
    assert (told.usage.input_tokens, told.usage.output_tokens) == (3, 2)
