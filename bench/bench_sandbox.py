"""What a sandbox costs beside bubblewrap alone, gVisor and the npm sandbox-runtime where they are installed, and a plain process, in
turns: to start; a hundred at once; and while it runs, on spawning processes, files and computing.

gVisor: `apt-get install runsc`. The other: `npm install --prefix .bench/srt @anthropic-ai/sandbox-runtime`, `apt-get install socat ripgrep`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
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

SRT = Path(".bench/srt/node_modules/.bin/srt")
SRT_SETTINGS = {"network": {"allowedDomains": [], "deniedDomains": []}}
SRT_FILES = {"denyRead": [], "denyWrite": []}
OURS, PLAIN, BUBBLEWRAP = "ours, all layers", "plain process", "bubblewrap alone"

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
    beside = directory / "beside"
    beside.mkdir()
    others = _others(beside)
    await _starts(sandbox, spec, others, rounds=3 if smoke else 40)
    await _many(sandbox, spec, 4 if smoke else AT_ONCE)
    await _steady(sandbox, spec, others, beside, rounds=1 if smoke else 5, smoke=smoke)


async def _starts(
    sandbox: BubblewrapSandbox, spec: SandboxSpec, others: Mapping[str, tuple[str, ...]], rounds: int
) -> None:
    timed: dict[str, Timed] = {OURS: lambda: _one(sandbox, spec)}
    for name, words in others.items():
        timed[name] = partial(_plain, *words, "true")
    times: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, take in timed.items():
            times[name].append(await take())
    medians = {name: statistics.median(values) * 1000 for name, values in times.items()}
    for name, milliseconds in medians.items():
        print(f"{name:20} {milliseconds:6.1f} ms  (median of {rounds})")
    ours = medians[OURS]
    print(
        f"ratio to bubblewrap alone {ours / medians[BUBBLEWRAP]:.1f}, to a plain process "
        f"{ours / medians[PLAIN]:.1f}; target {TARGET_MS} ms: {'met' if ours <= TARGET_MS else 'MISSED'}"
    )


def _others(place: Path) -> dict[str, tuple[str, ...]]:
    """The words before a command, by what runs it then: `place` can be written to."""
    bubblewrap = shutil.which("bwrap") or "bwrap"
    found: dict[str, tuple[str, ...]] = {
        BUBBLEWRAP: (bubblewrap, "--bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all"),
        PLAIN: (),
    }
    if (runsc := shutil.which("runsc")) is not None:
        found["gVisor, runsc do"] = (runsc, "--network=none", "--rootless", "do")
    srt = shutil.which("srt") or (str(SRT.absolute()) if SRT.exists() else None)
    if srt is not None:
        settings = place / "srt.json"
        settings.write_text(json.dumps(SRT_SETTINGS | {"filesystem": SRT_FILES | {"allowWrite": [str(place)]}}))
        found["npm sandbox-runtime"] = (srt, "--settings", str(settings))
    return found


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
    await asyncio.to_thread(subprocess.run, command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
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


async def _steady(
    sandbox: BubblewrapSandbox,
    spec: SandboxSpec,
    others: Mapping[str, tuple[str, ...]],
    beside: Path,
    rounds: int,
    *,
    smoke: bool,
) -> None:
    """The same program in each, in turns, in folders beside each other."""
    script = WORK.format(spawns=20 if smoke else 400, files=50 if smoke else 4_000, hashes=200 if smoke else 40_000)
    (beside / "work.py").write_text(script)
    python = (str(PYTHON), "-I", "-S")
    took: dict[str, list[list[float]]] = {name: [] for name in (OURS, *others)}
    for _ in range(rounds):
        process = await sandbox.start(replace(spec, argv=(*python, "-c", script)))
        if await process.wait() != 0:
            raise RuntimeError((await process.stderr.read()).decode())
        took[OURS].append(_seconds(await process.stdout.read()))
        if process.listener is not None:
            process.listener.close()
        for name, before in others.items():
            command = [*before, *python, str(beside / "work.py")]
            done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, cwd=beside)
            took[name].append(_seconds(done.stdout))
    for name in [name for name in took if name != PLAIN]:
        parts = [f"{part} {_percent(took, name, index):+.1f} %" for index, part in enumerate(PARTS)]
        print(f"{name:20} {_percent(took, name):+6.1f} % in all: {', '.join(parts)}")
    overhead = _percent(took, OURS)
    print(f"target {OVERHEAD_PERCENT} %: {'met' if overhead <= OVERHEAD_PERCENT else 'MISSED'}")


def _seconds(printed: bytes) -> list[float]:
    return [float(word) for word in printed.split()]


def _percent(took: dict[str, list[list[float]]], name: str, part: int | None = None) -> float:
    """More than a plain process takes, by the medians."""
    inside, outside = (
        statistics.median(sum(each) if part is None else each[part] for each in took[one]) for one in (name, PLAIN)
    )
    return 100 * (inside / outside - 1)
