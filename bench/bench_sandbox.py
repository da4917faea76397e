"""What a sandbox costs to start: `true` in ours, in bubblewrap alone, and as a plain process, in turns."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from swarmworks.sandbox.bubblewrap import BubblewrapSandbox
from swarmworks.sandbox.protocol import Mount, Network, SandboxSpec

TARGET_MS = 60


def run(*, smoke: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_measure(Path(directory), rounds=3 if smoke else 40))


async def _measure(directory: Path, rounds: int) -> None:
    sandbox = BubblewrapSandbox(directory / "state")
    probe = sandbox.probe()
    if not probe.properties:
        print(f"not measured: {next(iter(probe.missing.values()))}")
        return
    copy = directory / "copy"
    copy.mkdir()
    sandbox.own(copy)
    spec = SandboxSpec(
        argv=("true",),
        workdir="/work",
        mounts=(Mount(copy, "/work", writable=True),),
        network=Network.LISTENER,
    )
    program = shutil.which("bwrap") or "bwrap"
    times: dict[str, list[float]] = {"ours, all layers": [], "bubblewrap alone": [], "plain process": []}
    for _ in range(rounds):
        start = time.perf_counter()
        process = await sandbox.start(spec)
        await process.wait()
        times["ours, all layers"].append(time.perf_counter() - start)
        if process.listener is not None:
            process.listener.close()
        times["bubblewrap alone"].append(_plain(program, "--ro-bind", "/", "/", "--unshare-all", "true"))
        times["plain process"].append(_plain("true"))
    medians = {name: statistics.median(values) * 1000 for name, values in times.items()}
    for name, milliseconds in medians.items():
        print(f"{name:18} {milliseconds:6.1f} ms  (median of {rounds})")
    ours = medians["ours, all layers"]
    print(
        f"ratio to bubblewrap alone {ours / medians['bubblewrap alone']:.1f}, to a plain process "
        f"{ours / medians['plain process']:.1f}; target {TARGET_MS} ms: {'met' if ours <= TARGET_MS else 'MISSED'}"
    )


def _plain(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start
