"""The way to a provider: one HTTP client, its headers by allowlist, its failures in two classes.

Whether a request that failed may have been billed is all the ledger wants to know: `NotSentError` says it was not.
"""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp

from swarmworks.base.errors import ProviderUnavailableError
from swarmworks.service.gateway.patience import Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from swarmworks.service.gateway.record import GatewaySettings, Upstream

KEEPALIVE_S = 4.0  # shorter than common servers' five: a connection they just closed would cost a whole reservation
AT_ONCE_BYTES = 500_000  # larger bodies are written in pieces, so that other calls are served meanwhile
UNBILLED = frozenset({400, 401, 402, 403, 404, 405, 409, 413, 415, 422, 424, 429})
"""Statuses with which a provider refuses before it generates anything."""

_REQUEST_HEADERS = ("content-type", "accept", "anthropic-version", "anthropic-beta")
_ANSWER_HEADERS = frozenset(
    {"content-type", "request-id", "x-request-id", "retry-after", "retry-after-ms", "x-should-retry"}
)
_ANSWER_PREFIXES = ("anthropic-ratelimit-", "x-ratelimit-")
_KEY_HEADERS = {"anthropic": "x-api-key", "google": "x-goog-api-key"}
_HEADER_LENGTH = 2_000


class NotSentError(ProviderUnavailableError):
    """No connection was made, so nothing can have been billed."""

    code = "provider_not_reached"


class CutError(ProviderUnavailableError):
    """The connection ended, or fell silent, after the request went out."""

    code = "provider_cut"


class UpstreamClient:
    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    async def post(
        self, upstream: Upstream, path: str, headers: Mapping[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """The answer once its headers are here. NotSentError, CutError."""
        request = self._client().post(
            address(upstream, path),
            data=BytesIO(body) if len(body) > AT_ONCE_BYTES else body,
            headers=request_headers(upstream, headers),
            allow_redirects=False,
        )
        try:
            async with asyncio.timeout(upstream.first_byte_s or self._settings.first_byte_s):
                return await request
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise NotSentError(
                f"no connection to the provider ({type(error).__name__})",
                where=upstream.name,
                mend="check the provider's address and the network",
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise CutError(f"the provider did not answer ({type(error).__name__})", where=upstream.name) from error

    async def chunks(
        self, response: aiohttp.ClientResponse, limit_bytes: int, patience: Patience | None = None
    ) -> AsyncIterator[bytes]:
        """The body as it comes. CutError when it breaks off, falls silent or grows beyond the limit."""
        total, patience = 0, patience or Patience(self._settings.idle_s)
        try:
            while True:
                try:
                    with patience:
                        chunk = await response.content.readany()
                except (aiohttp.ClientError, OSError) as error:
                    raise CutError(f"the provider's answer broke off ({type(error).__name__})") from error
                if not chunk:
                    return
                total += len(chunk)
                if total > limit_bytes:
                    raise CutError(f"the provider's answer is longer than {limit_bytes} bytes")
                yield chunk
        finally:
            patience.close()

    async def read(self, response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
        whole = bytearray()
        async for chunk in self.chunks(response, limit_bytes):
            whole += chunk
        return bytes(whole)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def address(upstream: Upstream, path: str) -> str:
    """`path` without its version. An OpenAI base URL carries the version (or whatever its server has in its place)."""
    base = upstream.base_url.rstrip("/")
    if upstream.kind == "google":
        return f"{base.removesuffix('/v1beta')}/v1beta{path}"
    if upstream.kind == "openai":
        return f"{base}{path}" if urlsplit(base).path else f"{base}/v1{path}"
    return f"{base.removesuffix('/v1')}/v1{path}"


def request_headers(upstream: Upstream, given: Mapping[str, str]) -> dict[str, str]:
    """What a provider sees of the client's headers; `Accept-Encoding` so that the meter reads what is relayed."""
    headers = {name: given[name][:_HEADER_LENGTH] for name in _REQUEST_HEADERS if name in given}
    headers |= {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "swarmworks"}
    if upstream.kind in {"anthropic", "rehearsal"}:
        headers.setdefault("anthropic-version", "2023-06-01")
    if upstream.key is not None:
        if upstream.kind in _KEY_HEADERS:
            headers[_KEY_HEADERS[upstream.kind]] = upstream.key
        else:
            headers["authorization"] = f"Bearer {upstream.key}"
    return headers


def answer_headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    found = {name.lower(): value for name, value in response.headers.items()}
    return {
        name: value for name, value in found.items() if name in _ANSWER_HEADERS or name.startswith(_ANSWER_PREFIXES)
    }


def request_id(response: aiohttp.ClientResponse) -> str | None:
    """None too for one that a database would not take: a settlement must not fail for it."""
    found = response.headers.get("request-id") or response.headers.get("x-request-id")
    return found[:200] if found and found.isascii() and found.isprintable() else None
