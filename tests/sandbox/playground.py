"""A working copy and short ways to run something in it, inside a sandbox, and to look at it from outside."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.sandbox.protocol import Mount, SandboxSpec

PYTHON = sys.executable


@dataclass(frozen=True)
class Outcome:
    status: int
    stdout: str
    stderr: str


class Playground:
    def __init__(self, sandbox, directory: Path) -> None:
        self.sandbox = sandbox
        self.directory = directory
        self.copy = directory / "copy"
        self.copy.mkdir()

    def spec(self, *argv: str, **changes) -> SandboxSpec:
        mounts = (Mount(self.copy, "/work", writable=True), *changes.pop("more_mounts", ()))
        return replace(SandboxSpec(argv=argv, workdir="/work", mounts=mounts), **changes)

    async def start(self, *argv: str, **changes):
        self.sandbox.own(self.copy)
        return await self.sandbox.start(self.spec(*argv, **changes))

    @contextlib.asynccontextmanager
    async def running(self, *argv: str, **changes):
        process = await self.start(*argv, **changes)
        try:
            yield process
        finally:
            process.kill()
            await process.wait()

    async def run(self, *argv: str, timeout_s: float = 20, **changes) -> Outcome:
        process = await self.start(*argv, **changes)
        process.stdin.close()
        try:
            async with asyncio.timeout(timeout_s):
                status = await process.wait()
        finally:
            process.kill()
            await process.wait()
        stdout, stderr = await process.stdout.read(), await process.stderr.read()
        return Outcome(status, stdout.decode(errors="replace"), stderr.decode(errors="replace"))

    async def shell(self, script: str, **changes) -> Outcome:
        return await self.run("/bin/sh", "-c", script, **changes)

    async def python(self, script: str, **changes) -> Outcome:
        return await self.run(*python_argv(script), more_mounts=python_mounts(Path(PYTHON)), **changes)


def python_argv(script: str) -> tuple[str, ...]:
    return (PYTHON, "-I", "-S", "-c", script)


def host_processes_with(mark: str) -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            if process.info["cmdline"] and mark in process.info["cmdline"] and process.status() != "zombie":
                found.append(process.pid)
    return found
