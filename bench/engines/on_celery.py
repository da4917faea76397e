"""Celery with Redis: messages acknowledged after the task, so that one outlives its worker; a worker of its own process.

How durable it is depends on the server at `address`: with an append-only file that is synced at every write as durable as
the others, by default not at all. The worker tells of starts through a named pipe, whose path it finds in its environment.
"""

from __future__ import annotations

import importlib.metadata
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import celery
import redis

from bench.engines.measuring import GAP_S, GIVE_UP_S, Asked, Measured, answer, asked, now_s

ADDRESS, PIPE = "BENCH_CELERY_ADDRESS", "BENCH_CELERY_PIPE"
MOMENT = struct.Struct("d")
WORKER = ("worker", "--pool", "solo", "--loglevel", "CRITICAL")
WORKER += ("--without-gossip", "--without-mingle", "--without-heartbeat", "--prefetch-multiplier", "64")

app = celery.Celery("bench.engines.on_celery", broker=os.environ.get(ADDRESS))
app.conf.update(task_acks_late=True, task_ignore_result=True, broker_connection_retry_on_startup=True)
_pipe: list[int] = []


@app.task
def nothing() -> None:
    if not _pipe:
        _pipe.append(os.open(os.environ[PIPE], os.O_WRONLY))
    os.write(_pipe[0], MOMENT.pack(now_s()))


def measure(request: Asked) -> Measured:
    app.conf.broker_url = request.address
    found = Measured(f"celery {importlib.metadata.version('celery')}, redis {_server(request.address)}")
    with tempfile.TemporaryDirectory() as folder:
        pipe = Path(folder) / "starts"
        os.mkfifo(pipe)
        starts = os.open(pipe, os.O_RDWR)  # also for writing: no end of file while the worker has not opened it yet
        environment = {**os.environ, ADDRESS: request.address, PIPE: str(pipe)}
        argv = (sys.executable, "-m", "celery", "-A", "bench.engines.on_celery", *WORKER)
        worker = subprocess.Popen(
            argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _measure(request, starts, found)
        finally:
            worker.kill()
            worker.wait()
    return found


def _measure(request: Asked, starts: int, found: Measured) -> None:
    nothing.delay()
    os.read(starts, MOMENT.size)
    began = now_s()
    seen = 0
    os.set_blocking(starts, False)
    for _ in range(request.tasks):
        nothing.delay()
        seen += _read(starts)
    os.set_blocking(starts, True)
    while seen < request.tasks:
        seen += _read(starts)
    _until_acknowledged(request.address)
    found.tasks_per_s = request.tasks / (now_s() - began)
    for _ in range(request.probes):
        time.sleep(GAP_S)
        began = now_s()
        nothing.delay()
        (moment,) = MOMENT.unpack(os.read(starts, MOMENT.size))
        found.start_ms.append((moment - began) * 1000)


def _read(starts: int) -> int:
    try:
        return len(os.read(starts, MOMENT.size * 1024)) // MOMENT.size
    except BlockingIOError:
        return 0


def _until_acknowledged(address: str) -> None:
    server = redis.Redis.from_url(address)
    deadline = now_s() + GIVE_UP_S
    while server.llen("celery") or server.hlen("unacked"):
        if now_s() > deadline:
            raise TimeoutError("Celery did not acknowledge what it did")
        time.sleep(0.005)


def _server(address: str) -> str:
    return str(redis.Redis.from_url(address).info("server")["redis_version"])


if __name__ == "__main__":
    from bench.engines.on_celery import measure as measure_as_module  # the worker knows the task by this name

    answer(measure_as_module(asked()))
