"""Runs a program that tells somebody: with a time limit, its output bounded, and everything it started ended with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

from swarmworks.notify.protocol import NotToldError
from swarmworks.policy.wording import plain

MOST_OUTPUT_BYTES = 16 << 10
MOST_SAID = 300
END_S = 2.0


async def run_program(
    argv: Sequence[str], environment: Mapping[str, str], *, given: bytes = b"", timeout_s: float
) -> None:
    """NotToldError when it cannot be started, takes longer than `timeout_s`, or ends with another code than 0."""
    name = os.path.basename(argv[0])  # noqa: PTH119 - a name for messages, not a path to open
    starting = asyncio.create_task(_start(argv, environment))
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _end(await starting)  # cancelled inside, asyncio would wait for the program's children
        raise
    except (OSError, ValueError) as error:
        raise NotToldError(
            f"{name} cannot be started: {error}", where=argv[0], mend="check the path and its permissions", again=False
        ) from error
    try:
        async with asyncio.timeout(timeout_s):
            said = await _talk(process, given)
            code = await process.wait()
    except TimeoutError as error:
        raise NotToldError(f"{name} did not end within {timeout_s:g} s", where=argv[0]) from error
    finally:
        await _end(process)
    if code != 0:
        raise NotToldError(f"{name} ended with code {code}{_said(said)}", where=argv[0])


async def _start(argv: Sequence[str], environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environment),
        start_new_session=True,
    )


async def _talk(process: asyncio.subprocess.Process, given: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read what it is given
        process.stdin.write(given)
        await process.stdin.drain()
    process.stdin.close()
    kept = b""
    while part := await process.stdout.read(4096):
        kept = (kept + part)[:MOST_OUTPUT_BYTES]
    return kept


async def _end(process: asyncio.subprocess.Process) -> None:
    """The whole session: a child that it left behind goes too. One that left the session may hold the pipe: it is not
    waited for.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            await process.wait()


def _said(output: bytes) -> str:
    text = plain(" ".join(output.decode(errors="replace").split()), MOST_SAID)
    return f": {text}" if text else ""
