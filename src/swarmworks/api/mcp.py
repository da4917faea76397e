"""What agents may ask of the platform, as an MCP server (Streamable HTTP, JSON-RPC 2.0): hand in, ask a person, tell progress.

Reached only through the sandbox's listener, beside the gateway, and with the session's token: the token says which session
speaks, so no tool takes one. It keeps no state of its own; each POST is answered with one JSON object. A tool that cannot do
what it was asked answers in words the model can act on, never with what is inside the platform.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from swarmworks import __version__
from swarmworks.base.errors import LimitReachedError, RejectedError, SwarmworksError, UnauthenticatedError
from swarmworks.base.ids import SessionId
from swarmworks.domain.question import Question, QuestionState
from swarmworks.domain.session import Session
from swarmworks.service.conversing import Conversing
from swarmworks.service.waking import Waking
from swarmworks.wire.handoff import HandoffDocument

log = logging.getLogger(__name__)

PATH = "/mcp"
VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
"""The newest first: what a client of an unknown version is offered."""
MOST_BODY_BYTES = 1 << 20
MOST_PROBLEMS = 10
PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603
HANDED_IN = "Handed in. The session ends now."
NOT_YET = (
    "No answer yet. Your question stays open, and an answer is passed on to you while you work. Go on if you can; if you "
    "cannot, hand_in with outcome needs_answer and the question."
)
TOOLS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("mcp_tools.json").read_text(encoding="utf-8"))

Object = dict[str, Any]


class _RpcError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class _ToolRefusal(Exception):  # noqa: N818 - an answer to the model, not a fault
    """In words for the model."""


class McpServer:
    """An ASGI application for PATH. `handed_in` is called before an agent is told that its handoff was accepted."""

    def __init__(self, conversing: Conversing, waking: Waking, handed_in: Callable[[SessionId], None]) -> None:
        self._conversing = conversing
        self._waking = waking
        self._handed_in = handed_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._respond(Request(scope, receive))
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        try:
            session = await self._conversing.caller(_token(request))
            if request.method == "DELETE":
                return Response(status_code=200)
            if request.method != "POST":
                return Response(status_code=405, headers={"allow": "POST, DELETE"})
            version = request.headers.get("mcp-protocol-version", VERSIONS[0])
            if version not in VERSIONS:
                raise RejectedError(f"the protocol version {version[:40]!r} is not spoken here")
            body = await _body(request)
        except SwarmworksError as error:
            return JSONResponse({"error": {"code": error.code, "message": error.what}}, error.http_status)
        return await self._message(session, body)

    async def _message(self, session: Session, body: bytes) -> Response:
        try:
            rpc = _parsed(body)
        except _RpcError as error:
            return _error(None, error, status=400)
        number, method = rpc.get("id"), rpc.get("method")
        if number is None or not isinstance(method, str):
            return Response(status_code=202)  # a notification, or a client's answer: nothing is waited for
        try:
            result = await self._call(session, method, _object(rpc.get("params")))
        except _RpcError as error:
            return _error(number, error)
        except SwarmworksError as error:
            log.warning("an agent's %s failed: %s", method[:40], error)
            return _error(number, _RpcError(INTERNAL, "the platform cannot answer now; try again"))
        return JSONResponse({"jsonrpc": "2.0", "id": number, "result": result})

    async def _call(self, session: Session, method: str, params: Object) -> Object:
        match method:
            case "initialize":
                return _initialized(params)
            case "ping":
                return {}
            case "tools/list":
                return {"tools": TOOLS}
            case "tools/call":
                return await self._tool(session, params)
            case _:
                raise _RpcError(NO_METHOD, f"there is no method {method[:80]!r} here")

    async def _tool(self, session: Session, params: Object) -> Object:
        name, arguments = params.get("name"), _object(params.get("arguments"))
        try:
            match name:
                case "hand_in":
                    text = _accepted(arguments)
                    self._handed_in(session.id)
                case "ask_person":
                    text = await self._ask(session, arguments)
                case "progress":
                    text = await self._progress(session, arguments)
                case _:
                    raise _RpcError(INVALID_PARAMS, f"there is no tool {str(name)[:80]!r}")
        except _ToolRefusal as refusal:
            return _said(str(refusal), wrong=True)
        except LimitReachedError as error:
            return _said(error.what, wrong=True)
        return _said(text, wrong=False)

    async def _ask(self, session: Session, arguments: Object) -> str:
        asked = await self._conversing.ask(session, _line(arguments, "question"))
        question = await self._answered(asked, await self._conversing.answer_wait_s(session))
        if question.state is QuestionState.ANSWERED:
            return f"A person answers: {question.answer}"
        return NOT_YET

    async def _answered(self, question: Question, wait_s: float) -> Question:
        deadline = self._waking.clock() + wait_s
        while True:
            ticket = self._waking.ticket()
            present = await self._conversing.question(question.id)
            remaining_s = deadline - self._waking.clock()
            if present.state is not QuestionState.OPEN or remaining_s <= 0 or self._waking.closing:
                ticket.cancel()
                return present
            await asyncio.wait((ticket,), timeout=remaining_s)
            ticket.cancel()

    async def _progress(self, session: Session, arguments: Object) -> str:
        noted = await self._conversing.progress(session, _line(arguments, "text"))
        return "noted" if noted else "not noted: too soon after the last one, or too many; go on with your work"


def _initialized(params: Object) -> Object:
    asked = params.get("protocolVersion")
    return {
        "protocolVersion": asked if asked in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "swarm", "title": "Swarmworks", "version": __version__},
    }


def _accepted(arguments: Object) -> str:
    """What an agent hands in is read where its session is watched; here it is told at once whether it can be."""
    try:
        document = HandoffDocument.model_validate_json(json.dumps(arguments), strict=True)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, row['loc'])) or 'arguments'}: {row['msg'].removeprefix('Value error, ')}"
            for row in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise _ToolRefusal(f"not handed in: {'; '.join(problems[:MOST_PROBLEMS])}") from error
    if document.outcome == "handed_off":
        raise _ToolRefusal("not handed in: outcome must be submitted, nothing_to_do or needs_answer")
    if not document.done.strip():
        raise _ToolRefusal("not handed in: done must say what was done")
    return HANDED_IN


def _line(arguments: Object, name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not value.strip():
        raise _ToolRefusal(f"{name} must be a text")
    return value.encode("utf-8", "replace").decode()


def _said(text: str, *, wrong: bool) -> Object:
    return {"content": [{"type": "text", "text": text}], "isError": wrong}


def _object(value: object) -> Object:
    return cast("Object", value) if isinstance(value, dict) else {}


def _parsed(body: bytes) -> Object:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise _RpcError(PARSE_ERROR, "not JSON") from None
    rpc = _object(message)
    if rpc.get("jsonrpc") != "2.0" or not isinstance(rpc.get("id"), str | int | None):
        raise _RpcError(INVALID_REQUEST, "one JSON-RPC 2.0 message is expected")
    return rpc


def _error(number: str | int | None, error: _RpcError, *, status: int = 200) -> Response:
    body: Object = {"jsonrpc": "2.0", "id": number, "error": {"code": error.code, "message": error.message}}
    return JSONResponse(body, status)


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError("no bearer token")
    return token.strip()


async def _body(request: Request) -> bytes:
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > MOST_BODY_BYTES:
            raise LimitReachedError(f"the body is larger than {MOST_BODY_BYTES} bytes")
    return bytes(read)
