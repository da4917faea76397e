"""`python -m tests.service.gateway.process DATABASE UPSTREAM_URL [LISTENER]`: a gateway of its own, to be killed. Prints its
address. DATABASE is a file or a PostgreSQL address, where it is one replica of several, as the product's are. LISTENER is the
number of a socket that was left open for it: clients that come while it is down wait there for the next one.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.provider.prices import PriceTable
from swarmworks.service.gateway.app import Gateway
from swarmworks.service.gateway.record import Upstream
from swarmworks.store.postgres import open_postgres
from swarmworks.store.sqlite import open_store
from swarmworks.wiring import replicas
from tests.service.gateway.plant import PRICE, quick, serving

TTL_S = 1.0
PATIENCE_S = float(os.environ.get("GATEWAY_PATIENCE_S", "1"))
SETTINGS = quick(idle_s=PATIENCE_S, first_byte_s=PATIENCE_S, queue_s=1.0, client_idle_s=PATIENCE_S, drain_s=PATIENCE_S)


async def main(database, upstream_url, listener=None):
    async with contextlib.AsyncExitStack() as stack:
        clock, ids = SystemClock(), RandomIds()
        on_server = database.startswith("postgresql://")
        store = await (open_postgres(database, clock, ids) if on_server else open_store(Path(database), clock, ids))
        stack.push_async_callback(store.close)
        me = replicas.this_replica("-", "-")
        others, electing = replicas.assemble_replicas(store, clock, me, alone=not on_server, lost=_end)
        await replicas.start_replica(stack, others)
        replicas.start_watching(stack, others, electing)
        upstreams = {
            "p": Upstream("p", "openai", upstream_url),
            "anthropic": Upstream("anthropic", "anthropic", upstream_url),
            "google": Upstream("google", "google", upstream_url),
        }
        gateway = Gateway(
            store,
            upstreams,
            PriceTable((), {"real-model": PRICE}),
            clock,
            ids,
            SETTINGS,
            replica_id=me.id,
            others=lambda: others.others,
        )
        stack.push_async_callback(gateway.close)
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        sockets = [socket.socket(fileno=int(listener))] if listener else None
        url = await stack.enter_async_context(serving(gateway, sockets))
        print(url, flush=True)  # noqa: T201 - the parent reads it
        await stopping.wait()


def _end(_reason):
    """As the product's control plane: who was given up by the others does nothing more."""
    os._exit(3)


if __name__ == "__main__":
    replicas.REPLICA_TTL_S = replicas.ORPHANS_S = TTL_S
    asyncio.run(main(*sys.argv[1:]))
