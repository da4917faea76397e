"""The model gateway: a plain ASGI application between the agents and the providers.

It holds the only provider keys, replaces the model by the session's, reserves the worst case before a byte goes upstream
and settles what the provider says. Mounted beside the API, never inside it; authorised on `scope["path"]` as it came.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from swarmworks.base.errors import (
    NotFoundError,
    RejectedError,
    SwarmworksError,
    UnauthenticatedError,
    UnavailableError,
    UnpricedError,
)
from swarmworks.domain.budget import Amount
from swarmworks.domain.session import Session, SessionLimits
from swarmworks.policy.circuit import Ended
from swarmworks.provider.limits import LimitTable
from swarmworks.service.gateway import faults, routes
from swarmworks.service.gateway.announcing import Announcing
from swarmworks.service.gateway.approved import ApprovedPrices
from swarmworks.service.gateway.bodies import Bodies
from swarmworks.service.gateway.bounding import InputBounds
from swarmworks.service.gateway.calling import Call, Desk, Target
from swarmworks.service.gateway.client import Client
from swarmworks.service.gateway.content import KEPT_ANSWER_BYTES
from swarmworks.service.gateway.counting import InputCounter
from swarmworks.service.gateway.exchange import Drains
from swarmworks.service.gateway.lanes import Accounts
from swarmworks.service.gateway.ledger import Ledger
from swarmworks.service.gateway.planning import counted, planned
from swarmworks.service.gateway.prices import price_at
from swarmworks.service.gateway.queue import FairQueue
from swarmworks.service.gateway.reading import Reading
from swarmworks.service.gateway.record import CallRecord
from swarmworks.service.gateway.sessions import SessionBook
from swarmworks.service.gateway.standing import standing
from swarmworks.service.gateway.turns import PATIENCE_S, Turns
from swarmworks.service.gateway.upstream import UpstreamClient, answer_headers
from swarmworks.service.gateway.wire import ClientGoneError, headers_of, read_body, respond

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from swarmworks.base.clock import Clock
    from swarmworks.base.ids import IdSource, ReplicaId, SessionId
    from swarmworks.policy.retry import HeldUp
    from swarmworks.provider.format import WireFormat
    from swarmworks.provider.prices import PriceTable
    from swarmworks.service.gateway.bodies import Held
    from swarmworks.service.gateway.calling import Plan
    from swarmworks.service.gateway.ledger import Caller
    from swarmworks.service.gateway.record import GatewaySettings, Upstream
    from swarmworks.service.gateway.routes import Route
    from swarmworks.service.gateway.wire import Receive, Scope, Send
    from swarmworks.store.protocol import Store
    from swarmworks.wire.api import ProviderStatus


class Gateway:
    """`limits` looks up a session's limits; it is called inside a snapshot of the store and must be quick. `others`: whether
    more control planes live, so that a session may have made calls through one of them. `tiers`: what a session's model
    stands for when it is no provider:model, the first choice first.
    """

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
        replica_id: ReplicaId | None = None,
        others: Callable[[], bool] = lambda: False,
        tiers: Mapping[str, tuple[str, ...]] | None = None,
        model_limits: LimitTable | None = None,
    ) -> None:
        self._upstreams = dict(upstreams)
        self._prices = prices
        self._clock = clock
        self._settings = settings
        self._observer = observer
        self.approved = ApprovedPrices(prices, clock)
        self._others = others
        self._ledger = Ledger(store, ids, clock, limits, self.approved, replica_id)
        self._book = SessionBook(clock, settings.circuit)
        self._queue = FairQueue(
            clock,
            wait_s=settings.queue_s,
            poll_s=settings.queue_poll_s,
            length=settings.queue_length,
            session_length=settings.queue_session_length,
        )
        self._client = UpstreamClient(settings)
        self._reading = Reading()
        self._bodies = Bodies(session_bytes=settings.session_bodies_bytes, all_bytes=settings.bodies_bytes)
        self._tiers = dict(tiers or {})
        self.accounts = Accounts(self._upstreams, clock)
        self.turns = Turns(clock, self.accounts, poll_s=settings.provider_poll_s, length=settings.provider_queue_length)
        self._announcing = Announcing(store)
        self.accounts.changed = self._announcing
        self._desk = Desk(
            clock=clock,
            settings=settings,
            ledger=self._ledger,
            book=self._book,
            queue=self._queue,
            accounts=self.accounts,
            turns=self.turns,
            upstreams=self._client,
            drains=Drains(settings.drains),
            judge=self._judge,
            answering={},
            bounds=InputBounds(model_limits or LimitTable.load(), clock),
            counter=InputCounter(self._client, self._book, settings, self._reading),
            reading=self._reading,
        )
        self._under_way: set[asyncio.Task[object]] = set()
        self._closing = False

    async def last_call_at(self, session_id: SessionId) -> datetime | None:
        """When the session last began or ended a call; None when this process has seen none."""
        return self._book.last_at(session_id)

    def held_up(self, session_id: SessionId) -> HeldUp:
        """By providers, as far as this process knows."""
        return self._book.held_up(session_id)

    def providers(self) -> tuple[ProviderStatus, ...]:
        return standing(self.accounts, self.turns, self._clock.monotonic())

    def fallbacks(self) -> dict[str, str]:
        """The model that answered last, by tier, where it is not the tier's first choice."""
        answering = self._desk.answering
        return {
            tier: answering[tier]
            for tier, chain in self._tiers.items()
            if tier in answering and answering[tier] != chain[0]
        }

    def available(self, full_name: str) -> bool:
        """Whether a session that begins with this model now may hope for an answer soon."""
        provider, _, model = full_name.partition(":")
        lanes, now = self.accounts.lanes(provider, model), self._clock.monotonic()
        return not lanes or any(lane.outage_s(now) <= PATIENCE_S for lane in lanes)

    def rekey(self, provider: str, account: str, key: str) -> None:
        """The account's key from the next call on; `account` is empty for a provider's only one. Calls that are under way go
        on with the one before.
        """
        self._upstreams[provider] = self._upstreams[provider].with_key(account, key)
        self.accounts.rekey(self._upstreams[provider])

    def shut(self, session_id: SessionId) -> None:
        """The session has handed in: it gets no more calls."""
        self._book.shut(session_id)

    async def close(self) -> None:
        """Calls under way get `close_s` to end; those still there are cut and charged in full."""
        self._closing = True
        self.turns.close()
        if self._under_way:
            _done, late = await asyncio.wait(self._under_way, timeout=self._settings.close_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._reading.close()
        await self._client.close()
        await self._announcing.close()
        await self._ledger.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
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
        wire = routes.speaker(path, {})
        try:
            if path == "/" and method in {"GET", "HEAD"}:
                await respond(send, 200, b"", {})  # a client looks whether anybody is here
                return
            headers = headers_of(scope)
            wire = routes.speaker(path, headers)
            if self._closing:
                raise UnavailableError("the gateway is shutting down", mend="try again")
            caller = await self._ledger.caller(_token(headers))
            if self._others() or not self._book.knows(caller.session.id):
                await self._remember(caller)
            route = routes.find(method, path, scope.get("query_string", b""), headers)
            if route.kind is routes.Kind.CALL:
                await self._call(caller, headers, receive, send, route)
            elif route.kind is routes.Kind.COUNT:
                await self._count(caller, headers, receive, send, route)
            else:
                body = wire.models(self._targets(caller, None)[0].model)
                await respond(send, 200, body, {"content-type": "application/json"})
        except SwarmworksError as error:
            await self._refuse(send, wire, error)

    async def _remember(self, caller: Caller) -> None:
        calls, stopped = await self._ledger.before(caller)
        self._book.open(caller.session.id, calls)
        if stopped is not None:
            self._book.stop(caller.session.id, stopped)

    async def _refuse(self, send: Send, wire: WireFormat, error: SwarmworksError) -> None:
        found = faults.verdict(error)
        status, body = wire.error(found.fault, str(error), error.code)
        await respond(send, status, body, faults.headers(found.fault, error, self._settings.retry_after_s))

    def _targets(self, caller: Caller, wire: WireFormat | None) -> list[Target]:
        """The model is the platform's choice: whatever name the client sent does not count. In the order of preference,
        without those that speak another format than the client.
        """
        asked = caller.session.model
        found = [self._target(model) for model in self._tiers.get(asked) or (asked,)]
        known = [target for target in found if target is not None]
        if not known:
            raise RejectedError(
                f"the session's model {asked!r} names no provider that is configured",
                where=str(caller.session.id),
                mend=f'write it as provider:model and add [providers."{asked.partition(":")[0]}"] to swarm.toml',
            )
        spoken = [target for target in known if wire is None or _speaks(target.upstream, wire)]
        if not spoken:
            raise RejectedError(
                f"this session's provider {known[0].upstream.name} speaks another format than "
                f"{wire.name if wire else 'the client'}",
                where=str(caller.session.id),
                mend=f"use an agent that speaks {known[0].upstream.kind}, or choose another model",
            )
        return spoken

    def _target(self, full_name: str) -> Target | None:
        provider, _, model = full_name.partition(":")
        upstream = self._upstreams.get(provider)
        if upstream is None or not model:
            return None
        return Target(upstream, model, price_at(self._prices, upstream, model))

    async def _plan(self, caller: Caller, wire: WireFormat, headers: Mapping[str, str], raw: bytes) -> Plan:
        """Under a budget in money, models without a price are passed over."""
        targets = self._targets(caller, wire)
        priced = [target for target in targets if target.price is not None]
        if len(priced) < len(targets) and await self._ledger.money_is_bounded(caller):
            if not priced:
                model, provider = targets[0].model, targets[0].upstream.name
                raise UnpricedError(
                    f"{model} at {provider} has no price, and the budget is in money",
                    where=caller.session.model,
                    mend=f'add [prices."{model}"] with input_usd_per_mtok and output_usd_per_mtok to swarm.toml, or '
                    "import a list with `swarm prices import`",
                )
            targets = priced
        work = partial(
            planned,
            raw,
            wire=wire,
            headers=headers,
            targets=targets,
            most_output=caller.limits.output_tokens_per_call,
            bounds=self._desk.bounds,
            settings=self._settings,
        )
        return await self._reading.run(caller.session.id, len(raw), work)

    async def _call(
        self, caller: Caller, headers: Mapping[str, str], receive: Receive, send: Send, route: Route
    ) -> None:
        call = Call(self._desk, caller, route, headers)
        with self._bodies.holding(caller.session.id) as held:
            try:
                raw = await self._body(receive, headers, held)
                call.request = hashlib.sha256(raw).hexdigest()
                plan = await self._plan(caller, route.wire, headers, raw)
                del raw  # it would lie in memory for as long as the call takes
            except SwarmworksError as error:
                await call.refused(error)
                raise
            keeps = KEPT_ANSWER_BYTES if self._settings.content_chars else 0
            client = Client(receive, send, self._settings.client_idle_s, keeps, held.release)
            client.watch()
            try:
                await call.run(plan, client)
            finally:
                await client.close()

    async def _judge(self, caller: Caller, request: str, record: CallRecord) -> None:
        """Whether the session is to be stopped by how its calls go; then everybody is told. `request` stands for its body."""
        used = record.settled or record.reserved or Amount()
        ended = Ended(self._clock.monotonic(), request, used, record.refusal)
        broken = self._book.ended(caller.session.id, ended, caller.limits)
        if broken is not None:
            await self._ledger.stop(caller, broken)
            record = replace(record, stop=True, broken=broken)
        elif record.ends:
            self._book.stop(caller.session.id, record.ends)
            await self._ledger.stop(caller, record.ends)
        else:
            await self._look_at_context(caller, record)
        if self._observer is not None:
            self._observer(record)

    async def _look_at_context(self, caller: Caller, record: CallRecord) -> None:
        """A session whose model's window fills up is asked to hand over, once."""
        target, used = self._target(record.model), record.usage
        if target is None or used is None or record.refusal is not None:
            return
        rules, published = self._settings.context, target.price.context_window if target.price else None
        window = rules.window(record.model, published)
        tokens = used.input_tokens + used.output_tokens
        if window is not None and rules.is_full(tokens, window) and self._book.asks_to_hand_over(caller.session.id):
            await self._ledger.ask_to_hand_over(caller, tokens, window)

    async def _body(self, receive: Receive, headers: Mapping[str, str], held: Held) -> bytes:
        settings = self._settings
        return await read_body(
            receive,
            headers,
            settings.body_bytes,
            idle_s=settings.client_idle_s,
            body_s=settings.body_s,
            take=held.take,
        )

    async def _count(
        self, caller: Caller, headers: Mapping[str, str], receive: Receive, send: Send, route: Route
    ) -> None:
        """Counting tokens is free at the provider, so nothing is reserved; how often is bounded."""
        limit = self._settings.counts_per_session
        self._book.begin_count(caller.session.id, limit=limit)
        with self._bodies.holding(caller.session.id) as held:
            raw = await self._body(receive, headers, held)
            target = self._targets(caller, route.wire)[0]
            allowed = self._settings.allowed_fields
            work = partial(counted, raw, wire=route.wire, model=target.model, allowed_fields=allowed)
            changed = await self._reading.run(caller.session.id, len(raw), work)
            account = self.accounts.lanes(target.upstream.name, target.model)[0].account
            response = await self._client.post(account.upstream, route.at(target.model), headers, changed)
            try:
                answer = await self._client.read(response, self._settings.body_bytes)
            finally:
                response.close()
        if response.status == 404:
            raise NotFoundError("the provider of this session does not count tokens", where=target.upstream.name)
        if response.status != 200:
            raise UnavailableError(f"the provider does not count tokens now ({response.status})")
        await respond(send, 200, answer, answer_headers(response))


def _speaks(upstream: Upstream, wire: WireFormat) -> bool:
    return upstream.kind in ("rehearsal", wire.name.partition(".")[0])


def _token(headers: Mapping[str, str]) -> str:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    given = (
        bearer if scheme.lower() == "bearer" else "",
        headers.get("x-api-key", ""),
        headers.get("x-goog-api-key", ""),
    )
    found = {token.strip() for token in given}
    found.discard("")
    if len(found) != 1:
        raise UnauthenticatedError(
            "no token, or two different ones",
            mend="send the session's token as Authorization: Bearer, x-api-key or x-goog-api-key",
        )
    return found.pop()
