"""What every engine is asked, and how it answers: one JSON line. Standard library only, because the peers run in an
environment of their own, beside which nothing of this project is installed.

Throughput: N durable tasks that do nothing, from the first enqueued to the last that is recorded as done, with the workers
waiting. Latency: an idle engine, one task at a time, from just before it is enqueued to when its function begins.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, field

GAP_S = 0.01
"""Between two probes, so that each finds the engine asleep."""
GIVE_UP_S = 120.0


@dataclass
class Measured:
    version: str
    tasks_per_s: float = 0.0
    start_ms: list[float] = field(default_factory=list)
    claim_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    address: str
    tasks: int
    probes: int
    kind: str = ""


def asked() -> Asked:
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--tasks", type=int, required=True)
    parser.add_argument("--probes", type=int, required=True)
    parser.add_argument("--kind", default="", help="which of its own measures of a task, where an engine has several")
    return Asked(**vars(parser.parse_args()))


def answer(measured: Measured) -> None:
    print(json.dumps(asdict(measured)), flush=True)


def now_s() -> float:
    """The same clock in every process of the machine."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)
