"""What an idle plant costs: processor time and wake-ups of a control plane and its worker, with nothing to do.

Of every thread of the two processes, from the kernel's own accounts: time on a processor (`schedstat`, in nanoseconds) and
how often one went to sleep by itself (`voluntary_ctxt_switches`), which is how often it had been woken. Goal: below 1 % of
one processor together.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.plant import STORES, project, served

SETTLE_S, LOOK_S = 8.0, 30.0
GOAL_PERCENT = 1.0
WORKER_S = 60.0


@dataclass(frozen=True)
class Spent:
    cpu_ns: int
    sleeps: int


def run(*, smoke: bool) -> None:
    settle_s, look_s = (2.0, 2.0) if smoke else (SETTLE_S, LOOK_S)
    for store in STORES:
        with project("idle") as (root, base), served(root, base, store) as plant:
            pids = {"control plane": plant.pid, "worker": _worker(plant.pid)}
            time.sleep(settle_s)
            _tell(store, pids, look_s)


def _worker(pid: int) -> int:
    """Once it is registered: then it holds connections to the control plane."""
    deadline = time.monotonic() + WORKER_S
    while time.monotonic() < deadline:
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # a child of a child, that has ended meanwhile
                if "worker" in child.cmdline() and child.net_connections(kind="tcp"):
                    return child.pid
        time.sleep(0.1)
    raise SystemExit(f"no worker of {pid} was there within {WORKER_S:.0f} s")


def _tell(store: str, pids: dict[str, int], look_s: float) -> None:
    before = {name: _spent(pid) for name, pid in pids.items()}
    began = time.monotonic()
    time.sleep(look_s)
    after = {name: _spent(pid) for name, pid in pids.items()}
    took_s = time.monotonic() - began
    percent = 0.0
    for name in pids:
        cpu = (after[name].cpu_ns - before[name].cpu_ns) / 1e9 / took_s * 100
        wakes = (after[name].sleeps - before[name].sleeps) / took_s
        percent += cpu
        print(f"{store:10} {name:13} {cpu:6.2f} % of a processor  {wakes:7.1f} wake-ups/s", flush=True)
    print(f"{store:10} {'together':13} {percent:6.2f} % (goal {GOAL_PERCENT:.0f} %)", flush=True)


def _spent(pid: int) -> Spent:
    cpu_ns = sleeps = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        cpu_ns += int((thread / "schedstat").read_text().split()[0])
        status = (thread / "status").read_text()
        sleeps += int(status.partition("voluntary_ctxt_switches:")[2].split()[0])
    return Spent(cpu_ns, sleeps)
