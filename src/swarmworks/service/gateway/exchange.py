"""One try of a call that was paid for: send it to an account, relay the answer, settle what it cost.

| event | settled at |
|---|---|
| terminal usage seen | its exact price |
| client gone, provider alive | read on, then exact |
| nothing sent, no connection, or refused before generation | zero |
| cut, error mid-stream, no end, limits of reading on, crash | the whole reservation, flagged estimated |

A try that brought nothing leaves the client untold: whoever began it may try elsewhere, or `tell`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.base.errors import ProviderUnavailableError
from swarmworks.domain.budget import Amount
from swarmworks.domain.provider import NEEDS_A_PERSON, Outage
from swarmworks.policy.bound import cost
from swarmworks.provider import rate_limits
from swarmworks.provider.format import Fault, mapping
from swarmworks.provider.sse import EventSplitter, data_of
from swarmworks.service.gateway.lanes import OF_THE_MODEL
from swarmworks.service.gateway.patience import Patience
from swarmworks.service.gateway.upstream import UNBILLED, NotSentError, answer_headers, request_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import aiohttp

    from swarmworks.base.clock import Clock
    from swarmworks.domain.budget import Reservation
    from swarmworks.policy.bound import Billed, Price
    from swarmworks.provider.format import StreamMeter, WireFormat
    from swarmworks.service.gateway.client import Client
    from swarmworks.service.gateway.lanes import Accounts, Turn
    from swarmworks.service.gateway.ledger import Ledger
    from swarmworks.service.gateway.record import GatewaySettings
    from swarmworks.service.gateway.upstream import UpstreamClient

_log = logging.getLogger(__name__)
REFUSAL_BYTES = 256_000
KEY_BYTES = 8  # no vendor's key is shorter


@dataclass(frozen=True, slots=True)
class Away:
    """The account could not answer, and the client knows nothing of it. `charged`: it may have cost the reservation."""

    outage: Outage
    charged: bool
    tell: Callable[[], Awaitable[None]]


class _OpeningError(Exception):
    """A stream whose first event is an error."""

    def __init__(self, event: bytes) -> None:
        super().__init__("the provider's first event is an error")
        self.event = event


@dataclass(slots=True)
class Letter:
    """A request as it is sent to `model`, for an answer of `output_cap` tokens at most. Empty once the client hears an answer: answers are long, and hundreds of them come
    at once; and nothing is tried again then.
    """

    model: str
    output_cap: int
    body: bytes


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
        turn: Turn,
        accounts: Accounts,
        upstreams: UpstreamClient,
        wire: WireFormat,
        ledger: Ledger,
        reservation: Reservation,
        price: Price | None,
        settings: GatewaySettings,
        clock: Clock,
        drains: Drains,
        on_billed: Callable[[Billed], None],
    ) -> None:
        self._client = client
        self._turn = turn
        self._accounts = accounts
        self._upstream = turn.lane.account.upstream
        self._upstreams = upstreams
        self._wire = wire
        self._ledger = ledger
        self._reservation = reservation
        self._price = price
        self._settings = settings
        self._clock = clock
        self._drains = drains
        self._on_billed = on_billed
        self._draining = False
        self._letter: Letter | None = None
        self._settlement: asyncio.Task[Reservation | None] | None = None
        self._provider_request_id: str | None = None
        self.billed: Billed | None = None
        self.first_byte_at: float | None = None
        self.away: Away | None = None
        self.failure: str | None = None
        self.held_up = False  # the provider's rate or load cut off an answer that had begun

    async def run(
        self, path: str, headers: Mapping[str, str], letter: Letter, *, strip_usage: bool, extra: Mapping[str, str]
    ) -> None:
        try:
            async with asyncio.timeout(self._settings.call_s) as deadline:
                self._client.when_gone(lambda: self._limit_drain(deadline))
                await self._talk(path, headers, letter, strip_usage=strip_usage, extra=extra)
        except TimeoutError:
            await self._lost("the call took longer than allowed", final=True)
        finally:
            self._client.when_gone(None)
            if self._draining:
                self._drains.give_back()
            try:
                await self._settle(None)
            finally:
                if self.failure is None and self.first_byte_at is not None:
                    self._accounts.answered(self._turn, self._tokens())
                self._accounts.withdrawn(self._turn, sent=True)  # whatever was not reported by now

    async def tell(self) -> None:
        """The client is told of a try that brought nothing."""
        if self.away is not None:
            await self.away.tell()

    async def settled(self) -> Reservation | None:
        return await asyncio.shield(self._settlement) if self._settlement else None

    def _limit_drain(self, deadline: asyncio.Timeout) -> None:
        """The client left. Reading on keeps the meter exact, within bounds."""
        self._draining = True
        now = asyncio.get_running_loop().time()
        wait_s = self._settings.drain_s if self._drains.take() else 0.0
        if not deadline.expired():
            deadline.reschedule(min(deadline.when() or now, now + wait_s))

    async def _talk(
        self, path: str, headers: Mapping[str, str], letter: Letter, *, strip_usage: bool, extra: Mapping[str, str]
    ) -> None:
        if self._client.gone:
            await self._settle(Amount())
            self._accounts.withdrawn(self._turn, sent=False)
            return
        self._letter = letter
        try:
            response = await self._upstreams.post(self._upstream, path, headers, letter.body)
        except NotSentError as error:
            await self._settle(Amount())
            self._turned_away(Outage.FAILING, lambda what=error.what: self._unavailable(what), sent=False)
            return
        except ProviderUnavailableError as error:
            await self._lost(error.what)
            return
        try:
            self.first_byte_at = self._clock.monotonic()
            self._provider_request_id = request_id(response)
            self._hear(response)
            await self._relay(response, strip_usage=strip_usage, extra=extra)
        except ProviderUnavailableError as error:
            await self._lost(error.what)
        finally:
            response.close()

    async def _relay(self, response: aiohttp.ClientResponse, *, strip_usage: bool, extra: Mapping[str, str]) -> None:
        if not 200 <= response.status < 300:
            await self._refused(response)
        elif response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            await self._relay_stream(response, {**answer_headers(response), **extra}, strip_usage=strip_usage)
        else:
            self._accounts.alive(self._turn)
            answer = await self._upstreams.read(response, self._settings.answer_bytes)
            self._forget()
            await self._settle_by(self._wire.billed(answer))
            if self.billed is None and not _is_object(answer):
                await self._unavailable("the provider's answer is not JSON")
            else:
                await self._client.answer(
                    response.status, {**answer_headers(response), **extra}, self._without_key(answer)
                )
        response.release()

    def _forget(self) -> None:
        if self._letter is not None:
            self._letter.body = b""

    def _hear(self, response: aiohttp.ClientResponse) -> None:
        told = rate_limits.told(self._upstream.kind, response.headers, self._clock.now)
        if told:
            self._turn.lane.hear(self._turn, told, self._clock.monotonic())

    async def _relay_stream(
        self, response: aiohttp.ClientResponse, headers: Mapping[str, str], *, strip_usage: bool
    ) -> None:
        """Whole events only, so that a stream that is cut can still end with a readable error. The event that says the
        stream is over, and what a provider sends behind it, is passed on after the settlement: that counts in it, and who
        has read the end may call again at once.
        """
        splitter, meter = EventSplitter(self._settings.answer_bytes), self._wire.meter()
        end = bytearray()
        try:
            await self._relay_events(response, headers, splitter, meter, end, strip_usage=strip_usage)
        except _OpeningError as error:
            await self._settle(None)
            await self._opened_with(headers, error.event)
            return
        finally:
            # Final usage that was seen is believed even if the stream broke off behind it.
            if self._settlement is None:
                await self._settle_by(meter.billed())
        if meter.error:
            self._broke_off(meter.error)
        if self._client.status is None:
            await self._client.start(response.status, headers)
        await self._client.push(bytes(end) + self._without_key(splitter.rest()), last=True)

    async def _relay_events(
        self,
        response: aiohttp.ClientResponse,
        headers: Mapping[str, str],
        splitter: EventSplitter,
        meter: StreamMeter,
        end: bytearray,
        *,
        strip_usage: bool,
    ) -> None:
        """The answer begins with its first event: until then nothing has reached the client, and another may be asked. What
        comes once the provider said that this was the end is put into `end`; it is not waited for for long.
        """
        ready, patience = bytearray(), Patience(self._settings.idle_s)
        try:
            async for chunk in self._upstreams.chunks(response, self._settings.stream_bytes, patience):
                for event in splitter.feed(chunk):
                    hidden = meter.feed(event) and strip_usage
                    if self._client.status is None and not ready and _is_error(event):
                        raise _OpeningError(event)
                    if not hidden:
                        (end if meter.finished else ready).extend(self._without_key(event))
                if meter.finished:
                    patience.end_in(self._settings.after_end_s)
                if ready:
                    await self._pass_on(response, headers, ready)
        except ProviderUnavailableError:
            if not (meter.finished or meter.error):
                raise
        meter.feed(splitter.rest())
        if not (meter.ended or meter.error):
            raise ProviderUnavailableError("the provider ended its answer in the middle", where="stream")

    def _broke_off(self, error: bytes) -> None:
        """The client has read of it already, and what was generated may be billed; the account failed all the same, unless it was
        for the request's own sake.
        """
        status, found = rate_limits.failed_stream(self._upstream.kind, error)
        if found is None:
            self.failure = f"provider_{status}"
            self._accounts.answered(self._turn, self._tokens())
            return
        self.failure, self.held_up = "cut", found.outage in OF_THE_MODEL
        wait_s = None if found.outage in NEEDS_A_PERSON else rate_limits.retry_after_s({}, error, self._clock.now())
        self._accounts.failed(self._turn, found.outage, wait_s, self._tokens())

    async def _opened_with(self, headers: Mapping[str, str], event: bytes) -> None:
        status, found = rate_limits.failed_stream(self._upstream.kind, data_of(event))
        if found is None:
            self._accounts.answered(self._turn, None)
            await self._tell_stream(headers, event, f"provider_{status}")
            return
        self._turned_away(found.outage, lambda: self._tell_stream(headers, event, "cut"), charged=True)

    async def _pass_on(self, response: aiohttp.ClientResponse, headers: Mapping[str, str], ready: bytearray) -> None:
        if self._client.status is None:
            self._accounts.alive(self._turn)
            self._forget()
            await self._client.start(response.status, headers)
        await self._client.push(bytes(ready))
        ready.clear()

    async def _tell_stream(self, headers: Mapping[str, str], event: bytes, failure: str) -> None:
        self.failure = failure
        await self._client.start(200, headers)
        await self._client.push(self._without_key(event), last=True)

    async def _refused(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status in UNBILLED:
            await self._settle(Amount())
        try:
            body = await self._upstreams.read(response, REFUSAL_BYTES)
        except ProviderUnavailableError:
            body = b""
        headers = answer_headers(response)
        found = rate_limits.refusal(self._upstream.kind, status, headers, body)
        await self._settle(Amount() if found is not None and found.unbilled else None)
        if found is None:
            self._accounts.answered(self._turn, 0)
            await self._relay_refusal(status, headers, body)
            return
        wait_s = rate_limits.retry_after_s(headers, body, self._clock.now())
        if found.outage in NEEDS_A_PERSON:
            wait_s = None
            _log.error("provider %s refused the platform's key or credit (%d)", self._turn.lane.account.name, status)
        self._turned_away(
            found.outage,
            lambda: self._relay_refusal(status, headers, body, found.outage),
            wait_s=wait_s,
            charged=not found.unbilled,
        )

    def _turned_away(
        self,
        outage: Outage,
        tell: Callable[[], Awaitable[None]],
        *,
        wait_s: float | None = None,
        charged: bool = False,
        sent: bool = True,
    ) -> None:
        self.away = Away(outage, charged, tell)
        self._accounts.failed(self._turn, outage, wait_s, None if charged else 0, sent=sent)

    async def _relay_refusal(
        self, status: int, headers: Mapping[str, str], body: bytes, outage: Outage | None = None
    ) -> None:
        self.failure = f"provider_{status}"
        if outage in NEEDS_A_PERSON:
            self.failure = f"provider_{status if status in (401, 403) else 403}"
            what = (
                "refused the platform's credentials"
                if outage is Outage.KEY_REFUSED
                else "says its account has no credit"
            )
            message = f"the provider {what}: a person must look"
            await self._fault(Fault.FORBIDDEN, message, "provider_credentials", {"x-should-retry": "false"})
        elif not 400 <= status < 600:
            what = "a redirect" if status < 400 else "a status that HTTP does not have"
            await self._unavailable(f"the provider answered with {what} ({status})")
        else:
            await self._client.answer(status, self._refusal_headers(status, headers), self._refusal_body(status, body))

    def _refusal_headers(self, status: int, headers: Mapping[str, str]) -> dict[str, str]:
        told = {**headers, "content-type": "application/json"}
        if status == 429 or status >= 500:
            told.setdefault("retry-after", str(self._settings.retry_after_s))
        return told

    def _refusal_body(self, status: int, body: bytes) -> bytes:
        """The provider's own words when they are JSON, without our key should they hold it."""
        if not _is_object(body):
            return self._wire.error(Fault.UNAVAILABLE, f"the provider answered {status}", f"provider_{status}")[1]
        return self._without_key(body, least=1)

    def _without_key(self, said: bytes, *, least: int = KEY_BYTES) -> bytes:
        """A provider's own words, should they repeat the key it was shown. A word as short as those that people give to
        servers that want none is no secret, and stands in many an answer; in a refusal it is taken out all the same.
        """
        key = (self._upstream.key or "").encode()
        return said.replace(key, b"[key]") if len(key) >= least and key in said else said

    async def _lost(self, what: str, *, final: bool = False) -> None:
        """Charged in full. Said in whatever way is still open, or left to be told when another try may follow."""
        await self._settle(None)
        if self._client.status is None and not final:
            self._turned_away(Outage.FAILING, lambda: self._unavailable(what), charged=True)
            return
        if not self._client.gone:
            self._accounts.failed(self._turn, Outage.FAILING, None, None)
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
        """A request has tokens: a provider that counts none did not count."""
        billed = billed if billed and billed.usage.input_tokens else None
        self.billed = billed
        if billed:
            self._on_billed(billed)
        amount = cost(self._price, billed) if billed else None
        reserved = self._reservation.reserved
        if amount and (amount.nano_usd > reserved.nano_usd or amount.tokens > reserved.tokens):
            _log.error(
                "%s cost more than was reserved: the bound is wrong for %s",
                self._reservation.id,
                self._reservation.model,
            )
        await self._settle(amount)

    def _tokens(self) -> int | None:
        usage = self.billed.usage if self.billed else None
        return usage.input_tokens + usage.output_tokens if usage else None

    async def _settle(self, amount: Amount | None) -> None:
        """Once: whoever comes second waits for the first. Runs on when the call is cancelled."""
        if self._settlement is None:
            self._settlement = asyncio.create_task(
                self._ledger.settle(self._reservation, amount, self.billed, self._provider_request_id)
            )
        await asyncio.shield(self._settlement)


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _is_error(event: bytes) -> bool:
    if b"error" not in event:
        return False
    try:
        answer = mapping(json.loads(data_of(event)))
    except (ValueError, RecursionError):
        return False
    return answer.get("type") == "error" or bool(answer.get("error"))
