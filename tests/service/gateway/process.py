"""`python -m tests.service.gateway.process DATABASE UPSTREAM_URL`: a gateway of its own, to be killed. Prints its port."""

import asyncio
import sys
from pathlib import Path

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.provider.prices import PriceTable
from swarmworks.service.gateway.app import Gateway
from swarmworks.service.gateway.record import Upstream
from swarmworks.store.sqlite import open_store
from tests.service.gateway.plant import PRICE, quick, serving


async def main(database, upstream_url):
    store = await open_store(Path(database), SystemClock(), RandomIds())
    await store.transact(lambda tx: tx.recover_reservations())
    upstream = Upstream("p", "openai", upstream_url)
    prices = PriceTable((), {"real-model": PRICE})
    gateway = Gateway(store, {"p": upstream}, prices, SystemClock(), RandomIds(), quick())
    async with serving(gateway) as url:
        print(url, flush=True)  # noqa: T201 - the parent reads it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
