"""The gateway served by uvicorn between real HTTP clients and the fake provider, with the books checked at the end."""

import asyncio
import contextlib
import io
import json

import aiohttp
import uvicorn

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import SequentialIds
from swarmworks.domain.budget import Limit
from swarmworks.domain.session import SessionLimits
from swarmworks.policy.bound import Price, Rates
from swarmworks.provider.prices import PriceTable
from swarmworks.service.gateway.app import Gateway
from swarmworks.service.gateway.record import GatewaySettings
from swarmworks.service.gateway.record import Upstream as UpstreamAddress
from tests.service.gateway.fakestore import open_fake
from tests.service.gateway.upstream import Upstream

RATE_IN, RATE_OUT = 3_000, 15_000  # nano-dollars for one token
PRICE = Price(Rates.of(input=RATE_IN * 1_000_000, output=RATE_OUT * 1_000_000))
KEY = "sk-the-real-key"
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def quick(**changes):
    return GatewaySettings(**{"queue_poll_s": 0.02, "close_s": 2.0, "connect_s": 2.0, **changes})


@contextlib.asynccontextmanager
async def serving(app):
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off", timeout_keep_alive=60))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    task = asyncio.create_task(server.main_loop())
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        await server.shutdown()


class Plant:
    """`calls` are the records of the observer; `settled(n)` waits for n of them."""

    def __init__(self, upstream, store, tokens, gateway, url, client):
        self.upstream, self.store, self.tokens, self.gateway = upstream, store, tokens, gateway
        self.url, self.client = url, client
        self.calls = []
        self._news = asyncio.Event()

    def observe(self, record):
        self.calls.append(record)
        self._news.set()

    async def recorded(self, number):
        async with asyncio.timeout(20):
            while len(self.calls) < number:
                self._news.clear()
                await self._news.wait()
        return self.calls

    def post(self, kind, body=None, token=None, **more):
        body = {"model": "whatever", "max_tokens": 50, **HELLO} | (body or {})
        data = more.pop("data", None) or json.dumps(body).encode()
        headers = {"authorization": f"Bearer {token or self.tokens[0]}", **more.pop("headers", {})}
        return self.client.post(self.url + PATHS[kind], data=io.BytesIO(data), headers=headers, **more)

    async def ask(self, kind, body=None, token=None, **more):
        async with self.post(kind, body, token, **more) as response:
            return response.status, await response.read(), response.headers

    @property
    def spent(self):
        return self.store.totals("acc_swarm").spent

    @property
    def held(self):
        return self.store.totals("acc_swarm").held

    def check_books(self):
        """True cost at the provider <= settled <= reserved, for every call and all together; nothing left open."""
        for reservation in self.store.reservations.values():
            assert reservation.settled is not None, f"{reservation.id} was never settled"
            assert reservation.settled.nano_usd <= reservation.reserved.nano_usd
            assert reservation.settled.tokens <= reservation.reserved.tokens
        limit = self.store.totals("acc_swarm").limit.nano_usd
        assert self.upstream.true_cost(RATE_IN, RATE_OUT) <= self.spent.nano_usd
        assert limit is None or self.spent.nano_usd <= limit
        assert self.held.nano_usd == 0


@contextlib.asynccontextmanager
async def plant(
    kind="openai",
    *,
    limit=10**12,
    sessions=1,
    settings=None,
    limits=None,
    clock=None,
    prices=None,
    provider_kind=None,
    base_url=None,
    session_limit=None,
    model="p:real-model",
):
    async with Upstream() as upstream, aiohttp.ClientSession() as client:
        store, tokens = open_fake(Limit(nano_usd=limit), sessions, model, session_limit)
        address = base_url or upstream.url
        found = Plant(upstream, store, tokens, None, None, client)
        found.gateway = Gateway(
            store,
            {"p": UpstreamAddress("p", provider_kind or kind, address, KEY)},
            PriceTable((), {"real-model": PRICE} if prices is None else prices),
            clock or SystemClock(),
            SequentialIds(),
            settings or quick(),
            found.observe,
            lambda _session: limits or SessionLimits(),
        )
        async with serving(found.gateway) as found.url:
            try:
                yield found
            finally:
                upstream._release.set()
                await found.gateway.close()
        found.check_books()
