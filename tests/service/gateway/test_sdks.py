"""The vendors' own Python clients against the gateway: they must not notice it, and must stop when the budget is spent."""

import contextlib
import json

import anthropic
import httpx
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types

from swarmworks.policy.bound import Shape, worst_case
from tests.service.gateway.plant import PRICE, plant
from tests.service.gateway.upstream import Answer

MESSAGES = [{"role": "user", "content": "hello"}]
FUNCTION = {
    "name": "look",
    "description": "d",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
}
TOOL = {"name": "look", "description": "d", "input_schema": FUNCTION["parameters"]}


def openai_client(p):
    return openai.AsyncOpenAI(base_url=f"{p.url}/v1", api_key=p.tokens[0])


def anthropic_client(p):
    return anthropic.AsyncAnthropic(base_url=p.url, api_key=p.tokens[0])


async def test_openai_answers_and_streams():
    async with plant("openai") as p, openai_client(p) as client:
        answer = await client.chat.completions.create(model="any", messages=MESSAGES, max_tokens=50)
        assert answer.choices[0].message.content == "hello"
        assert answer.usage.completion_tokens == 5
        stream = await client.chat.completions.create(model="any", messages=MESSAGES, max_tokens=50, stream=True)
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hello"
        assert all(chunk.usage is None for chunk in chunks)
        stream = await client.chat.completions.create(
            model="any", messages=MESSAGES, max_tokens=50, stream=True, stream_options={"include_usage": True}
        )
        assert [chunk async for chunk in stream][-1].usage.completion_tokens == 5
        assert [model.id async for model in client.models.list()] == ["real-model"]
        assert len(await p.recorded(3)) == 3


@pytest.mark.parametrize("stream", [False, True])
async def test_openai_tools(stream):
    async with plant("openai") as p, openai_client(p) as client:
        p.upstream.script = lambda number, body: Answer(tool=True)
        tools = [{"type": "function", "function": FUNCTION}]
        answer = await client.chat.completions.create(model="any", messages=MESSAGES, tools=tools, stream=stream)
        if stream:
            deltas = [call async for chunk in answer for call in chunk.choices[0].delta.tool_calls or []]
            arguments = "".join(delta.function.arguments for delta in deltas)
        else:
            arguments = answer.choices[0].message.tool_calls[0].function.arguments
        assert json.loads(arguments) == {"a": 1}


@pytest.mark.parametrize("tool", [False, True])
async def test_openai_responses(tool):
    async with plant("responses") as p, openai_client(p) as client:
        p.upstream.script = lambda number, body: Answer(tool=tool)
        call = {"model": "any", "input": "hello", "max_output_tokens": 50, "tools": [{"type": "function", **FUNCTION}]}
        answer = await client.responses.create(**call)
        assert (answer.output[0].arguments if tool else answer.output_text) == ('{"a":1}' if tool else "hello")
        assert answer.usage.output_tokens == 5
        async with client.responses.stream(**call) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
        assert kinds[-1] == "response.completed"
        assert (final.output[0].arguments if tool else final.output_text) == ('{"a":1}' if tool else "hello")
        assert [call.settled.tokens for call in await p.recorded(2)] == [15, 15]


async def test_openai_responses_hear_of_a_cut_and_of_the_budget():
    async with plant("responses") as p, openai_client(p) as client:
        p.upstream.script = lambda number, body: Answer(cut_after=3)
        with pytest.raises(openai.APIError):
            async for _event in await client.responses.create(model="any", input="hello", stream=True):
                pass
        assert (await p.recorded(1))[0].estimated
    async with plant("responses", limit=1) as p, openai_client(p) as client:
        with pytest.raises(openai.BadRequestError, match="budget"):
            await client.responses.create(model="any", input="hello")
        assert p.upstream.received == []


@contextlib.asynccontextmanager
async def google_client(p):
    async with httpx.AsyncClient() as http:
        options = genai_types.HttpOptions(base_url=p.url, httpx_async_client=http)
        yield genai.Client(api_key=p.tokens[0], http_options=options).aio


@pytest.mark.parametrize("tool", [False, True])
async def test_google_answers_streams_and_counts(tool):
    async with plant("google") as p, google_client(p) as client:
        p.upstream.script = lambda number, body: Answer(tool=tool)
        functions = [genai_types.Tool(function_declarations=[{**FUNCTION, "parameters": None}])]
        config = genai_types.GenerateContentConfig(
            max_output_tokens=50,
            system_instruction="be brief",
            tools=functions,
            automatic_function_calling=genai_types.AutomaticFunctionCallingConfig(disable=True),
        )
        call = {"model": "any", "contents": "hello", "config": config}
        answer = await client.models.generate_content(**call)
        assert (answer.function_calls[0].args if tool else answer.text) == ({"a": 1} if tool else "hello")
        chunks = [chunk async for chunk in await client.models.generate_content_stream(**call)]
        assert chunks[-1].usage_metadata.candidates_token_count == 5
        assert tool or "".join(chunk.text or "" for chunk in chunks) == "hello"
        assert (await client.models.count_tokens(model="any", contents="hello")).total_tokens == 42
        assert [call.settled.tokens for call in await p.recorded(2)] == [15, 15]
        p.upstream.received = [received for received in p.upstream.received if "count" not in received.path]


async def test_google_stops_when_the_budget_is_spent():
    async with plant("google", limit=1) as p, google_client(p) as client:
        with pytest.raises(genai_errors.ClientError, match="budget"):
            await client.models.generate_content(model="any", contents="hello")
        assert p.upstream.received == []


async def test_anthropic_answers_streams_and_counts():
    async with plant("anthropic") as p, anthropic_client(p) as client:
        answer = await client.messages.create(model="any", messages=MESSAGES, max_tokens=50)
        assert answer.content[0].text == "hello"
        async with client.messages.stream(model="any", messages=MESSAGES, max_tokens=50) as stream:
            assert "".join([text async for text in stream.text_stream]) == "hello"
            assert (await stream.get_final_message()).usage.output_tokens == 5
        counted = await client.messages.count_tokens(model="any", messages=MESSAGES)
        assert counted.input_tokens == 42
        assert [model.id async for model in client.models.list()] == ["real-model"]
        await p.recorded(2)
        p.upstream.received = [received for received in p.upstream.received if "count" not in received.path]


@pytest.mark.parametrize("stream", [False, True])
async def test_anthropic_tools(stream):
    async with plant("anthropic") as p, anthropic_client(p) as client:
        p.upstream.script = lambda number, body: Answer(tool=True)
        call = {"model": "any", "messages": MESSAGES, "max_tokens": 50, "tools": [TOOL]}
        if stream:
            async with client.messages.stream(**call) as found:
                answer = await found.get_final_message()
        else:
            answer = await client.messages.create(**call)
        assert answer.content[0].input == {"a": 1}


async def test_a_cut_stream_is_an_error_and_not_a_short_answer():
    async with plant("openai") as p, openai_client(p) as client:
        p.upstream.script = lambda number, body: Answer(cut_after=2)
        stream = await client.chat.completions.create(model="any", messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIError):
            [chunk async for chunk in stream]
    async with plant("anthropic") as p, anthropic_client(p) as client:
        p.upstream.script = lambda number, body: Answer(cut_after=3)
        stream = await client.messages.create(model="any", messages=MESSAGES, max_tokens=50, stream=True)
        with pytest.raises(anthropic.APIError):
            [event async for event in stream]


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_client_stops_when_the_budget_is_spent_and_nothing_more_is_sent(kind, stream):
    worst = worst_case(Shape(text_bytes=200, output_cap=50), PRICE).nano_usd
    async with plant(kind, limit=2 * worst) as p:
        p.upstream.script = lambda number, body: Answer(completion=50)
        client = openai_client(p) if kind == "openai" else anthropic_client(p)
        create = client.chat.completions.create if kind == "openai" else client.messages.create
        refused = openai.BadRequestError if kind == "openai" else anthropic.BadRequestError
        async with client:
            with pytest.raises(refused) as refusal:
                await _ask_on(create, stream)
        assert "full" in str(refusal.value)
        calls = await p.recorded(len(p.upstream.received) + 1)
        assert [call.refusal for call in calls] == [None] * len(p.upstream.received) + ["budget"]
        assert calls[-1].stop
        assert p.upstream.received


async def _ask_on(create, stream):
    for _ in range(20):
        answer = await create(model="any", messages=MESSAGES, max_tokens=50, stream=stream)
        if stream:
            [event async for event in answer]
