"""What stands before the API: nobody without a token gets a byte of a body read, and no body is larger than it may be."""

from __future__ import annotations

import hmac

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swarmworks.base.errors import LimitReachedError, SwarmworksError, UnauthenticatedError
from swarmworks.wire.api import ErrorBody

MOST_BODY_BYTES = 32 << 20
OPEN_PATHS = frozenset({"/health"})


def same(one: str, other: str) -> bool:
    """In constant time, for any text whatever."""
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape"))


class Guard:
    """`tokens` are the valid ones; which of them may do what is for the routes to say."""

    def __init__(self, app: ASGIApp, tokens: tuple[str, ...]) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(headers)
        if refusal is not None:
            await _answer(refusal, scope, receive, send)
            return
        await self._app(scope, _Bounded(receive), send)

    def _refusal(self, headers: dict[bytes, str]) -> SwarmworksError | None:
        scheme, _, token = headers.get(b"authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return UnauthenticatedError("no bearer token", mend="send Authorization: Bearer <token>")
        if not any(same(token, valid) for valid in self._tokens):
            return UnauthenticatedError("this token is not valid")
        length = headers.get(b"content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BODY_BYTES:
            return _too_large()
        return None


class _Bounded:
    """A body without a stated length is counted while it comes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._bytes = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes > MOST_BODY_BYTES:
            raise _too_large()
        return message


def _too_large() -> LimitReachedError:
    return LimitReachedError(f"the body is larger than {MOST_BODY_BYTES} bytes", mend="send less at once")


async def _answer(error: SwarmworksError, scope: Scope, receive: Receive, send: Send) -> None:
    body = ErrorBody(code=error.code, what=error.what, where=error.where, mend=error.mend)
    await JSONResponse(body.model_dump(), status_code=error.http_status)(scope, receive, send)
