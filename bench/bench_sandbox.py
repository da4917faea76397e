"""What a sandbox costs: to start, beside bubblewrap alone, gVisor where it is installed and a plain process, in turns; a hundred at
once; and while it runs, on spawning processes, files and computing.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from swarmworks.sandbox.bubblewrap import BubblewrapSandbox
from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.sandbox.protocol import Mount, Network, SandboxSpec

TARGET_MS = 60
OVERHEAD_PERCENT = 15
AT_ONCE = 100
PYTHON = Path(sys.executable)
WORK = """
import hashlib, os, subprocess, time
start = time.perf_counter()
for _ in range({spawns}):
    subprocess.run(["/bin/true"], check=True)
spawning = time.perf_counter()
for number in range({files}):
    with open(f"f{{number}}", "w") as file:
        file.write("x" * 2000)
for number in range({files}):
    with open(f"f{{number}}") as file:
        file.read()
    os.unlink(f"f{{number}}")
writing = time.perf_counter()
value = b""
for _ in range({hashes}):
    value = hashlib.sha256(value + bytes(2000)).digest()
print(spawning - start, writing - spawning, time.perf_counter() - writing)
"""
PARTS = ("spawning processes", "files", "computing")

Timed = Callable[[], Awaitable[float]]


def run(*, smoke: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_measure(Path(directory), smoke=smoke))


async def _measure(directory: Path, *, smoke: bool) -> None:
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
        mounts=(Mount(copy, "/work", writable=True), *python_mounts(PYTHON)),
        network=Network.LISTENER,
        programs=("sh", "true", "git", "cat", "ls", "cp", "mv", "grep", "sed", str(PYTHON)),
        noexec=True,
    )
    await _starts(sandbox, spec, rounds=3 if smoke else 40)
    await _many(sandbox, spec, 4 if smoke else AT_ONCE)
    await _steady(sandbox, spec, copy, rounds=1 if smoke else 5, smoke=smoke)


async def _starts(sandbox: BubblewrapSandbox, spec: SandboxSpec, rounds: int) -> None:
    bubblewrap = shutil.which("bwrap") or "bwrap"
    timed: dict[str, Timed] = {
        "ours, all layers": lambda: _one(sandbox, spec),
        "bubblewrap alone": lambda: _plain(bubblewrap, "--ro-bind", "/", "/", "--unshare-all", "true"),
        "plain process": lambda: _plain("true"),
    }
    if (runsc := shutil.which("runsc")) is not None:
        timed["gVisor, runsc do"] = lambda: _plain(runsc, "--network=none", "--rootless", "do", "true")
    times: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, take in timed.items():
            times[name].append(await take())
    medians = {name: statistics.median(values) * 1000 for name, values in times.items()}
    for name, milliseconds in medians.items():
        print(f"{name:18} {milliseconds:6.1f} ms  (median of {rounds})")
    ours = medians["ours, all layers"]
    print(
        f"ratio to bubblewrap alone {ours / medians['bubblewrap alone']:.1f}, to a plain process "
        f"{ours / medians['plain process']:.1f}; target {TARGET_MS} ms: {'met' if ours <= TARGET_MS else 'MISSED'}"
    )


async def _one(sandbox: BubblewrapSandbox, spec: SandboxSpec) -> float:
    start = time.perf_counter()
    process = await sandbox.start(spec)
    status = await process.wait()
    took = time.perf_counter() - start
    if process.listener is not None:
        process.listener.close()
    if status != 0:
        raise RuntimeError(f"the program ended with {status}: {(await process.stderr.read()).decode()}")
    return took


async def _plain(*command: str) -> float:
    start = time.perf_counter()
    await asyncio.to_thread(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


async def _many(sandbox: BubblewrapSandbox, spec: SandboxSpec, count: int) -> None:
    start = time.perf_counter()
    results = await asyncio.gather(*(_one(sandbox, spec) for _ in range(count)), return_exceptions=True)
    took = time.perf_counter() - start
    failures = [result for result in results if isinstance(result, BaseException)]
    print(
        f"{count} at once: {took:.2f} s, {took / count * 1000:.1f} ms each, {len(failures)} failed"
        f"{f', the first: {failures[0]}' if failures else ''}; target no failure: {'MISSED' if failures else 'met'}"
    )


async def _steady(sandbox: BubblewrapSandbox, spec: SandboxSpec, copy: Path, rounds: int, *, smoke: bool) -> None:
    """The same program inside and outside, in turns, in the same folder."""
    script = WORK.format(spawns=20 if smoke else 400, files=50 if smoke else 4_000, hashes=200 if smoke else 40_000)
    words = (str(PYTHON), "-I", "-S", "-c", script)
    inside: list[list[float]] = []
    outside: list[list[float]] = []
    for _ in range(rounds):
        process = await sandbox.start(replace(spec, argv=words))
        if await process.wait() != 0:
            raise RuntimeError((await process.stderr.read()).decode())
        inside.append([float(word) for word in (await process.stdout.read()).split()])
        if process.listener is not None:
            process.listener.close()
        done = await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True, cwd=copy)
        outside.append([float(word) for word in done.stdout.split()])
    totals = statistics.median(sum(each) for each in inside), statistics.median(sum(each) for each in outside)
    for index, part in enumerate(PARTS):
        ratio = statistics.median(e[index] for e in inside) / statistics.median(e[index] for e in outside)
        print(f"{part:18} {100 * (ratio - 1):+6.1f} %")
    overhead = 100 * (totals[0] / totals[1] - 1)
    met = "met" if overhead <= OVERHEAD_PERCENT else "MISSED"
    print(f"{'all of it':18} {overhead:+6.1f} %; target {OVERHEAD_PERCENT} %: {met}")
