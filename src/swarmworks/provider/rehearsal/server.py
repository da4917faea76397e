"""The HTTP face of the rehearsal model: plain ASGI, two wire formats.

Started by `__main__`; tests may drive `RehearsalApp` in process. Every answer is a function of the request's bytes and
the seed, except where a fault has to tell a request from its repetition (see `erring`).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swarmworks.provider.rehearsal import anthropic_wire, openai_wire, prompt, reviewer
from swarmworks.provider.rehearsal.conversation import (
    Answer,
    Conversation,
    MalformedRequestError,
    Usage,
    as_mapping,
    fit,
    usage_of,
)
from swarmworks.provider.rehearsal.erring import MOST_REFUSALS, RETRY_AFTER_S, SPOKEN, Strikes, errs, said
from swarmworks.provider.rehearsal.faults import MODEL, WHAT, Behaviour, Fault, Temper, choose, temper_of
from swarmworks.provider.rehearsal.mistakes import Made

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping

    from swarmworks.provider.rehearsal.coder import Coder

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    Headers = tuple[tuple[bytes, bytes], ...]

MODEL_PREFIX = "/v1/models/"
MAX_BODY_BYTES = 16 * 1024 * 1024
LONGEST_STALL_S = 3_600.0
STEADY = Temper()
NOTICE = "rule-based rehearsal model, not a language model"


@dataclass(frozen=True, slots=True)
class RequestRefused(Exception):  # noqa: N818 - it is the answer, not a fault of the server
    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Wire:
    """One vendor's format: bytes in, bytes out."""

    parse: Callable[[dict[str, object], int], Conversation]
    render: Callable[[Answer, Usage, str, str], dict[str, object]]
    stream: Callable[[Conversation, Answer, Usage, str, str], Iterator[bytes]]
    error: Callable[[int, str], dict[str, object]]


OPENAI = Wire(openai_wire.parse, openai_wire.render, openai_wire.stream, openai_wire.error)
ANTHROPIC = Wire(anthropic_wire.parse, anthropic_wire.render, anthropic_wire.stream, anthropic_wire.error)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said, and the fault with which it is sent."""

    answer: Answer
    answer_id: str
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class RehearsalApp:
    """`temper` is how requests that name the model `rehearsal` are answered. `latency_ms` is waited before the first byte
    of an answer, so that swarms can be rehearsed at a model's pace.
    """

    coder: Coder
    temper: Temper = STEADY
    latency_ms: int = 0
    strikes: Strikes = field(default_factory=Strikes)

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
                await self._converse(OPENAI, receive, send)
            case "POST", "/v1/messages":
                await self._converse(ANTHROPIC, receive, send)
            case _:
                await _send_json(send, 404, openai_wire.error(404, f"no such endpoint: {method} {path}"))

    async def _converse(self, wire: Wire, receive: Receive, send: Send) -> None:
        try:
            conversation = await _read(receive, wire.parse)
        except RequestRefused as refused:
            await _send_json(send, refused.status, wire.error(refused.status, refused.message))
            return
        if self.latency_ms:
            await asyncio.sleep(self.latency_ms / 1000)
        reply = self._reply(conversation)
        if reply.fault is Fault.STALL:
            await _stall(receive)
        elif reply.fault is Fault.RATE_LIMITED:
            waits = ((b"retry-after", str(RETRY_AFTER_S).encode()),)
            await _send_json(send, 429, wire.error(429, "rehearsed: too many requests, wait a second"), waits)
        else:
            await _send_answer(send, wire, conversation, reply)

    def _reply(self, conversation: Conversation) -> Reply:
        """The answer with every fault in it, each noted when it strikes first."""
        behaviour, attempt = self._behaviour(conversation)
        review = reviewer.answer(conversation)
        answer, made = (review, ()) if review else self.coder.answer(conversation, behaviour)
        struck = self._strike(behaviour, conversation, attempt)
        spoken = said(struck, behaviour, conversation, answer) if struck else None
        if struck is not None and (spoken is not None or struck not in SPOKEN):
            made = (Made(struck, "", WHAT[struck]),)
        for each in made:
            self.strikes.note(conversation.model, behaviour.task_id, attempt, conversation.turns, each)
        answer = fit(spoken or answer, conversation.max_output_tokens)
        digest = hashlib.sha256(
            f"{behaviour.temper.seed}\n{conversation.prompt}\n{conversation.turns}:{conversation.input_bytes}".encode()
        )
        return Reply(answer, digest.hexdigest()[:24], struck)

    def _behaviour(self, conversation: Conversation) -> tuple[Behaviour, int]:
        temper = temper_of(conversation.model, self.temper) or self.temper
        head = prompt.head(conversation.prompt)
        if head is None:  # a review, or whatever is no task
            return Behaviour(temper), 1
        return choose(temper, head.task_id, attempt=head.attempt, mends=head.kind == "fix_bug"), head.attempt

    def _strike(self, behaviour: Behaviour, conversation: Conversation, attempt: int) -> Fault | None:
        """The session's fault that strikes now. What was refused, cut or never answered is asked for again,
        and must be had then.
        """
        fault = errs(behaviour, conversation.turns)
        if fault is Fault.STALL:
            most = 1
        elif fault is Fault.CUT_STREAM:
            most = 1 if conversation.stream else 0
        elif fault is Fault.RATE_LIMITED:
            most = 1 + behaviour.pick(MOST_REFUSALS, "refusals")
        else:
            return fault
        before = self.strikes.again(fault, conversation.model, behaviour.task_id, attempt, conversation.turns)
        return fault if before < most else None


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
    if temper_of(conversation.model, Temper()) is None:
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


async def _stall(receive: Receive) -> None:
    """Until the other side has gone."""
    try:
        async with asyncio.timeout(LONGEST_STALL_S):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return


async def _send_answer(send: Send, wire: Wire, conversation: Conversation, reply: Reply) -> None:
    usage = usage_of(conversation, reply.answer)
    if not conversation.stream:
        await _send_json(send, 200, wire.render(reply.answer, usage, conversation.model, reply.answer_id))
        return
    events = list(wire.stream(conversation, reply.answer, usage, conversation.model, reply.answer_id))
    await _send_events(send, events[: len(events) // 2] if reply.fault is Fault.CUT_STREAM else events)


async def _send_json(send: Send, status: int, data: dict[str, object], more: Headers = ()) -> None:
    body = json.dumps(data).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_events(send: Send, events: Iterable[bytes]) -> None:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for event in events:
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
