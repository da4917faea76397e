"""Runs one command in a sandbox to its end and keeps what it said: for gates and for building environments."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarmworks.domain.isolation import Property
    from swarmworks.sandbox.protocol import Sandbox, SandboxedProcess, SandboxSpec

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
KEEP_BYTES = 4 << 20
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Ran:
    """`stdout` and `stderr` are the first KEEP_BYTES of each; `cut` says that one of them was longer.
    `exceeded`: the limit of the sandbox it was ended for; `hindered`: what of the machine's; empty when it was not.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    duration_s: float
    timed_out: bool = False
    cut: bool = False
    exceeded: str = ""
    hindered: str = ""
    held: frozenset[Property] = frozenset()

    def text(self) -> str:
        joined = b"\n".join(part for part in (self.stdout, self.stderr) if part)
        return joined.decode("utf-8", "replace")


async def run_sandboxed(sandbox: Sandbox, spec: SandboxSpec, *, timeout_s: float) -> Ran:
    """Raises SandboxUnavailableError as `Sandbox.start` does. After `timeout_s` the whole process tree is ended."""
    started = time.monotonic()
    process = await sandbox.start(spec)
    try:
        process.stdin.close()
        readers = asyncio.gather(_drain(process.stdout), _drain(process.stderr))
        timed_out = await _ended_late(process, timeout_s)
        exit_code = await process.wait()
        (stdout, out_bytes), (stderr, err_bytes) = await readers
    finally:
        process.kill()
        await process.wait()
    longest = max(out_bytes, err_bytes)
    return Ran(
        exit_code=exit_code,
        stdout=stdout,
        stderr=stderr,
        duration_s=time.monotonic() - started,
        timed_out=timed_out,
        cut=longest > KEEP_BYTES,
        exceeded=process.exceeded,
        hindered=process.hindered,
        held=process.held,
    )


async def _ended_late(process: SandboxedProcess, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        process.kill()
        return True
    return False


async def _drain(stream: asyncio.StreamReader) -> tuple[bytes, int]:
    kept: list[bytes] = []
    held = total = 0
    while chunk := await stream.read(_CHUNK):
        total += len(chunk)
        if held < KEEP_BYTES:
            kept.append(chunk[: KEEP_BYTES - held])
            held += len(kept[-1])
    return b"".join(kept), total
