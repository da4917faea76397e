"""Runs a swarm whose database's disk is full for a while, and resumes it if it ended. Started in a mount namespace of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.on_postgres import OnPostgres
from tests.postgres import Server
from tests.scenario.driver import CALL_NANO_USD, CountedModel, Ended, ended, twelve

PIECE_BYTES = 4096
FULL_S = 15.0
TASKS = 12


async def main(disk: Path) -> None:
    model = CountedModel()
    server = Server(disk, "--wal-segsize=1", max_wal_size="3MB", min_wal_size="2MB", wal_recycle="off")
    server.start()
    with tempfile.TemporaryDirectory() as elsewhere:
        site = OnPostgres(Path(elsewhere) / "site", model.url, twelve(TASKS), server)
        try:
            told = await run(site, model, disk)
        finally:
            site.close()
    server.stop()
    model.close()
    sys.stdout.write(json.dumps(told) + "\n")


async def run(site: OnPostgres, model: CountedModel, disk: Path) -> dict[str, object]:
    process = site.start("run", str(site.plan_file))
    assert model.reached_or_ended(2, process), ended(process)
    ballast = disk / "ballast"
    keep_full(ballast, process)
    ballast.unlink()
    site.server.start()
    full = ended(process)
    resumed = None if full.code == 0 else site.run("resume", "--retry-blocked", "--json")
    truth = await site.truth()
    truth.assert_sound(cost_nano_usd=model.calls * CALL_NANO_USD)
    return {"full": of(full), "resumed": resumed and of(resumed), "states": sorted(set(truth.states().values()))}


def keep_full(ballast: Path, process: subprocess.Popen[str]) -> None:
    """For FULL_S or until the run has ended, whatever the server makes room for by its own tidying."""
    until = time.monotonic() + FULL_S
    with ballast.open("ab", buffering=0) as sink:
        while process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError):
                while True:
                    sink.write(b"x" * PIECE_BYTES)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.02)


def of(done: Ended) -> dict[str, object]:
    return {"code": done.code, "out": done.out, "err": done.err}


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
