"""Asking a provider how long an input is, before a call that would not fit its bound by bytes. Free, and bounded."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from swarmworks.base.errors import ProviderUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from swarmworks.base.ids import SessionId
    from swarmworks.provider.format import Demand, WireFormat
    from swarmworks.service.gateway.reading import Reading
    from swarmworks.service.gateway.record import GatewaySettings, Upstream
    from swarmworks.service.gateway.sessions import SessionBook
    from swarmworks.service.gateway.upstream import UpstreamClient

_log = logging.getLogger(__name__)
ANSWER_BYTES = 64_000


class InputCounter:
    def __init__(self, client: UpstreamClient, book: SessionBook, settings: GatewaySettings, reading: Reading) -> None:
        self._client = client
        self._book = book
        self._settings = settings
        self._reading = reading

    def asking(
        self,
        session_id: SessionId,
        upstream: Upstream,
        model: str,
        wire: WireFormat,
        read: Callable[[], Demand],
        size: int,
        headers: Mapping[str, str],
    ) -> Callable[[], Awaitable[int | None]] | None:
        """None where this format's requests cannot be counted; else what asks, and gives tokens, or None when that failed.
        Only then the request, of `size` bytes, is `read` again.
        """
        path = wire.count_path
        if path is None:
            return None

        async def ask() -> int | None:
            body = await self._reading.run(session_id, size, lambda: wire.to_count(read(), model=model))
            if body is None or not self._book.take_count(session_id, limit=self._settings.bound_counts_per_session):
                return None
            try:
                async with asyncio.timeout(self._settings.bound_count_s):
                    answer = await self._post(upstream, path.replace("{model}", model), headers, body)
            except (ProviderUnavailableError, TimeoutError) as error:
                _log.warning("%s did not count an input (%s): its bytes bound it", upstream.name, type(error).__name__)
                return None
            return wire.count_told(answer)

        return ask

    async def _post(self, upstream: Upstream, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        response = await self._client.post(upstream, path, headers, body)
        try:
            return await self._client.read(response, ANSWER_BYTES) if response.status == 200 else b""
        finally:
            response.close()
