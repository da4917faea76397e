"""The HTTP face of the rehearsal model: plain ASGI, stateless, two wire formats.

Started by `__main__`; tests may drive `RehearsalApp` in process. Every answer is a function of the request's bytes and
the seed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swarmworks.provider.rehearsal import anthropic_wire, behaviour, openai_wire
from swarmworks.provider.rehearsal.conversation import (
    Answer,
    Conversation,
    MalformedRequestError,
    as_mapping,
    fit,
    usage_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from swarmworks.provider.rehearsal.coder import Coder

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MODEL = "rehearsal"
MODEL_PREFIX = "/v1/models/"
MAX_BODY_BYTES = 16 * 1024 * 1024
NOTICE = "rule-based rehearsal model, not a language model"


@dataclass(frozen=True, slots=True)
class RequestRefused(Exception):  # noqa: N818 - it is the answer, not a fault of the server
    status: int
    message: str


@dataclass(frozen=True, slots=True)
class RehearsalApp:
    """`latency_ms` is waited before the first byte of an answer, so that swarms can be rehearsed at a model's pace."""

    coder: Coder
    seed: int = 0
    latency_ms: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"].rstrip("/")
        match method, path:
            case "GET", "/v1/models":
                await _send_json(send, 200, _models())
            case "GET", _ if path.startswith(MODEL_PREFIX):
                await _send_model(send, path.removeprefix(MODEL_PREFIX))
            case "GET", "/health":
                await _send_json(send, 200, {"status": "ok", "model": MODEL, "notice": NOTICE})
            case "POST", "/v1/chat/completions":
                await self._chat(receive, send)
            case "POST", "/v1/messages":
                await self._messages(receive, send)
            case _:
                await _send_json(send, 404, openai_wire.error(404, f"no such endpoint: {method} {path}"))

    async def _chat(self, receive: Receive, send: Send) -> None:
        try:
            conversation = await _read(receive, openai_wire.parse)
        except RequestRefused as refused:
            await _send_json(send, refused.status, openai_wire.error(refused.status, refused.message))
            return
        answer, answer_id = await self._answer(conversation)
        usage = usage_of(conversation, answer)
        if conversation.stream:
            await _send_events(send, openai_wire.stream(conversation, answer, usage, MODEL, answer_id))
        else:
            await _send_json(send, 200, openai_wire.render(answer, usage, MODEL, answer_id))

    async def _messages(self, receive: Receive, send: Send) -> None:
        try:
            conversation = await _read(receive, anthropic_wire.parse)
        except RequestRefused as refused:
            await _send_json(send, refused.status, anthropic_wire.error(refused.status, refused.message))
            return
        answer, answer_id = await self._answer(conversation)
        usage = usage_of(conversation, answer)
        if conversation.stream:
            await _send_events(send, anthropic_wire.stream(answer, usage, MODEL, answer_id))
        else:
            await _send_json(send, 200, anthropic_wire.render(answer, usage, MODEL, answer_id))

    async def _answer(self, conversation: Conversation) -> tuple[Answer, str]:
        if self.latency_ms:
            await asyncio.sleep(self.latency_ms / 1000)
        chosen = behaviour.choose(self.seed, conversation.prompt)
        answer = fit(self.coder.answer(conversation, chosen), conversation.max_output_tokens)
        digest = hashlib.sha256(f"{chosen.draw}:{conversation.turns}:{conversation.input_bytes}".encode())
        return answer, digest.hexdigest()[:24]


async def _read(receive: Receive, parse: Callable[[dict[str, object], int], Conversation]) -> Conversation:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestRefused(400, "the client left before its request was complete")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise RequestRefused(413, f"the request is larger than {MAX_BODY_BYTES} bytes")
        if not message.get("more_body"):
            break
    try:
        conversation = parse(as_mapping(json.loads(bytes(body)), "body"), len(body))
    except MalformedRequestError as malformed:
        raise RequestRefused(400, str(malformed)) from malformed
    except ValueError as undecodable:
        raise RequestRefused(400, f"the body is not JSON: {undecodable}") from undecodable
    if conversation.model != MODEL:
        raise RequestRefused(404, f"no such model: {conversation.model!r}; this server has only {MODEL!r}")
    return conversation


def _model() -> dict[str, object]:
    return {
        "id": MODEL,
        "object": "model",
        "type": "model",
        "created": 0,
        "created_at": "1970-01-01T00:00:00Z",
        "owned_by": "swarmworks",
        "display_name": f"Rehearsal ({NOTICE})",
    }


def _models() -> dict[str, object]:
    return {"object": "list", "data": [_model()], "has_more": False, "first_id": MODEL, "last_id": MODEL}


async def _send_model(send: Send, name: str) -> None:
    if name == MODEL:
        await _send_json(send, 200, _model())
    else:
        message = f"no such model: {name!r}; this server has only {MODEL!r}"
        await _send_json(send, 404, openai_wire.error(404, message))


async def _send_json(send: Send, status: int, data: dict[str, object]) -> None:
    body = json.dumps(data).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_events(send: Send, events: Iterable[bytes]) -> None:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for event in events:
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
