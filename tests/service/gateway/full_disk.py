"""`python -m tests.service.gateway.full_disk FOLDER`: a gateway whose ledger's disk fills up, twice. Started with a small disk
mounted there. Prints what clients saw and what is booked.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
from pathlib import Path

from swarmworks.service.gateway import ledger
from tests.service.gateway.plant import plant
from tests.service.gateway.upstream import Answer

MOST_CALLS = 500
"""What lies in the log's file already is written over first, so some calls still pass on a full disk."""


def fill(ballast):
    with ballast.open("ab", buffering=0) as sink:
        for size in (65_536, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    sink.write(b"x" * size)


async def refused(p):
    """The first call that is, and how many reached the provider before and after it."""
    for _ in range(MOST_CALLS):
        before = len(p.upstream.received)
        status, body, _headers = await p.ask("openai")
        if status != 200:
            return {"status": status, "body": body.decode(), "sent": len(p.upstream.received) - before}
    return None


async def main(folder):
    tempfile.tempdir = str(folder)
    ballast, gate = folder / "ballast", asyncio.Event()
    ledger.SETTLE_AGAIN_S = 0.05
    async with plant(limit=10**15) as p:
        p.upstream.script = lambda number, body: Answer(gate=gate) if body["max_tokens"] == 7 else Answer()
        under_way = asyncio.create_task(p.ask("openai", {"max_tokens": 7}))
        await p.upstream.streaming.wait()
        fill(ballast)
        told = {"refused": await refused(p)}
        gate.set()
        told["under_way"] = (await under_way)[0]
        calls = await p.recorded(len(p.upstream.received))
        told["open"] = sum(call.settled is None and call.reserved is not None for call in calls)
        ballast.unlink()
        await asyncio.gather(*p.gateway._ledger._later)
        told["again"] = (await p.ask("openai"))[0]
        await p.recorded(len(p.upstream.received))
        told["spent"] = (await p.totals()).spent.nano_usd
        told["true"] = p.upstream.true_cost(3_000, 15_000)
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
