"""One call that was paid for: send it, relay the answer, settle what it cost.

| event | settled at |
|---|---|
| terminal usage seen | its exact price |
| client gone, provider alive | read on, then exact |
| nothing sent, no connection, or refused before generation | zero |
| cut, error mid-stream, limits of reading on, crash | the whole reservation, flagged estimated |
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

from swarmworks.base.errors import ProviderUnavailableError
from swarmworks.domain.budget import Amount
from swarmworks.policy.bound import cost
from swarmworks.provider.format import Fault
from swarmworks.provider.sse import EventSplitter
from swarmworks.service.gateway.upstream import UNBILLED, NotSentError, answer_headers, request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

    from swarmworks.base.clock import Clock
    from swarmworks.domain.budget import Reservation
    from swarmworks.policy.bound import Billed, Price
    from swarmworks.provider.format import StreamMeter, WireFormat
    from swarmworks.service.gateway.client import Client
    from swarmworks.service.gateway.ledger import Ledger
    from swarmworks.service.gateway.record import GatewaySettings, Upstream
    from swarmworks.service.gateway.upstream import UpstreamClient

_log = logging.getLogger(__name__)
REFUSAL_BYTES = 256_000


class Drains:
    """How many answers are being read on for clients that left."""

    def __init__(self, most: int) -> None:
        self._free = most

    def take(self) -> bool:
        self._free -= 1
        return self._free >= 0

    def give_back(self) -> None:
        self._free += 1


class Exchange:
    """`run` returns when the answer is over and the reservation settled."""

    def __init__(
        self,
        *,
        client: Client,
        upstream: Upstream,
        upstreams: UpstreamClient,
        wire: WireFormat,
        ledger: Ledger,
        reservation: Reservation,
        price: Price | None,
        settings: GatewaySettings,
        clock: Clock,
        drains: Drains,
    ) -> None:
        self._client = client
        self._upstream = upstream
        self._upstreams = upstreams
        self._wire = wire
        self._ledger = ledger
        self._reservation = reservation
        self._price = price
        self._settings = settings
        self._clock = clock
        self._drains = drains
        self._draining = False
        self._settlement: asyncio.Task[Reservation | None] | None = None
        self._provider_request_id: str | None = None
        self.billed: Billed | None = None
        self.first_byte_at: float | None = None
        self.failure: str | None = None

    async def run(
        self, path: str, headers: Mapping[str, str], body: bytes, *, strip_usage: bool, extra: Mapping[str, str]
    ) -> None:
        try:
            async with asyncio.timeout(self._settings.call_s) as deadline:
                self._client.when_gone(lambda: self._limit_drain(deadline))
                await self._talk(path, headers, body, strip_usage=strip_usage, extra=extra)
        except TimeoutError:
            await self._lost("the call took longer than allowed")
        finally:
            self._client.when_gone(None)
            if self._draining:
                self._drains.give_back()
            await self._settle(None)

    async def settled(self) -> Reservation | None:
        return await self._settlement if self._settlement else None

    def _limit_drain(self, deadline: asyncio.Timeout) -> None:
        """The client left. Reading on keeps the meter exact, within bounds."""
        self._draining = True
        now = asyncio.get_running_loop().time()
        wait_s = self._settings.drain_s if self._drains.take() else 0.0
        if not deadline.expired():
            deadline.reschedule(min(deadline.when() or now, now + wait_s))

    async def _talk(
        self, path: str, headers: Mapping[str, str], body: bytes, *, strip_usage: bool, extra: Mapping[str, str]
    ) -> None:
        if self._client.gone:
            await self._settle(Amount())
            return
        try:
            response = await self._upstreams.post(self._upstream, path, headers, body)
        except NotSentError as error:
            await self._settle(Amount())
            await self._unavailable(error.what)
            return
        except ProviderUnavailableError as error:
            await self._lost(error.what)
            return
        try:
            self.first_byte_at = self._clock.monotonic()
            self._provider_request_id = request_id(response)
            await self._relay(response, strip_usage=strip_usage, extra=extra)
        except ProviderUnavailableError as error:
            await self._lost(error.what)
        finally:
            response.close()

    async def _relay(self, response: aiohttp.ClientResponse, *, strip_usage: bool, extra: Mapping[str, str]) -> None:
        if not 200 <= response.status < 300:
            await self._relay_refusal(response)
        elif response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            await self._client.start(response.status, {**answer_headers(response), **extra})
            await self._relay_stream(response, strip_usage=strip_usage)
        else:
            answer = await self._upstreams.read(response, self._settings.answer_bytes)
            await self._settle_by(self._wire.billed(answer))
            await self._client.answer(response.status, {**answer_headers(response), **extra}, answer)
        response.release()

    async def _relay_stream(self, response: aiohttp.ClientResponse, *, strip_usage: bool) -> None:
        """Whole events only, so that a stream that is cut can still end with a readable error. The event that says the
        stream is over is passed on after the settlement: who has read it may call again at once.
        """
        splitter, meter = EventSplitter(self._settings.answer_bytes), self._wire.meter()
        try:
            await self._relay_events(response, splitter, meter, strip_usage=strip_usage)
        finally:
            # Final usage that was seen is believed even if the stream broke off behind it.
            if self._settlement is None:
                await self._settle_by(meter.billed())
        await self._client.push(splitter.rest(), last=True)

    async def _relay_events(
        self, response: aiohttp.ClientResponse, splitter: EventSplitter, meter: StreamMeter, *, strip_usage: bool
    ) -> None:
        ready = bytearray()
        async for chunk in self._upstreams.chunks(response, self._settings.stream_bytes):
            for event in splitter.feed(chunk):
                hidden = meter.feed(event) and strip_usage
                if meter.finished and self._settlement is None:
                    await self._settle_by(meter.billed())
                if not hidden:
                    ready += event
            if ready:
                await self._client.push(bytes(ready))
                ready.clear()
        meter.feed(splitter.rest())

    async def _relay_refusal(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status in UNBILLED:
            await self._settle(Amount())
        try:
            body = await self._upstreams.read(response, REFUSAL_BYTES)
        except ProviderUnavailableError:
            body = b""
        await self._settle(None)
        self.failure = f"provider_{status}"
        if status in (401, 403):
            _log.error("provider %s refused the platform's credentials (%d)", self._upstream.name, status)
            message = "the provider refused the platform's credentials: a person must look"
            await self._fault(Fault.FORBIDDEN, message, "provider_credentials", {"x-should-retry": "false"})
        elif status < 400:
            await self._unavailable(f"the provider answered with a redirect ({status})")
        else:
            await self._client.answer(status, self._refusal_headers(response), self._refusal_body(status, body))

    def _refusal_headers(self, response: aiohttp.ClientResponse) -> dict[str, str]:
        headers = {**answer_headers(response), "content-type": "application/json"}
        if response.status == 429 or response.status >= 500:
            headers.setdefault("retry-after", str(self._settings.retry_after_s))
        return headers

    def _refusal_body(self, status: int, body: bytes) -> bytes:
        """The provider's own words when they are JSON, without our key should they hold it."""
        key = (self._upstream.key or "").encode()
        try:
            readable = isinstance(json.loads(body), dict)
        except (ValueError, RecursionError):
            readable = False
        if not readable:
            return self._wire.error(Fault.UNAVAILABLE, f"the provider answered {status}", f"provider_{status}")[1]
        return body.replace(key, b"[key]") if key else body

    async def _lost(self, what: str) -> None:
        """Charged in full, and said so in whatever way is still open."""
        await self._settle(None)
        if self._client.status is None:
            await self._unavailable(what)
            return
        self.failure = "cut"
        await self._client.push(self._wire.error_event(what), last=True)

    async def _unavailable(self, what: str) -> None:
        self.failure = self.failure or "unavailable"
        headers = {"retry-after": str(self._settings.retry_after_s)}
        await self._fault(Fault.UNAVAILABLE, what, "provider_unavailable", headers)

    async def _fault(self, fault: Fault, message: str, code: str, headers: Mapping[str, str]) -> None:
        status, body = self._wire.error(fault, message, code)
        await self._client.answer(status, {"content-type": "application/json", **headers}, body)

    async def _settle_by(self, billed: Billed | None) -> None:
        self.billed = billed
        amount = cost(self._price, billed) if billed else None
        reserved = self._reservation.reserved
        if amount and (amount.nano_usd > reserved.nano_usd or amount.tokens > reserved.tokens):
            _log.error(
                "%s cost more than was reserved: the bound is wrong for %s",
                self._reservation.id,
                self._reservation.model,
            )
        await self._settle(amount)

    async def _settle(self, amount: Amount | None) -> None:
        """Once: whoever comes second waits for the first. Runs on when the call is cancelled."""
        if self._settlement is None:
            self._settlement = asyncio.create_task(
                self._ledger.settle(self._reservation, amount, self.billed, self._provider_request_id)
            )
        await asyncio.shield(self._settlement)
