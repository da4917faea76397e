"""One call of an agent, from the plan to the answer: its turn at a provider, its reservation, its tries.

What an account refuses for its own sake (its rate, its load, its key) is held here: the call waits for its turn, goes to
another account, or to the next model of its chain, and only when that is in vain is the client told. Each try is paid for
by a reservation of its own, at the price of the model it asks. Nothing is tried again once a byte has reached the client.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from swarmworks.base.errors import BudgetExceededError, ProviderUnavailableError, SwarmworksError
from swarmworks.domain.budget import Amount
from swarmworks.domain.provider import NEEDS_A_PERSON, Outage
from swarmworks.policy.clamp import Offer
from swarmworks.service.gateway import faults
from swarmworks.service.gateway.bidding import Bid
from swarmworks.service.gateway.bounding import UnboundedError
from swarmworks.service.gateway.choosing import Choices
from swarmworks.service.gateway.content import Content, answer_of
from swarmworks.service.gateway.exchange import Exchange
from swarmworks.service.gateway.queue import PassedOverError
from swarmworks.service.gateway.record import CallRecord
from swarmworks.service.gateway.sessions import HandedInError
from swarmworks.service.gateway.throughput import line_of
from swarmworks.service.gateway.turns import NoTurnError, Wish
from swarmworks.service.gateway.wire import ClientGoneError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from swarmworks.base.clock import Clock
    from swarmworks.domain.budget import Reservation
    from swarmworks.policy.bound import Billed, Price, Shape
    from swarmworks.provider.content import Said
    from swarmworks.provider.format import Demand
    from swarmworks.service.gateway.bounding import Bounded, InputBounds
    from swarmworks.service.gateway.client import Client
    from swarmworks.service.gateway.counting import InputCounter
    from swarmworks.service.gateway.exchange import Drains, Letter
    from swarmworks.service.gateway.lanes import Accounts, Lane, Turn
    from swarmworks.service.gateway.ledger import Caller, Ledger
    from swarmworks.service.gateway.queue import FairQueue
    from swarmworks.service.gateway.reading import Reading
    from swarmworks.service.gateway.record import GatewaySettings, Upstream
    from swarmworks.service.gateway.routes import Route
    from swarmworks.service.gateway.sessions import SessionBook
    from swarmworks.service.gateway.turns import Turns
    from swarmworks.service.gateway.upstream import UpstreamClient

CAP_HEADER = "x-swarmworks-output-cap"
SHARE_OF_SILENCE = 0.5
"""A call waits for its turn for so much of the silence its session is allowed: the rest is left for the model to begin."""

ENDS_THE_SESSION = frozenset({"budget", "calls", "unpriced", "closed"})
"""Refusals of its own for which the gateway has a session ended: there are agents that would ask again for minutes, and some
that end with success.
"""


@dataclass(frozen=True, slots=True)
class Target:
    upstream: Upstream
    model: str
    price: Price | None

    @property
    def full_name(self) -> str:
        return f"{self.upstream.name}:{self.model}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that may be sent to `target`, once what is offered for it is reserved, or a part that still fits.
    `clamped`: its client asked for more output than it may have, or did not say. `fallbacks` are asked where the target
    cannot answer.
    """

    target: Target
    clamped: bool
    strip_usage: bool
    bounded: Bounded
    offer: Offer
    letter: Letter  # written before anything is reserved: whatever goes wrong then costs nothing
    prompt: tuple[Said, ...] = ()  # for the record; empty unless that is switched on
    fallbacks: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class Desk:
    """What every call needs of the gateway. `answering`: the model that answered last, by what sessions ask for."""

    clock: Clock
    settings: GatewaySettings
    ledger: Ledger
    book: SessionBook
    queue: FairQueue
    accounts: Accounts
    turns: Turns
    upstreams: UpstreamClient
    drains: Drains
    judge: Callable[[Caller, str, CallRecord], Awaitable[None]]
    answering: dict[str, str]
    bounds: InputBounds
    counter: InputCounter
    reading: Reading


class Call:
    """`run` returns when the client has its answer and everything is settled; an error it raises is the client's to hear."""

    def __init__(self, desk: Desk, caller: Caller, route: Route, headers: Mapping[str, str]) -> None:
        self._desk = desk
        self._caller = caller
        self._route = route
        self._wire = route.wire
        self._headers = headers
        self._began = desk.clock.monotonic()
        self.request = ""
        self._content: Content | None = None
        self._asked = caller.session.model
        self._account = ""
        self._tries = 0
        self._charged = 0
        self._waited_s = 0.0
        self._reserved: Amount | None = None
        self._settled: Amount | None = Amount()
        self._estimated = False
        self._billed: Billed | None = None
        self._first_byte_at: float | None = None

    async def run(self, plan: Plan, client: Client) -> None:
        book, session = self._desk.book, self._caller.session
        try:
            book.begin_call(session.id, limit=self._caller.limits.calls)
            try:
                last = await self._tried(plan, client)
            finally:
                if self._settled == Amount():
                    book.withdraw_call(session.id)
        except SwarmworksError as error:
            await self.refused(error)
            raise
        except (ClientGoneError, asyncio.CancelledError):
            if self._tries:
                self._keep(plan, client)
                await self._end(client.status or 0, "cut", stop=False)
            raise
        if last.failure is None and self._caller.session.model != self._asked:
            self._desk.answering[self._caller.session.model] = self._asked
        self._keep(plan, client)
        stop = last.away is not None and last.away.outage in NEEDS_A_PERSON
        await self._end(client.status or 0, last.failure, stop=stop, unanswered=last.away is not None or last.held_up)

    def _keep(self, plan: Plan, client: Client) -> None:
        """What was said, where it is to be told."""
        if most := self._desk.settings.content_chars:
            self._content = Content(plan.prompt, answer_of(bytes(client.kept), most, plan.target.upstream.keys()))

    async def refused(self, error: SwarmworksError) -> None:
        """On record: the call ends with this error."""
        found = faults.verdict(error)
        status, _body = self._wire.error(found.fault, "", error.code)
        unanswered = isinstance(error, ProviderUnavailableError)
        ends = error.what if found.reason in ENDS_THE_SESSION and not isinstance(error, HandedInError) else ""
        await self._end(status, found.reason, stop=found.stop, unanswered=unanswered, ends=ends)

    async def _tried(self, plan: Plan, client: Client) -> Exchange:
        """The last try, of which the client has been told."""
        wait_s = min(self._desk.settings.provider_wait_s, self._caller.limits.idle_s * SHARE_OF_SILENCE)
        deadline = self._desk.clock.monotonic() + wait_s
        targets = (plan.target, *plan.fallbacks)
        choices = Choices({each: self._desk.accounts.lanes(each.upstream.name, each.model) for each in targets})
        last: tuple[Target, Exchange] | None = None
        while True:
            try:
                target, turn = await self._turn(choices, plan.offer.whole.tokens, deadline, client)
            except ProviderUnavailableError as error:
                if choices.come_back():
                    continue
                if last is None or _says_more(error, last[1]):
                    raise
                break
            passes = choices.others_are_ready(target, plan.offer.whole.tokens, self._desk.clock.monotonic())
            try:
                reserved = await self._reserved_for(plan, target, turn, client, passes=passes)
            except PassedOverError:
                choices.pass_over(target)
                continue
            except (BudgetExceededError, UnboundedError):
                choices.give_up(target)
                if choices.open or choices.come_back():
                    continue
                if last is None or last[0] is target:
                    raise
                break  # it is not the budget that keeps the call from the model it asked before
            last = target, await self._try(*reserved, turn, client)
            if last[1].away is None or client.gone or not self._goes_on(last[1], choices, target, turn.lane, deadline):
                break
        await last[1].tell()
        return last[1]

    def _goes_on(self, last: Exchange, choices: Choices, target: Target, lane: Lane, deadline: float) -> bool:
        """Whether the call may be tried again. An account that fails is not asked again by the same call; nor, once that has
        waited for as long as it may, is one that was too busy. One whose key was refused is open only when it has a new one.
        """
        assert last.away is not None
        self._charged += last.away.charged
        if last.away.charged and self._charged >= self._desk.settings.charged_tries:
            return False
        late = last.away.outage not in NEEDS_A_PERSON and self._desk.clock.monotonic() >= deadline
        if last.away.outage is Outage.FAILING or late:
            choices.without(target, lane)
        return bool(choices.open) or choices.come_back()

    async def _turn(self, choices: Choices, tokens: int, deadline: float, client: Client) -> tuple[Target, Turn]:
        clock = self._desk.clock
        began = clock.monotonic()
        try:
            wish = Wish(tuple(choices.open.values()), tokens, began, deadline)
            turn = await self._desk.turns.take(wish, client)
        finally:
            if (waited_s := clock.monotonic() - began) > 0.0:
                self._waited_s += waited_s
                self._desk.book.waited(self._caller.session.id, waited_s)
        return choices.of(turn.lane), turn

    def _read(self, letter: Letter) -> Demand:
        """The bytes are read anew: what was read of them at first would lie in memory for as long as every call takes, for
        the few that need it.
        """
        return self._wire.read(letter.body, headers=self._headers, allowed_fields=self._desk.settings.allowed_fields)

    async def _at(self, plan: Plan, target: Target) -> Plan:
        """As it is for another model."""

        def read() -> tuple[Shape, Bounded]:
            found = self._read(plan.letter)
            bounds = self._desk.bounds
            return found.shape, bounds.of(target.upstream, target.model, target.price, self._wire, found)

        shape, bounded = await self._desk.reading.run(self._caller.session.id, len(plan.letter.body), read)
        offer = Offer(shape, target.price, bounded.most_input, plan.offer.wanted)
        return replace(plan, target=target, bounded=bounded, offer=offer, fallbacks=())

    async def _write(self, letter: Letter, target: Target, output_cap: int) -> None:
        def rewritten() -> bytes:
            return self._wire.rewrite(self._read(letter), model=target.model, output_cap=output_cap)

        if (letter.model, letter.output_cap) != (target.model, output_cap):
            letter.body = await self._desk.reading.run(self._caller.session.id, len(letter.body), rewritten)
            letter.model, letter.output_cap = target.model, output_cap

    async def _reserved_for(
        self, plan: Plan, target: Target, turn: Turn, client: Client, *, passes: bool
    ) -> tuple[Plan, Reservation]:
        """The plan with the offer that the reservation is for. BudgetExceededError, UnboundedError where this model cannot be
        asked; PassedOverError where its subscription is used up for now, and `passes`. The turn is over then.
        """
        try:
            here = plan if target is plan.target else await self._at(plan, target)
            counting, subscription = self._counting(here, turn), target.upstream.subscription
            bid = Bid(self._desk.ledger, self._caller, target.full_name, here.offer, counting, subscription)
            line = line_of(subscription)
            reservation = await self._desk.queue.admit(
                self._caller.session.id,
                (*self._caller.accounts, *line),
                bid.attempt,
                left=lambda: client.gone,
                passes=line if passes else (),
            )
            return replace(here, offer=bid.offer), reservation
        except BaseException:  # whatever it was: a turn that is never ended keeps everybody else from the account
            self._desk.accounts.withdrawn(turn, sent=False)
            raise

    def _counting(self, plan: Plan, turn: Turn) -> Callable[[], Awaitable[int | None]] | None:
        """What asks the provider how long the input is, where it can be asked."""
        desk, target = self._desk, plan.target
        if not desk.bounds.limits_of(target.upstream, target.model).counts:
            return None
        return desk.counter.asking(
            self._caller.session.id,
            turn.lane.account.upstream,
            target.model,
            self._wire,
            lambda: self._read(plan.letter),
            len(plan.letter.body),
            self._headers,
        )

    async def _try(self, plan: Plan, reservation: Reservation, turn: Turn, client: Client) -> Exchange:
        desk, target = self._desk, plan.target
        output_cap = plan.offer.cap_of(reservation.reserved)
        bounded, shape = plan.bounded, plan.offer.shape
        exchange = Exchange(
            client=client,
            turn=turn,
            accounts=desk.accounts,
            upstreams=desk.upstreams,
            wire=self._wire,
            ledger=desk.ledger,
            reservation=reservation,
            price=target.price,
            settings=desk.settings,
            clock=desk.clock,
            drains=desk.drains,
            on_billed=lambda billed: desk.bounds.remember(bounded, shape, billed.usage),
        )
        self._tries += 1
        self._asked, self._account = target.full_name, turn.lane.account.name
        try:
            await self._write(plan.letter, target, output_cap)
        except BaseException:
            desk.accounts.withdrawn(turn, sent=False)
            await desk.ledger.settle(reservation, Amount())  # nothing was sent
            raise
        try:
            await exchange.run(
                self._route.at(target.model),
                self._headers,
                plan.letter,
                strip_usage=plan.strip_usage,
                extra={CAP_HEADER: str(output_cap)} if plan.clamped or output_cap < plan.offer.wanted else {},
            )
        finally:
            desk.queue.money_came_free()
            desk.book.touch(self._caller.session.id)
            self._count(reservation, await exchange.settled(), exchange)
        return exchange

    def _count(self, reservation: Reservation, settled: Reservation | None, exchange: Exchange) -> None:
        booked = settled.settled if settled else None
        self._reserved = reservation.reserved if self._reserved is None else self._reserved.plus(reservation.reserved)
        self._settled = None if booked is None or self._settled is None else self._settled.plus(booked)
        self._estimated |= settled.estimated if settled else True
        self._billed = exchange.billed
        self._first_byte_at = exchange.first_byte_at

    async def _end(
        self, status: int, refusal: str | None, *, stop: bool, unanswered: bool = False, ends: str = ""
    ) -> None:
        clock, session = self._desk.clock, self._caller.session
        first = self._first_byte_at
        self._desk.book.ended_call(session.id, unanswered=unanswered, failed=refusal or "")
        await self._desk.judge(
            self._caller,
            self.request,
            CallRecord(
                session_id=session.id,
                task_id=session.task_id,
                model=self._asked,
                wire_format=self._wire.name,
                status=status,
                reserved=self._reserved,
                settled=self._settled if self._tries else None,
                usage=self._billed.usage if self._billed else None,
                estimated=self._estimated,
                duration_s=clock.monotonic() - self._began,
                first_byte_s=None if first is None else first - self._began,
                refusal=refusal,
                stop=stop,
                ends=ends,
                account=self._account,
                tries=self._tries,
                waited_s=self._waited_s,
                swarm_id=session.swarm_id,
                traceparent=self._headers.get("traceparent") if self._tries else None,
                content=self._content,
            ),
        )


def _says_more(error: ProviderUnavailableError, last: Exchange) -> bool:
    """A key that was refused is no news for a client that could go on with another account later."""
    return isinstance(error, NoTurnError) and last.away is not None and last.away.outage in NEEDS_A_PERSON
