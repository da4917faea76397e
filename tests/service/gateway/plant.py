"""The gateway served by uvicorn between real HTTP clients and the fake provider, with the books checked at the end."""

import asyncio
import contextlib
import io
import json
import tempfile
from pathlib import Path

import aiohttp
import uvicorn

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import NotFoundError
from swarmworks.base.ids import SequentialIds
from swarmworks.domain.session import SessionLimits
from swarmworks.policy.bound import Price, Rates
from swarmworks.provider.limits import ImageRow, LimitTable, VendorLimits
from swarmworks.provider.prices import PriceTable
from swarmworks.service.gateway.app import Gateway
from swarmworks.service.gateway.record import GatewaySettings
from swarmworks.service.gateway.record import Upstream as UpstreamAddress
from tests.service.gateway.running import SWARM, begin_running, open_copy, swarm_totals
from tests.service.gateway.upstream import Upstream

RATE_IN, RATE_OUT = 3_000, 15_000  # nano-dollars for one token
PRICE = Price(Rates.of(input=RATE_IN * 1_000_000, output=RATE_OUT * 1_000_000))
KEY = "sk-the-real-key"
PATHS = {
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "google": "/v1beta/models/any:generateContent",
}
KINDS = list(PATHS)
"""The wire formats: two of them are one provider's."""
PROVIDERS = {kind: "openai" if kind == "responses" else kind for kind in KINDS}
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def worded(kind, body):
    """A chat body in the words of a format."""
    body = {"model": "whatever", "max_tokens": 50, **HELLO} | body
    if kind not in {"responses", "google"}:
        return body
    del body["messages"]
    cap = body.pop("max_tokens")
    if kind == "responses":
        return {"input": "hello", "max_output_tokens": cap, **body}
    del body["model"]
    body.pop("stream", None)
    contents = [{"role": "user", "parts": [{"text": "hello"}]}]
    return {"contents": contents, "generationConfig": {"maxOutputTokens": cap}, **body}


def vendor(kind, *, whole_input=True, counts=False, image=None):
    """The fake provider as one that publishes what a vendor does."""
    hosts = frozenset({"127.0.0.1"})
    return VendorLimits(PROVIDERS[kind], hosts, whole_input, counts, (ImageRow(("*",), image),))


def path_of(kind, body):
    if kind == "google" and (body or {}).get("stream"):
        return "/v1beta/models/any:streamGenerateContent?alt=sse"
    return PATHS[kind]


def quick(**changes):
    return GatewaySettings(
        **{
            "queue_poll_s": 0.02,
            "provider_poll_s": 0.02,
            "provider_wait_s": 0.0,
            "close_s": 2.0,
            "connect_s": 2.0,
            **changes,
        }
    )


@contextlib.asynccontextmanager
async def serving(app, sockets=None, **more):
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="critical", lifespan="off", timeout_keep_alive=60, **more)
    )
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        await server.shutdown()


class RecordedIds:
    """Sequential, and remembered, so that the books can be gone through at the end."""

    def __init__(self):
        self._ids = SequentialIds()
        self.made = []

    def new(self, prefix):
        self.made.append(self._ids.new(prefix))
        return self.made[-1]


class FailingStore:
    """The real store, but for the errors that a test puts in its way: before a commit, or in the place of its answer."""

    def __init__(self, store):
        self.store = store
        self.fail_next = []
        self.lose_next = []

    async def transact(self, step):
        if self.fail_next:
            raise self.fail_next.pop()
        done = await self.store.transact(step)
        if self.lose_next:
            raise self.lose_next.pop()
        return done

    async def read(self, look):
        if self.fail_next:
            raise self.fail_next.pop()
        return await self.store.read(look)


class Plant:
    """`calls` are the records of the observer; `recorded(n)` waits for n of them."""

    def __init__(self, upstream, store, sessions, tokens, client):
        self.upstream, self.store, self.sessions, self.tokens = upstream, FailingStore(store), sessions, tokens
        self.client = client
        self.gateway, self.url = None, None
        self.ids = RecordedIds()
        self.calls = []
        self.wrong_on_purpose = False
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
        data = more.pop("data", None) or json.dumps(worded(kind, body or {})).encode()
        headers = {"authorization": f"Bearer {token or self.tokens[0]}", **more.pop("headers", {})}
        return self.client.post(self.url + path_of(kind, body), data=io.BytesIO(data), headers=headers, **more)

    async def ask(self, kind, body=None, token=None, **more):
        async with self.post(kind, body, token, **more) as response:
            return response.status, await response.read(), response.headers

    async def totals(self):
        return await self.store.store.read(swarm_totals)

    async def reservations(self):
        return await self.store.store.read(lambda reader: [_found(reader, made) for made in self.ids.made])

    async def check_books(self):
        """True cost at the provider <= settled <= reserved, for every call and all together, never above the limit, and
        nothing left open.
        """
        assert await self.store.store.read(lambda reader: reader.open_reservations()) == []
        for reservation in filter(None, await self.reservations()):
            assert reservation.settled.nano_usd <= reservation.reserved.nano_usd
            assert reservation.settled.tokens <= reservation.reserved.tokens
        now = await self.totals()
        peak = (await self.store.store.read(lambda reader: reader.peak(SWARM))).peak
        assert self.upstream.true_cost(RATE_IN, RATE_OUT) <= now.spent.nano_usd
        assert now.limit.nano_usd is None or peak.nano_usd <= now.limit.nano_usd
        assert now.held.nano_usd == 0


def _found(reader, reservation_id):
    """None for a reservation that was refused."""
    try:
        return reader.reservation(reservation_id)
    except NotFoundError:
        return None


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
    agent_limit=None,
    model="p:real-model",
    first_byte_s=None,
    others=False,
    opened=None,
    providers=None,
    tiers=None,
    published=None,
    subscription=None,
):
    """`providers`: from the fake provider's address to the upstreams by name, in the place of the one named `p`."""
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Upstream())
        client = await stack.enter_async_context(aiohttp.ClientSession())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = opened or await open_copy(folder / "swarm.db")
        stack.push_async_callback(store.close)
        ids, tokens = await begin_running(
            store, limit=limit, models=[model] * sessions, session_limit=session_limit, agent_limit=agent_limit
        )
        found = Plant(upstream, store, ids, tokens, client)
        address = base_url or upstream.url
        found.gateway = Gateway(
            found.store,
            providers(address)
            if providers
            else {
                "p": UpstreamAddress(
                    "p", provider_kind or PROVIDERS[kind], address, KEY, first_byte_s, subscription=subscription
                )
            },
            PriceTable((), {"real-model": PRICE} if prices is None else prices, clock),
            clock or SystemClock(),
            found.ids,
            settings or quick(),
            found.observe,
            lambda _session: limits or SessionLimits(),
            others=lambda: others,
            tiers=tiers,
            model_limits=LimitTable((published,)) if published else None,
        )
        async with serving(found.gateway) as found.url:
            try:
                yield found
            finally:
                upstream._release.set()
                await found.gateway.close()
                await client.close()
        if not found.wrong_on_purpose:
            await found.check_books()
