"""An independent provider on loopback that keeps its own bill and can fail in every way."""

import asyncio
import json
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Answer:
    """`late_usage`: the last two events change places, so that the end comes before the usage. `tail` is sent behind the end;
    `linger` is waited for before the stream is closed. `cut_after` events the connection is closed; `error_after` an event with the `error` is sent, after `stop_after` the stream is closed in good order; `gate` is waited for before the
    event `gate_at`. `billed` False: nothing was generated.
    """

    prompt: int = 10
    completion: int = 5
    texts: tuple[str, ...] = ("hel", "lo")
    tool: bool = False
    cut_after: int | None = None
    error_after: int | None = None
    error: dict = field(default_factory=lambda: {"type": "overloaded_error", "message": "x"})
    stop_after: int | None = None
    omit_usage: bool = False
    repeat_usage: bool = False
    late_usage: bool = False
    tail: bytes = b""
    linger: asyncio.Event | None = None
    status: int = 200
    body: bytes | None = None
    headers: dict = field(default_factory=dict)
    hang: bool = False
    cut_json: bool = False
    gate: asyncio.Event | None = None
    gate_at: int = -1
    stream_anyway: bool = False
    counts: int = 42
    free: bool = False

    @property
    def billed(self):
        """A server error may have been, unless the provider says that it took nothing in."""
        billed = self.status == 200 or (self.status >= 500 and b"overloaded_error" not in (self.body or b""))
        return billed and not self.free


@dataclass
class Received:
    path: str
    headers: dict
    body: bytes
    answer: Answer

    @property
    def json(self):
        return json.loads(self.body)


class Upstream:
    def __init__(self):
        self.received: list[Received] = []
        self.script = lambda number, body: Answer()
        self.streaming = asyncio.Event()
        self.waiting = 0
        self.finished = asyncio.Event()
        self._release = asyncio.Event()

    async def __aenter__(self):
        app = web.Application(client_max_size=64_000_000)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/messages/count_tokens", self._count)
        app.router.add_post("/v1/responses", self._responses)
        app.router.add_post("/v1beta/models/real-model:generateContent", self._generate)
        app.router.add_post("/v1beta/models/real-model:streamGenerateContent", self._generate)
        app.router.add_post("/v1beta/models/real-model:countTokens", self._count)
        self._runner = web.AppRunner(app, shutdown_timeout=1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc):
        self._release.set()
        for received in self.received:
            for event in filter(None, (received.answer.gate, received.answer.linger)):
                event.set()
        await self._runner.cleanup()

    def true_cost(self, input_rate, output_rate):
        """What this provider would bill, in units of rate * tokens."""
        calls = [received.answer for received in self.received if received.answer.billed]
        return sum(answer.prompt * input_rate + answer.completion * output_rate for answer in calls)

    async def _take(self, request):
        body = await request.read()
        answer = self.script(len(self.received), json.loads(body))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path, headers, body, answer))
        if answer.hang:
            await self._release.wait()
        return json.loads(body), answer

    async def _count(self, request):
        """Free of charge, so it is not among what was received, but for a script that wants to see it."""
        _body, answer = await self._take(request)
        answer.free = True
        return web.json_response({"input_tokens": answer.counts, "totalTokens": answer.counts}, status=answer.status)

    async def _responses(self, request):
        body, answer = await self._take(request)
        return await self._answer(request, body, answer, response_json, response_events)

    async def _generate(self, request):
        body, answer = await self._take(request)
        streams = "streamGenerateContent" in request.path
        assert not streams or request.query == {"alt": "sse"}
        return await self._answer(request, {**body, "stream": streams}, answer, generate_json, generate_events)

    async def _chat(self, request):
        body, answer = await self._take(request)
        return await self._answer(request, body, answer, chat_json, chat_events)

    async def _messages(self, request):
        body, answer = await self._take(request)
        return await self._answer(request, body, answer, message_json, message_events)

    async def _answer(self, request, body, answer, whole, events):
        headers = {"request-id": "req_1", "secret-header": "x", **answer.headers}
        if answer.status != 200 or answer.body is not None:
            data = answer.body if answer.body is not None else b'{"error":{"message":"no","type":"t"}}'
            return web.Response(
                status=answer.status, body=data, headers={"content-type": "application/json", **headers}
            )
        if body.get("stream"):
            return await self._stream(request, events(body, answer), answer, headers)
        data = json.dumps(whole(answer)).encode()
        if answer.cut_json:
            response = web.StreamResponse(
                headers={"content-type": "application/json", "content-length": str(len(data))}
            )
            await response.prepare(request)
            await response.write(data[: len(data) // 2])
            request.transport.abort()
            return response
        if answer.gate:
            self.streaming.set()
            await answer.gate.wait()
        self.finished.set()
        return web.Response(body=data, headers={"content-type": "application/json", **headers})

    async def _stream(self, request, events, answer, headers):
        response = web.StreamResponse(headers={"content-type": "text/event-stream", **headers})
        await response.prepare(request)
        if answer.late_usage:
            events = [*events[:-2], events[-1], events[-2]]
        for number, each in enumerate(events):
            if answer.cut_after == number:
                request.transport.close()  # what was written arrives, the end does not
                return response
            if answer.stop_after == number:
                break
            if answer.error_after == number:
                await response.write(event({"type": "error", "error": answer.error}, "error"))
                break
            if answer.gate and number == answer.gate_at % len(events):
                self.streaming.set()
                self.waiting += 1
                await answer.gate.wait()
            await response.write(each)
        await response.write(answer.tail)
        if answer.linger:
            await answer.linger.wait()
        self.finished.set()
        await response.write_eof()
        return response


def event(data, name=None):
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data) if isinstance(data, dict) else data}\n\n".encode()


def chat_usage(answer):
    return {
        "prompt_tokens": answer.prompt,
        "completion_tokens": answer.completion,
        "total_tokens": answer.prompt + answer.completion,
    }


def chat_json(answer):
    message = {"role": "assistant", "content": "".join(answer.texts)}
    if answer.tool:
        call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "real-model",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if answer.tool else "stop"}],
    }
    return whole if answer.omit_usage else {**whole, "usage": chat_usage(answer)}


def chat_events(body, answer):
    def chunk(choices, **more):
        return event(
            {
                "id": "c",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "real-model",
                "choices": choices,
                **more,
            }
        )

    def choice(delta, reason=None):
        return [{"index": 0, "delta": delta, "finish_reason": reason}]

    events = [chunk(choice({"role": "assistant", "content": ""}))]
    if answer.tool:
        call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
        events.append(chunk(choice({"tool_calls": [call]})))
    else:
        events += [chunk(choice({"content": text})) for text in answer.texts]
    events.append(chunk(choice({}, "tool_calls" if answer.tool else "stop")))
    if body.get("stream_options", {}).get("include_usage") and not answer.omit_usage:
        events += [chunk([], usage=chat_usage(answer))] * (2 if answer.repeat_usage else 1)
    return [*events, event("[DONE]")]


def message_json(answer):
    content = [{"type": "text", "text": "".join(answer.texts)}]
    if answer.tool:
        content = [{"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}}]
    whole = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "real-model",
        "content": content,
        "stop_reason": "tool_use" if answer.tool else "end_turn",
        "stop_sequence": None,
    }
    usage = {"input_tokens": answer.prompt, "output_tokens": answer.completion}
    return whole if answer.omit_usage else {**whole, "usage": usage}


def message_events(body, answer):
    del body
    message = {**message_json(answer), "content": [], "stop_reason": None}
    message["usage"] = {"input_tokens": answer.prompt, "output_tokens": 1}
    events = [event({"type": "message_start", "message": message}, "message_start")]
    block = (
        {"type": "tool_use", "id": "t1", "name": "look", "input": {}} if answer.tool else {"type": "text", "text": ""}
    )
    events.append(event({"type": "content_block_start", "index": 0, "content_block": block}, "content_block_start"))
    deltas = [{"type": "text_delta", "text": text} for text in answer.texts]
    if answer.tool:
        deltas = [{"type": "input_json_delta", "partial_json": '{"a":1}'}]
    events += [
        event({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta") for delta in deltas
    ]
    events.append(event({"type": "content_block_stop", "index": 0}, "content_block_stop"))
    delta = {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use" if answer.tool else "end_turn", "stop_sequence": None},
    }
    if not answer.omit_usage:
        delta["usage"] = {"output_tokens": answer.completion}
    events += [event(delta, "message_delta")] * (2 if answer.repeat_usage else 1)
    return [*events, event({"type": "message_stop"}, "message_stop")]


def response_json(answer):
    content = {"type": "output_text", "text": "".join(answer.texts), "annotations": [], "logprobs": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [content]}
    if answer.tool:
        item = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"a":1}'}
        item["status"] = "completed"
    usage = {
        "input_tokens": answer.prompt,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": answer.completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.prompt + answer.completion,
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "real-model",
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "usage": None if answer.omit_usage else usage,
    }


def response_events(body, answer):
    del body
    whole = response_json(answer)
    [item] = whole["output"]
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    told = [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}]
    place = {"item_id": item["id"], "output_index": 0}
    if answer.tool:
        told.append({"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}})
        told.append({"type": "response.function_call_arguments.delta", "delta": item["arguments"], **place})
    else:
        empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        told.append({"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}})
        told.append({"type": "response.content_part.added", "content_index": 0, "part": empty, **place})
        told += [
            {"type": "response.output_text.delta", "content_index": 0, "delta": text, "logprobs": [], **place}
            for text in answer.texts
        ]
    told.append({"type": "response.output_item.done", "output_index": 0, "item": item})
    told += [{"type": "response.completed", "response": whole}] * (2 if answer.repeat_usage else 1)
    return [event({**each, "sequence_number": number}, each["type"]) for number, each in enumerate(told)]


def generate_json(answer):
    parts = [{"functionCall": {"name": "look", "args": {"a": 1}}}] if answer.tool else [{"text": "".join(answer.texts)}]
    whole = {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
        "modelVersion": "real-model",
    }
    usage = {
        "promptTokenCount": answer.prompt,
        "candidatesTokenCount": answer.completion,
        "totalTokenCount": answer.prompt + answer.completion,
    }
    return whole if answer.omit_usage else {**whole, "usageMetadata": usage}


def generate_events(body, answer):
    """Each but the last with the usage so far, as the provider has it."""
    del body
    whole = generate_json(answer)
    chunks = []
    thought = {"text": "hm", "thought": True}
    for shown in (thought, *({"text": text} for text in (() if answer.tool else answer.texts[:-1]))):
        part = {"candidates": [{"content": {"role": "model", "parts": [shown]}, "index": 0}]}
        so_far = {"promptTokenCount": answer.prompt, "candidatesTokenCount": 1, "totalTokenCount": answer.prompt + 1}
        chunks.append(part if answer.omit_usage else {**part, "usageMetadata": so_far})
    if not answer.tool:
        whole["candidates"][0]["content"]["parts"] = [{"text": answer.texts[-1]}]
    return [event(each) for each in (*chunks, *[whole] * (2 if answer.repeat_usage else 1))]
