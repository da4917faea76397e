"""Small tasks with tools, done by the vendors' own clients and by pydantic-ai through the gateway, in every format: they come
to their end, or to the end of the budget, and not a byte goes to the provider after the refusal.
"""

import contextlib
import json

import anthropic
import httpx
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from tests.service.gateway.agents import RESULT, ROUNDS, always_a_tool, tools_then_answer
from tests.service.gateway.plant import KINDS, RATE_IN, RATE_OUT, plant

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
DESCRIPTION = "looks the number up"
ASKED = "what is the number?"
MOST_ROUNDS = 40
CAP = 60
RETRIES = (0, None)
"""Ours, and what users have by default."""
REFUSED = (openai.BadRequestError, anthropic.BadRequestError, genai_errors.ClientError, ModelHTTPError)


@contextlib.asynccontextmanager
async def openai_client(p, retries):
    more = {} if retries is None else {"max_retries": retries}
    async with openai.AsyncOpenAI(base_url=f"{p.url}/v1", api_key=p.tokens[0], **more) as client:
        yield client


@contextlib.asynccontextmanager
async def anthropic_client(p, retries):
    more = {} if retries is None else {"max_retries": retries}
    async with anthropic.AsyncAnthropic(base_url=p.url, api_key=p.tokens[0], **more) as client:
        yield client


@contextlib.asynccontextmanager
async def google_client(p, retries):
    more = {} if retries is None else {"retry_options": genai_types.HttpRetryOptions(attempts=retries + 1)}
    async with httpx.AsyncClient() as http:
        options = genai_types.HttpOptions(base_url=p.url, httpx_async_client=http, **more)
        yield genai.Client(api_key=p.tokens[0], http_options=options)


async def chat(p, retries, *, stream):
    messages = [{"role": "user", "content": ASKED}]
    tools = [{"type": "function", "function": {"name": "look", "description": DESCRIPTION, "parameters": SCHEMA}}]
    async with openai_client(p, retries) as client:
        for _ in range(MOST_ROUNDS):
            call = {"model": "any", "messages": messages, "tools": tools, "max_tokens": CAP}
            if stream:
                async with client.chat.completions.stream(**call) as events:
                    answer = await events.get_final_completion()
            else:
                answer = await client.chat.completions.create(**call)
            told = answer.choices[0].message
            if not told.tool_calls:
                return told.content
            [asked] = told.tool_calls
            assert json.loads(asked.function.arguments) == {"a": 1}
            function = {"name": asked.function.name, "arguments": asked.function.arguments}
            messages += [
                {"role": "assistant", "tool_calls": [{"id": asked.id, "type": "function", "function": function}]},
                {"role": "tool", "tool_call_id": asked.id, "content": RESULT},
            ]
    return None


async def responses(p, retries, *, stream):
    items = [{"role": "user", "content": ASKED}]
    tools = [{"type": "function", "name": "look", "description": DESCRIPTION, "parameters": SCHEMA, "strict": False}]
    async with openai_client(p, retries) as client:
        for _ in range(MOST_ROUNDS):
            call = {"model": "any", "input": items, "tools": tools, "max_output_tokens": CAP, "store": False}
            if stream:
                async with client.responses.stream(**call) as events:
                    answer = await events.get_final_response()
            else:
                answer = await client.responses.create(**call)
            [told] = answer.output
            if told.type != "function_call":
                return answer.output_text
            items += [
                {"type": "function_call", "call_id": told.call_id, "name": told.name, "arguments": told.arguments},
                {"type": "function_call_output", "call_id": told.call_id, "output": RESULT},
            ]
    return None


async def messages(p, retries, *, stream):
    said = [{"role": "user", "content": ASKED}]
    tools = [{"name": "look", "description": DESCRIPTION, "input_schema": SCHEMA}]
    async with anthropic_client(p, retries) as client:
        for _ in range(MOST_ROUNDS):
            call = {"model": "any", "messages": said, "tools": tools, "max_tokens": CAP}
            if stream:
                async with client.messages.stream(**call) as events:
                    answer = await events.get_final_message()
            else:
                answer = await client.messages.create(**call)
            [told] = answer.content
            if told.type != "tool_use":
                return told.text
            block = {"type": "tool_use", "id": told.id, "name": told.name, "input": told.input}
            result = {"type": "tool_result", "tool_use_id": told.id, "content": RESULT}
            said += [{"role": "assistant", "content": [block]}, {"role": "user", "content": [result]}]
    return None


async def gemini(p, retries, *, stream):
    contents = [genai_types.Content(role="user", parts=[genai_types.Part(text=ASKED)])]
    tool = genai_types.FunctionDeclaration(name="look", description=DESCRIPTION)
    config = genai_types.GenerateContentConfig(
        max_output_tokens=CAP, tools=[genai_types.Tool(function_declarations=[tool])]
    )
    async with google_client(p, retries) as client:
        for _ in range(MOST_ROUNDS):
            call = {"model": "any", "contents": contents, "config": config}
            if stream:
                told = [chunk async for chunk in await client.aio.models.generate_content_stream(**call)]
            else:
                told = [await client.aio.models.generate_content(**call)]
            parts = [part for each in told for part in each.candidates[0].content.parts if not part.thought]
            asked = [part for part in parts if part.function_call]
            if not asked:
                return "".join(part.text or "" for part in parts)
            found = genai_types.Part.from_function_response(name="look", response={"result": RESULT})
            contents += [
                genai_types.Content(role="model", parts=asked),
                genai_types.Content(role="user", parts=[found]),
            ]
    return None


CLIENTS = {"openai": chat, "responses": responses, "anthropic": messages, "google": gemini}


@contextlib.asynccontextmanager
async def pydantic_model(kind, p, retries):
    if kind in {"openai", "responses"}:
        made = OpenAIChatModel if kind == "openai" else OpenAIResponsesModel
        async with openai_client(p, retries) as client:
            yield made("any", provider=OpenAIProvider(openai_client=client))
    elif kind == "anthropic":
        async with anthropic_client(p, retries) as client:
            yield AnthropicModel("any", provider=AnthropicProvider(anthropic_client=client))
    else:
        async with google_client(p, retries) as client:
            yield GoogleModel("any", provider=GoogleProvider(client=client))


def pydantic_ai(kind):
    async def run(p, retries, *, stream):
        async with pydantic_model(kind, p, retries) as model:
            agent = Agent(model, model_settings={"max_tokens": CAP})

            @agent.tool_plain
            def look(a: int = 1) -> str:
                assert a == 1
                return RESULT

            if not stream:
                return (await agent.run(ASKED)).output
            async with agent.run_stream(ASKED) as running:
                return await running.get_output()

    return run


RUNS = [(kind, CLIENTS[kind]) for kind in KINDS] + [(kind, pydantic_ai(kind)) for kind in KINDS]
IDS = [*KINDS, *(f"pydantic-ai-{kind}" for kind in KINDS)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("kind", "run"), RUNS, ids=IDS)
async def test_a_task_with_tools_comes_to_its_end(kind, run, stream):
    async with plant(kind) as p:
        p.upstream.script = tools_then_answer
        assert await run(p, 0, stream=stream) == "it is 42"
        calls = await p.recorded(ROUNDS + 1)
        assert [call.refusal for call in calls] == [None] * (ROUNDS + 1)
        assert [call.settled.nano_usd for call in calls] == [10 * RATE_IN + 50 * RATE_OUT] * (ROUNDS + 1)
        assert len(p.upstream.received) == ROUNDS + 1


@pytest.mark.parametrize("retries", RETRIES, ids=["no-retries", "retries-by-default"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("kind", "run"), RUNS, ids=IDS)
async def test_a_task_without_end_ends_with_the_budget_and_nothing_is_sent_after_the_refusal(
    kind, run, stream, retries
):
    async with plant(kind, limit=16_000_000) as p:
        p.upstream.script = always_a_tool
        with pytest.raises(REFUSED) as refusal:
            await run(p, retries, stream=stream)
        assert "budget" in str(refusal.value)
        sent = len(p.upstream.received)
        assert sent > 1
        calls = await p.recorded(sent + 1)
        assert [call.refusal for call in calls] == [None] * sent + ["budget"]
        assert calls[-1].stop
        assert len(p.upstream.received) == sent
