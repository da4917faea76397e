"""A POST of JSON to an address, signed where a secret is named. One attempt; who sends repeats it later.

Redirects are not followed: they would carry the notice, and its signature, somewhere nobody chose.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from swarmworks.base.clock import Clock
from swarmworks.notify.protocol import Dispatch, Lack, NotToldError
from swarmworks.notify.wire_form import as_json

TIMEOUT_S = 10.0
SIGNATURE = "Swarm-Signature"
TIMESTAMP = "Swarm-Timestamp"
_PASSING = frozenset({408, 409, 421, 423, 425, 429})
"""Client errors that may be gone later; every other one is a refusal."""


class WebhookChannel:
    """`url` and `secret` None: what holds them is empty, and `source` says what that is."""

    def __init__(
        self,
        name: str,
        url: str | None,
        clock: Clock,
        *,
        secret: str | None = None,
        missing: Lack | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = name
        self._url = url
        self._clock = clock
        self._secret = secret
        self._missing = missing
        self._timeout_s = timeout_s

    @property
    def address(self) -> str:
        return f"webhook {place(self._url)}"

    def lacks(self) -> Lack | None:
        return self._missing or address_lack(self._url)

    async def send(self, dispatch: Dispatch) -> None:
        if (lack := self.lacks()) is not None:
            raise NotToldError(lack.what, where=self.name, mend=lack.mend, again=False)
        body = json.dumps(as_json(dispatch), ensure_ascii=False).encode()
        headers = {"Swarm-Notice-Id": dispatch.key}
        if self._secret is not None:
            stamp = str(int(self._clock.now().timestamp()))
            headers |= {TIMESTAMP: stamp, SIGNATURE: signature(self._secret, stamp, body)}
        assert self._url is not None
        await post(self._url, body, headers, timeout_s=self._timeout_s)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256, in hex, of the timestamp, a dot, and the body as it was sent."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"sha256={digest}"


def place(url: str | None) -> str:
    """The address without what may be a secret in it: neither path, query, user nor password."""
    if url is None:
        return "without an address"
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "with an address that is none"
    return f"{parts.scheme}://{parts.hostname or ''}{port}"


def address_lack(url: str | None) -> Lack | None:
    """For an address that comes from a variable or a file, which no schema has seen."""
    mend = "write an address such as https://host/path"
    if url is None:
        return Lack("there is no address", mend)
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return Lack("the address is not valid", mend)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        return Lack("the address is neither http:// nor https://", mend)
    return None


async def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> None:
    """NotToldError unless the answer is a success. No message holds more of the address than its host."""
    sent = {"Content-Type": "application/json", "User-Agent": "Swarmworks", **headers}
    timeout = httpx.Timeout(timeout_s)
    try:
        async with (
            asyncio.timeout(timeout_s),
            httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=timeout) as client,
            client.stream("POST", url, content=body, headers=sent) as answer,
        ):
            status = answer.status_code
    except (TimeoutError, httpx.TimeoutException) as error:
        raise NotToldError(f"no answer within {timeout_s:g} s", where=place(url)) from error
    except httpx.HTTPError as error:
        raise NotToldError(
            f"it cannot be reached: {type(error).__name__}", where=place(url), mend="check the address and the network"
        ) from None  # the cause's text may hold the whole address
    if status < 200 or 300 <= status < 400:
        raise NotToldError(
            f"it answered {status}, and redirects are not followed",
            where=place(url),
            mend="write the address it redirects to",
            again=False,
        )
    if status >= 400:
        again = status >= 500 or status in _PASSING
        raise NotToldError(f"it answered {status}", where=place(url), mend="check its address and key", again=again)
