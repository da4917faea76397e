"""The same durable tasks that do nothing, on this project's store and on the task engines of PyPI, in one run.

Each engine is a process of its own, one after the other, on the same disk and the same PostgreSQL server, in its best
configuration known to us: jobs deferred in one batch (procrastinate), acknowledged late and without results (Celery),
enqueued by several threads and polled every 10 ms (DBOS). The peers live in `.venv-bench`, their versions in
`requirements/bench.lock`. A peer that is not there is named, and the comparison is then not complete.

Leased work is what the peers do too: queued, taken, handed back. A plan's task is much more (see `engines/on_store.py`): its
rate stands beside theirs for information.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.postgres import a_database

from bench.engines.measuring import Asked, Measured
from bench.engines.redis_server import EVERY_WRITE, NEVER, has_redis, redis_server

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv-bench" / "bin" / "python"
OURS = Path(sys.executable)
PEER_S = 300.0
MULTIPLE, CLAIM_P95_MS = 3.0, 5.0
"""The goals: on PostgreSQL so many times the tasks per second of the best durable peer, and a claim within so many ms."""


@dataclass(frozen=True)
class Engine:
    name: str
    module: str
    python: Path
    on: str  # postgresql, sqlite, redis, redis in memory
    kind: str = ""
    durable: bool = True

    @property
    def missing(self) -> str | None:
        if not self.python.exists():
            return "not installed: run `make bench`, which puts the peers into .venv-bench"
        if self.on.startswith("redis") and not has_redis():
            return "redis-server is not installed (Debian: apt-get install redis-server)"
        return None


ENGINES = (
    Engine("ours, leased work", "on_store", OURS, "postgresql", kind="work"),
    Engine("ours, leased work", "on_store", OURS, "sqlite", kind="work"),
    Engine("ours, plan's tasks", "on_store", OURS, "postgresql", kind="task"),
    Engine("ours, plan's tasks", "on_store", OURS, "sqlite", kind="task"),
    Engine("procrastinate", "on_procrastinate", PEERS, "postgresql"),
    Engine("dbos", "on_dbos", PEERS, "postgresql"),
    Engine("celery", "on_celery", PEERS, "redis"),
    Engine("celery, not durable", "on_celery", PEERS, "redis in memory", durable=False),
)


def run(*, smoke: bool) -> None:
    tasks, probes = (40, 5) if smoke else (3_000, 200)
    with tempfile.TemporaryDirectory(prefix="bench-engines-", dir=ROOT) as folder:
        found = {engine: measured for engine in ENGINES if (measured := _row(engine, folder, tasks, probes))}
    _compare(found)


def _row(engine: Engine, folder: str, tasks: int, probes: int) -> Measured | None:
    label = f"{engine.name:20} {engine.on:16}"
    if engine.missing is not None:
        print(f"{label} MISSING: {engine.missing}", flush=True)
        return None
    with _address(engine, folder) as address:
        measured = _measure(engine, Asked(address, tasks, probes, engine.kind))
    if isinstance(measured, str):
        print(f"{label} FAILED: {measured}", flush=True)
        return None
    start = f"start p50 / p95 / p99 {_quantiles(measured.start_ms)} ms"
    claim = f"   claim {_quantiles(measured.claim_ms)} ms" if measured.claim_ms else ""
    print(f"{label} {measured.tasks_per_s:8,.0f} tasks/s   {start}{claim}   {measured.version}", flush=True)
    return measured


@contextlib.contextmanager
def _address(engine: Engine, folder: str) -> Generator[str]:
    match engine.on:
        case "postgresql":
            yield a_database()
        case "sqlite":
            yield f"{folder}/{engine.kind}.db"
        case _:
            with redis_server(folder, EVERY_WRITE if engine.durable else NEVER) as address:
                yield address


def _measure(engine: Engine, asked: Asked) -> Measured | str:
    """What it measured, or why it could not."""
    argv = [engine.python, "-m", f"bench.engines.{engine.module}", "--address", asked.address, "--kind", asked.kind]
    argv += ["--tasks", str(asked.tasks), "--probes", str(asked.probes)]
    paths = [str(ROOT)] if engine.python == PEERS else [str(ROOT / "src"), str(ROOT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    try:
        done = subprocess.run(
            argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PEER_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"not done within {PEER_S:.0f} s"
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    return Measured(**json.loads(done.stdout.strip().splitlines()[-1]))


def _quantiles(values_ms: list[float]) -> str:
    hundredths = statistics.quantiles(values_ms, n=100, method="inclusive")
    return f"{statistics.median(values_ms):6.2f} / {hundredths[94]:6.2f} / {hundredths[98]:6.2f}"


def _compare(found: dict[Engine, Measured]) -> None:
    peers = {engine.name: measured for engine, measured in found.items() if engine.durable and engine.python == PEERS}
    if not peers:
        print("no durable peer was measured: nothing to compare with")
        return
    best = max(peers, key=lambda name: peers[name].tasks_per_s)
    whole = "" if len(peers) == 3 else f"   NOT COMPLETE: only {', '.join(sorted(peers))} measured"
    for engine, measured in found.items():
        if engine.python == OURS:
            ratio = measured.tasks_per_s / peers[best].tasks_per_s
            p95 = statistics.quantiles(measured.claim_ms, n=100, method="inclusive")[94]
            same = engine.kind == "work" and engine.on == "postgresql"
            print(
                f"{engine.name} on {engine.on} / {best}: {ratio:.2f}x tasks/s{f' (goal {MULTIPLE:.0f}x)' if same else ''}, "
                f"claim p95 {p95:.2f} ms (goal {CLAIM_P95_MS:.0f} ms){whole}"
            )
