"""DBOS (PostgreSQL): workflows enqueued by several threads, its queue polled far more often than by default (1 s)."""

from __future__ import annotations

import importlib.metadata
import queue
import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS

from bench.engines.measuring import GAP_S, Asked, Measured, answer, asked, now_s

POLL_S = 0.01
THREADS = 4


def measure(request: Asked) -> Measured:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": request.address.replace("postgresql://", "postgresql+psycopg://"),
            "log_level": "CRITICAL",
            "application_version": "bench",
        }
    )
    started: queue.SimpleQueue[float] = queue.SimpleQueue()

    @DBOS.workflow()
    def nothing() -> None:
        started.put(now_s())

    DBOS.launch()
    waiting = DBOS.register_queue("bench", polling_interval_sec=POLL_S)
    found = Measured(f"dbos {importlib.metadata.version('dbos')}")
    try:
        waiting.enqueue(nothing).get_result()
        started.get()
        began = now_s()
        with ThreadPoolExecutor(THREADS) as threads:
            handles = list(threads.map(lambda _: waiting.enqueue(nothing), range(request.tasks)))
        for _ in range(request.tasks):
            started.get()
        while DBOS.list_workflows(status=["PENDING", "ENQUEUED"], limit=1):
            time.sleep(0.005)
        found.tasks_per_s = len(handles) / (now_s() - began)
        for _ in range(request.probes):
            time.sleep(GAP_S)
            began = now_s()
            waiting.enqueue(nothing)
            found.start_ms.append((started.get() - began) * 1000)
    finally:
        DBOS.destroy()
    return found


if __name__ == "__main__":
    answer(measure(asked()))
