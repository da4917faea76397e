"""What agents may ask of the platform, as an MCP server (Streamable HTTP, JSON-RPC 2.0). The tools are in `agent_tools`.

Reached only through the sandbox's listener, beside the gateway, and with the session's token: the token says which session
speaks, so no tool takes one. It keeps no state of its own; each POST is answered with one JSON object. A tool that cannot do
what it was asked answers in words the model can act on, never with what is inside the platform.
"""

from __future__ import annotations

import json
import logging
from typing import Any, cast
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from swarmworks import __version__
from swarmworks.api.agent_tools import AgentTools, ToolRefusal
from swarmworks.base.errors import (
    ForbiddenError,
    LimitReachedError,
    RejectedError,
    SwarmworksError,
    UnauthenticatedError,
)
from swarmworks.domain.session import Session
from swarmworks.service.conversing import Conversing

log = logging.getLogger(__name__)

PATH = "/mcp"
VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
"""The newest first: what a client of an unknown version is offered."""
MOST_BODY_BYTES = 1 << 20
PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

Object = dict[str, Any]


class _RpcError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class McpServer:
    """An ASGI application for PATH."""

    def __init__(self, conversing: Conversing, tools: AgentTools) -> None:
        self._conversing = conversing
        self._tools = tools

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._respond(Request(scope, receive))
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        try:
            _check_origin(request)
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
            return _json({"error": {"code": error.code, "message": error.what}}, error.http_status)
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
        return _json({"jsonrpc": "2.0", "id": number, "result": result})

    async def _call(self, session: Session, method: str, params: Object) -> Object:
        match method:
            case "initialize":
                return _initialized(params)
            case "ping":
                return {}
            case "tools/list":
                return {"tools": await self._tools.offered(session)}
            case "tools/call":
                return await self._tool(session, params)
            case _:
                raise _RpcError(NO_METHOD, f"there is no method {method[:80]!r} here")

    async def _tool(self, session: Session, params: Object) -> Object:
        name = params.get("name")
        if not isinstance(name, str) or not self._tools.knows(name):
            raise _RpcError(INVALID_PARAMS, f"there is no tool {str(name)[:80]!r}")
        try:
            answer = await self._tools.use(session, name, _object(params.get("arguments")))
        except ToolRefusal as refusal:
            return _said(str(refusal), wrong=True)
        said = _said(answer.text, wrong=False)
        return {**said, "structuredContent": dict(answer.structured)} if answer.structured else said


def _initialized(params: Object) -> Object:
    asked = params.get("protocolVersion")
    return {
        "protocolVersion": asked if asked in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "swarm", "title": "Swarmworks", "version": __version__},
    }


def _said(text: str, *, wrong: bool) -> Object:
    return {"content": [{"type": "text", "text": text}], "isError": wrong}


def _object(value: object) -> Object:
    return cast("Object", value) if isinstance(value, dict) else {}


def _parsed(body: bytes) -> Object:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise _RpcError(PARSE_ERROR, "not JSON") from None
    rpc, number = _object(message), _object(message).get("id")
    if rpc.get("jsonrpc") != "2.0" or isinstance(number, bool) or not isinstance(number, str | int | None):
        raise _RpcError(INVALID_REQUEST, "one JSON-RPC 2.0 message is expected")
    return rpc


def _error(number: str | int | None, error: _RpcError, *, status: int = 200) -> Response:
    body: Object = {"jsonrpc": "2.0", "id": number, "error": {"code": error.code, "message": error.message}}
    return _json(body, status)


def _json(body: Object, status: int = 200) -> Response:
    """In ASCII: what an agent sent comes back in it, and need not be text that can be encoded."""
    return Response(json.dumps(body), status, media_type="application/json")


def _check_origin(request: Request) -> None:
    """A page of a browser has no business here, whatever name it found the listener by (the transport's rule on DNS rebinding)."""
    origin = request.headers.get("origin")
    if origin is not None and _host(origin) not in _LOOPBACK:
        raise ForbiddenError(f"requests of the origin {origin[:200]!r} are not served")


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


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
