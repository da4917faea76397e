"""procrastinate (PostgreSQL): jobs deferred in one batch, one worker that hears of them by LISTEN."""

from __future__ import annotations

import asyncio
import importlib.metadata

import procrastinate
import psycopg

from bench.engines.measuring import GAP_S, Asked, Measured, answer, asked, now_s

AT_ONCE = 30
POLL_S = 0.005
UNFINISHED = "SELECT count(*) FROM procrastinate_jobs WHERE status <> 'succeeded'"


async def measure(request: Asked) -> Measured:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=request.address, max_size=AT_ONCE + 2))
    started: asyncio.Queue[float] = asyncio.Queue()

    @app.task(name="nothing")
    async def nothing() -> None:
        started.put_nowait(now_s())

    found = Measured(f"procrastinate {importlib.metadata.version('procrastinate')}")
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        worker = asyncio.create_task(
            app.run_worker_async(concurrency=AT_ONCE, install_signal_handlers=False, wait=True, delete_jobs="never")
        )
        await nothing.defer_async()
        await started.get()
        began = now_s()
        await nothing.batch_defer_async(*({} for _ in range(request.tasks)))
        for _ in range(request.tasks):
            await started.get()
        async with await psycopg.AsyncConnection.connect(request.address, autocommit=True) as connection:
            while (await (await connection.execute(UNFINISHED)).fetchone()) != (0,):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(POLL_S)
        found.tasks_per_s = request.tasks / (now_s() - began)
        for _ in range(request.probes):
            await asyncio.sleep(GAP_S)
            began = now_s()
            await nothing.defer_async()
            found.start_ms.append((await started.get() - began) * 1000)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    return found


if __name__ == "__main__":
    answer(asyncio.run(measure(asked())))
