"""Requests as the programs of each vendor send them, answers with usage as its documentation shows it, at the shipped prices:
what is booked is never more than what was reserved.
"""

import json

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.policy.bound import context_window, cost
from swarmworks.policy.clamp import Offer
from swarmworks.provider.limits import LimitTable
from swarmworks.provider.prices import PriceTable
from swarmworks.provider.sse import EventSplitter
from swarmworks.service.gateway.bounding import InputBounds
from swarmworks.service.gateway.record import Upstream
from tests.provider.test_media import FORMATS, PDF, PNG

SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
PROMPT = "You are an agent that writes software. " * 100
URLS = {
    "anthropic": "https://api.anthropic.com",
    "openai": "https://api.openai.com/v1",
    "google": "https://generativelanguage.googleapis.com",
    "deepseek": "https://api.deepseek.com/v1",
}

CLAUDE = {
    "model": "claude-opus-5",
    "max_tokens": 32_000,
    "system": [
        {"type": "text", "text": PROMPT, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ],
    "messages": [
        {
            "role": "user",
            "content": [{"type": "text", "text": "mend the test", "cache_control": {"type": "ephemeral"}}],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I look first", "signature": "EqQBCkYIBxgCKkD" * 20},
                {"type": "tool_use", "id": "toolu_01", "name": "Bash", "input": {"command": "ls"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01", "content": "a.py\nb.py"}]},
    ],
    "tools": [{"name": "Bash", "description": "runs a command", "input_schema": SCHEMA}],
    "thinking": {"type": "enabled", "budget_tokens": 16_000},
    "metadata": {"user_id": "user_1"},
    "stream": True,
}
CLAUDE_EVENTS = [
    {
        "type": "message_start",
        "message": {
            "type": "message",
            "usage": {
                "input_tokens": 21,
                "cache_creation_input_tokens": 950,
                "cache_read_input_tokens": 310,
                "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 900},
                "output_tokens": 1,
                "service_tier": "standard",
                "inference_geo": "global",
            },
        },
    },
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "done"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 503}},
    {"type": "message_stop"},
]
CLAUDE_SEES = {
    "max_tokens": 1_024,
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
                {"type": "text", "text": "What do they say?"},
            ],
        }
    ],
}
CODEX = {
    "model": "gpt-5.2-codex",
    "instructions": PROMPT,
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "mend the test"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAABo" * 60},
        {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "call_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": '{"output":"a.py\\nb.py"}'},
        {
            "role": "user",
            "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "high"}],
        },
    ],
    "tools": [{"type": "function", "name": "shell", "parameters": SCHEMA, "strict": False}, {"type": "local_shell"}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "high", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0198",
}
CODEX_EVENTS = [
    {"type": "response.created", "response": {"status": "in_progress", "usage": None}},
    {
        "type": "response.completed",
        "response": {
            "status": "completed",
            "service_tier": "default",
            "usage": {
                "input_tokens": 4_310,
                "input_tokens_details": {"cached_tokens": 1_024},
                "output_tokens": 4_900,
                "output_tokens_details": {"reasoning_tokens": 4_700},
                "total_tokens": 9_210,
            },
        },
    },
]
OPENCODE = {
    "model": "gpt-4o",
    "max_tokens": 4_096,
    "messages": [
        {"role": "system", "content": PROMPT},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "mend what you see"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            ],
        },
    ],
    "tools": [{"type": "function", "function": {"name": "bash", "parameters": SCHEMA}}],
    "stream": True,
    "stream_options": {"include_usage": True},
}
OPENCODE_EVENTS = [
    {"choices": [{"index": 0, "delta": {"content": "done"}, "finish_reason": None}], "usage": None},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None},
    {
        "choices": [],
        "service_tier": "default",
        "usage": {
            "prompt_tokens": 2_340,
            "completion_tokens": 230,
            "total_tokens": 2_570,
            "prompt_tokens_details": {"cached_tokens": 1_280, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "accepted_prediction_tokens": 0},
        },
    },
]
DEEPSEEK = {"model": "deepseek-chat", "messages": [{"role": "user", "content": PROMPT}], "n": 1}
DEEPSEEK_ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 803,
        "completion_tokens": 90,
        "total_tokens": 893,
        "prompt_cache_hit_tokens": 768,
        "prompt_cache_miss_tokens": 35,
        "prompt_tokens_details": {"cached_tokens": 768},
    },
}
GEMINI = {
    "systemInstruction": {"role": "user", "parts": [{"text": PROMPT}]},
    "contents": [
        {"role": "user", "parts": [{"text": "mend it"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]},
        {
            "role": "model",
            "parts": [
                {"functionCall": {"name": "run", "args": {"command": "ls"}}, "thoughtSignature": "CpQCAdHtim" * 20}
            ],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "run", "response": {"output": "a.py"}}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "run", "description": "runs", "parametersJsonSchema": SCHEMA}]}],
    "generationConfig": {
        "temperature": 0,
        "topP": 1,
        "maxOutputTokens": 8_000,
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 4_000},
    },
}
GEMINI_EVENTS = [
    {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "hm", "thought": True}]}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 2_010, "totalTokenCount": 2_410, "thoughtsTokenCount": 400},
    },
    {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "done"}]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {
            "promptTokenCount": 2_010,
            "cachedContentTokenCount": 900,
            "candidatesTokenCount": 120,
            "thoughtsTokenCount": 3_100,
            "totalTokenCount": 5_230,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 890},
                {"modality": "IMAGE", "tokenCount": 1_120},
            ],
        },
    },
]
CLAUDE_ANSWER = {
    "type": "message",
    "usage": {"input_tokens": 9_700, "output_tokens": 1_024, "service_tier": "standard"},
}
STREAMED = [
    ("anthropic", "anthropic", "claude-opus-5", CLAUDE, CLAUDE_EVENTS, 32_000),
    ("responses", "openai", "gpt-5.2-codex", CODEX, CODEX_EVENTS, 8_192),
    ("chat", "openai", "gpt-4o", OPENCODE, OPENCODE_EVENTS, 4_096),
    ("google", "google", "gemini-3.5-flash", GEMINI, GEMINI_EVENTS, 8_000),
]
WHOLE = [
    ("anthropic", "anthropic", "claude-opus-5", CLAUDE_SEES, CLAUDE_ANSWER, 1_024),
    ("chat", "deepseek", "deepseek-chat", DEEPSEEK, DEEPSEEK_ANSWER, 8_192),
    ("google", "google", "gemini-3.5-flash", GEMINI, GEMINI_EVENTS[-1], 8_000),
    ("responses", "openai", "gpt-5.2-codex", CODEX, CODEX_EVENTS[-1]["response"], 8_192),
]


def offered(kind, vendor, model, body, cap):
    upstream = Upstream("p", "openai" if vendor == "deepseek" else vendor, URLS[vendor])
    price = PriceTable.load().find("p", model, upstream.base_url)
    wire = FORMATS[kind]
    demand = wire.read(json.dumps(body).encode(), headers={}, allowed_fields=frozenset())
    bounded = InputBounds(LimitTable.load(), ManualClock()).of(upstream, model, price, wire, demand)
    return Offer(demand.shape, price, bounded.most_input, cap), price


def check(offer, price, billed):
    booked = cost(price, billed)
    assert 0 < booked.nano_usd <= offer.whole.nano_usd
    assert 0 < booked.tokens <= offer.whole.tokens


@pytest.mark.parametrize(("kind", "vendor", "model", "body", "events", "cap"), STREAMED)
def test_a_stream_as_its_vendor_documents_it_is_booked_within_the_reservation(kind, vendor, model, body, events, cap):
    offer, price = offered(kind, vendor, model, body, cap)
    meter, splitter = FORMATS[kind].meter(), EventSplitter(100_000)
    done = [b"data: [DONE]\n\n"] if kind == "chat" else []
    for raw in [*(b"data: " + json.dumps(each).encode() + b"\n\n" for each in events), *done]:
        for event in splitter.feed(raw):
            meter.feed(event)
    check(offer, price, meter.billed())


@pytest.mark.parametrize(("kind", "vendor", "model", "body", "answer", "cap"), WHOLE)
def test_an_answer_as_its_vendor_documents_it_is_booked_within_the_reservation(kind, vendor, model, body, answer, cap):
    offer, price = offered(kind, vendor, model, body, cap)
    check(offer, price, FORMATS[kind].billed(json.dumps(answer).encode()))


def test_an_hour_of_cache_is_reserved_at_its_price():
    offer, price = offered("anthropic", "anthropic", "claude-opus-5", CLAUDE, 1)
    short = json.loads(json.dumps(CLAUDE).replace(', "ttl": "1h"', ""))
    cheaper, _price = offered("anthropic", "anthropic", "claude-opus-5", short, 1)
    assert offer.whole.nano_usd > cheaper.whole.nano_usd * 1.5
    assert price.rates.cache_write_1h == 2 * price.rates.input


def test_a_pdf_reserves_the_window():
    offer, price = offered("anthropic", "anthropic", "claude-opus-5", CLAUDE_SEES, 1)
    assert offer.most_input == context_window(offer.shape, price) >= price.context_window
