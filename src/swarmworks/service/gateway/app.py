"""The model gateway: a plain ASGI application between the agents and the providers.

It holds the only provider keys, replaces the model by the session's, reserves the worst case before a byte goes upstream
and settles what the provider says. Mounted beside the API, never inside it; authorised on `scope["path"]` as it came.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from swarmworks.base.errors import (
    NotFoundError,
    RejectedError,
    SwarmworksError,
    UnauthenticatedError,
    UnavailableError,
    UnpricedError,
)
from swarmworks.domain.session import Session, SessionLimits
from swarmworks.policy.bound import FREE, worst_case
from swarmworks.provider import jsonbody
from swarmworks.provider.anthropic import Messages
from swarmworks.provider.openai import ChatCompletions
from swarmworks.service.gateway import faults
from swarmworks.service.gateway.client import Client
from swarmworks.service.gateway.exchange import Drains, Exchange
from swarmworks.service.gateway.ledger import Ledger
from swarmworks.service.gateway.queue import FairQueue
from swarmworks.service.gateway.record import CallRecord
from swarmworks.service.gateway.sessions import SessionBook
from swarmworks.service.gateway.upstream import UpstreamClient, answer_headers
from swarmworks.service.gateway.wire import ClientGoneError, headers_of, read_body, respond

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from swarmworks.base.clock import Clock
    from swarmworks.base.ids import IdSource, SessionId
    from swarmworks.domain.budget import Amount, Reservation
    from swarmworks.policy.bound import Price
    from swarmworks.provider.format import Demand, WireFormat
    from swarmworks.provider.prices import PriceTable
    from swarmworks.service.gateway.ledger import Caller
    from swarmworks.service.gateway.record import GatewaySettings, Upstream
    from swarmworks.service.gateway.wire import Receive, Scope, Send
    from swarmworks.store.protocol import Store

OPENAI = ChatCompletions()
ANTHROPIC = Messages()
CALLS: Mapping[str, tuple[WireFormat, str]] = {
    "/v1/chat/completions": (OPENAI, "/chat/completions"),
    "/v1/messages": (ANTHROPIC, "/messages"),
}
COUNT = "/v1/messages/count_tokens"
MODELS = "/v1/models"
CAP_HEADER = "x-swarmworks-output-cap"


@dataclass(frozen=True, slots=True)
class Target:
    upstream: Upstream
    model: str
    price: Price | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that may be sent, once `amount` is reserved."""

    target: Target
    demand: Demand
    output_cap: int
    amount: Amount


class Gateway:
    """`limits` looks up a session's limits; it is called inside a snapshot of the store and must be quick."""

    def __init__(
        self,
        store: Store,
        upstreams: Mapping[str, Upstream],
        prices: PriceTable,
        clock: Clock,
        ids: IdSource,
        settings: GatewaySettings,
        observer: Callable[[CallRecord], None] | None = None,
        limits: Callable[[Session], SessionLimits] = lambda _session: SessionLimits(),
    ) -> None:
        self._upstreams = dict(upstreams)
        self._prices = prices
        self._clock = clock
        self._settings = settings
        self._observer = observer
        self._ledger = Ledger(store, ids, limits)
        self._book = SessionBook(clock)
        self._queue = FairQueue(
            clock, wait_s=settings.queue_s, poll_s=settings.queue_poll_s, length=settings.queue_length
        )
        self._client = UpstreamClient(settings)
        self._drains = Drains(settings.drains)
        self._under_way: set[asyncio.Task[object]] = set()
        self._closing = False

    async def last_call_at(self, session_id: SessionId) -> datetime | None:
        """When the session last began or ended a call; None when this process has seen none."""
        return self._book.last_at(session_id)

    async def close(self) -> None:
        """Calls under way get `close_s` to end; those still there are cut and charged in full."""
        self._closing = True
        if self._under_way:
            _done, late = await asyncio.wait(self._under_way, timeout=self._settings.close_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._client.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"the gateway serves http, not {scope['type']}")
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            await self._route(scope, receive, send)
        except ClientGoneError:
            return
        finally:
            self._under_way.discard(task)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        wire = CALLS[path][0] if path in CALLS else ANTHROPIC if path == COUNT else OPENAI
        try:
            headers = headers_of(scope)
            if path == MODELS and "anthropic-version" in headers:
                wire = ANTHROPIC
            if self._closing:
                raise UnavailableError("the gateway is shutting down", mend="try again")
            caller = await self._ledger.caller(_token(headers))
            if not self._book.knows(caller.session.id):
                self._book.open(caller.session.id, await self._ledger.settled_calls(caller))
            if method == "POST" and path in CALLS:
                await self._call(caller, headers, receive, send, path)
            elif method == "POST" and path == COUNT:
                await self._count(caller, headers, receive, send)
            elif method == "GET" and path == MODELS:
                body = wire.models(self._target(caller, None).model)
                await respond(send, 200, body, {"content-type": "application/json"})
            else:
                raise NotFoundError(f"there is no {method} {path[:200]} here", mend=f"use one of {', '.join(CALLS)}")
        except SwarmworksError as error:
            await self._refuse(send, wire, error)

    async def _refuse(self, send: Send, wire: WireFormat, error: SwarmworksError) -> None:
        found = faults.verdict(error)
        status, body = wire.error(found.fault, str(error), error.code)
        await respond(send, status, body, faults.headers(found.fault, self._settings.retry_after_s))

    def _target(self, caller: Caller, wire: WireFormat | None) -> Target:
        """The model is the platform's choice: whatever name the client sent does not count."""
        provider, _, model = caller.session.model.partition(":")
        upstream = self._upstreams.get(provider)
        if upstream is None or not model:
            raise RejectedError(
                f"the session's model {caller.session.model!r} names no provider that is configured",
                where=str(caller.session.id),
                mend=f'write it as provider:model and add [providers."{provider}"] to swarm.toml',
            )
        if wire is not None and upstream.kind != "rehearsal" and wire.name.partition(".")[0] != upstream.kind:
            raise RejectedError(
                f"this session's provider {provider} speaks another format than {wire.name}",
                where=str(caller.session.id),
                mend=f"use an agent that speaks {upstream.kind}, or choose another model",
            )
        price = self._prices.find(provider, model, upstream.base_url)
        if price is None and upstream.kind == "rehearsal":
            price = FREE
        return Target(upstream, model, price)

    async def _plan(self, caller: Caller, wire: WireFormat, headers: Mapping[str, str], raw: bytes) -> Plan:
        target = self._target(caller, wire)
        if target.price is None and await self._ledger.money_is_bounded(caller):
            raise UnpricedError(
                f"{target.model} at {target.upstream.name} has no price, and the budget is in money",
                where=caller.session.model,
                mend=f'add [prices."{target.model}"] with input_usd_per_mtok and output_usd_per_mtok to swarm.toml',
            )
        demand = wire.read(raw, headers=headers, allowed_fields=self._settings.allowed_fields)
        cap = caller.limits.output_tokens_per_call
        if demand.asked_output is not None:
            cap = min(cap, demand.asked_output)
        return Plan(target, demand, cap, worst_case(replace(demand.shape, output_cap=cap), target.price))

    async def _call(self, caller: Caller, headers: Mapping[str, str], receive: Receive, send: Send, path: str) -> None:
        wire, upstream_path = CALLS[path]
        began = self._clock.monotonic()
        try:
            raw = await self._body(receive, headers)
            plan = await self._plan(caller, wire, headers, raw)
        except SwarmworksError as error:
            self._record_refusal(caller, wire, began, error)
            raise
        client = Client(receive, send, self._settings.client_idle_s)
        client.watch()
        try:
            reservation = await self._reserve(caller, wire, began, plan, client)
            await self._exchange(caller, wire, began, plan, client, reservation, headers, upstream_path)
        finally:
            await client.close()

    async def _reserve(self, caller: Caller, wire: WireFormat, began: float, plan: Plan, client: Client) -> Reservation:
        session = caller.session
        try:
            self._book.begin_call(session.id, limit=caller.limits.calls)
            try:
                return await self._queue.admit(
                    caller.accounts,
                    lambda: self._ledger.reserve(caller, session.model, plan.amount),
                    left=lambda: client.gone,
                )
            except (SwarmworksError, ClientGoneError):
                self._book.withdraw_call(session.id)
                raise
        except SwarmworksError as error:
            self._record_refusal(caller, wire, began, error)
            raise

    async def _exchange(
        self,
        caller: Caller,
        wire: WireFormat,
        began: float,
        plan: Plan,
        client: Client,
        reservation: Reservation,
        headers: Mapping[str, str],
        upstream_path: str,
    ) -> None:
        demand, target = plan.demand, plan.target
        exchange = Exchange(
            client=client,
            upstream=target.upstream,
            upstreams=self._client,
            wire=wire,
            ledger=self._ledger,
            reservation=reservation,
            price=target.price,
            settings=self._settings,
            clock=self._clock,
            drains=self._drains,
        )
        clamped = demand.asked_output is None or demand.asked_output > plan.output_cap
        body = wire.rewrite(demand, model=target.model, output_cap=plan.output_cap)
        try:
            await exchange.run(
                upstream_path,
                headers,
                body,
                strip_usage=demand.stream and not demand.wants_usage,
                extra={CAP_HEADER: str(plan.output_cap)} if clamped else {},
            )
        finally:
            self._queue.money_came_free()
            self._book.touch(caller.session.id)
            self._observe(self._record(caller, wire, began, reservation, await exchange.settled(), exchange, client))

    def _record(
        self,
        caller: Caller,
        wire: WireFormat,
        began: float,
        reservation: Reservation,
        settled: Reservation | None,
        exchange: Exchange,
        client: Client,
    ) -> CallRecord:
        first = exchange.first_byte_at
        return CallRecord(
            session_id=caller.session.id,
            task_id=caller.session.task_id,
            model=caller.session.model,
            wire_format=wire.name,
            status=client.status or 0,
            reserved=reservation.reserved,
            settled=settled.settled if settled else None,
            usage=exchange.billed.usage if exchange.billed else None,
            estimated=settled.estimated if settled else True,
            duration_s=self._clock.monotonic() - began,
            first_byte_s=None if first is None else first - began,
            refusal=exchange.failure,
            stop=exchange.failure in ("provider_401", "provider_403"),
        )

    def _record_refusal(self, caller: Caller, wire: WireFormat, began: float, error: SwarmworksError) -> None:
        found = faults.verdict(error)
        status, _body = wire.error(found.fault, "", error.code)
        self._book.touch(caller.session.id)
        self._observe(
            CallRecord(
                session_id=caller.session.id,
                task_id=caller.session.task_id,
                model=caller.session.model,
                wire_format=wire.name,
                status=status,
                reserved=None,
                settled=None,
                usage=None,
                estimated=False,
                duration_s=self._clock.monotonic() - began,
                first_byte_s=None,
                refusal=found.reason,
                stop=found.stop,
            )
        )

    def _observe(self, record: CallRecord) -> None:
        if self._observer is not None:
            self._observer(record)

    async def _body(self, receive: Receive, headers: Mapping[str, str]) -> bytes:
        return await read_body(receive, headers, self._settings.body_bytes, self._settings.client_idle_s)

    async def _count(self, caller: Caller, headers: Mapping[str, str], receive: Receive, send: Send) -> None:
        """Counting tokens is free at the provider, so nothing is reserved; how often is bounded."""
        limit = self._settings.counts_per_session
        self._book.begin_count(caller.session.id, limit=limit)
        body = jsonbody.parse(await self._body(receive, headers))
        target = self._target(caller, ANTHROPIC)
        changed = body.spliced({"model": target.model})
        response = await self._client.post(target.upstream, "/messages/count_tokens", headers, changed)
        try:
            answer = await self._client.read(response, self._settings.body_bytes)
        finally:
            response.close()
        if response.status == 404:
            raise NotFoundError("the provider of this session does not count tokens", where=target.upstream.name)
        if response.status != 200:
            raise UnavailableError(f"the provider does not count tokens now ({response.status})")
        await respond(send, 200, answer, answer_headers(response))


def _token(headers: Mapping[str, str]) -> str:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    found = {token.strip() for token in (bearer if scheme.lower() == "bearer" else "", headers.get("x-api-key", ""))}
    found.discard("")
    if len(found) != 1:
        raise UnauthenticatedError(
            "no token, or two different ones", mend="send the session's token as Authorization: Bearer or x-api-key"
        )
    return found.pop()
