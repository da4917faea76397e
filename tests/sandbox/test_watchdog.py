"""Who watches a sandbox has threads of its own, misses a look now and then, and never lets go on what it cannot watch."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from swarmworks.sandbox import watchdog
from swarmworks.sandbox.protocol import ProcessLimits
from swarmworks.sandbox.watchdog import Breach, Watchdog

NO_DESCRIPTOR = OSError(errno.EMFILE, "Too many open files")
NO_THREAD = RuntimeError("can't start new thread")


@pytest.fixture
def looking(monkeypatch):
    """A watchdog that finds what the test gives, look for look, and then a limit exceeded."""
    monkeypatch.setattr(watchdog, "LOOK_S", 0.0)

    def made(*found):
        left = [*found, Breach("memory limit of 1 MB exceeded")]

        def look(_self):
            one = left.pop(0)
            if isinstance(one, Exception):
                raise one
            return one

        monkeypatch.setattr(Watchdog, "_look", look)
        return Watchdog(os.getpid(), ProcessLimits(), [])

    return made


async def found_by(watching: Watchdog) -> Breach:
    async with asyncio.timeout(20):
        return await watching.breach()


@pytest.mark.parametrize("error", [NO_DESCRIPTOR, NO_THREAD])
async def test_a_look_that_fails_for_a_moment_ends_nobody(looking, error):
    assert await found_by(looking(None, error, error, None, error)) == Breach("memory limit of 1 MB exceeded")


@pytest.mark.parametrize("error", [NO_DESCRIPTOR, NO_THREAD])
async def test_what_cannot_be_watched_any_more_is_ended_by_no_fault_of_its_own(looking, error):
    breach = await found_by(looking(*[error] * 100))
    assert breach == Breach(f"it could not be watched: {error}", of_machine=True)


async def test_it_looks_while_every_other_thread_is_busy(looking):
    loop, free = asyncio.get_running_loop(), threading.Event()
    with ThreadPoolExecutor(1) as busy:
        loop.set_default_executor(busy)
        waiting = asyncio.create_task(asyncio.to_thread(free.wait))
        try:
            assert (await found_by(looking(None, None))).reason.startswith("memory limit")
            assert not waiting.done()
        finally:
            free.set()
            await waiting


@pytest.mark.sandbox
async def test_a_program_that_cannot_be_watched_is_told_apart_from_one_that_took_too_much(playground, monkeypatch):
    def look(_self):
        raise NO_DESCRIPTOR

    monkeypatch.setattr(watchdog, "LOOK_S", 0.01)
    monkeypatch.setattr(Watchdog, "_look", look)
    async with playground.running("sleep", "600") as process:
        assert await process.wait() == 137
        assert process.exceeded == ""
        assert "Too many open files" in process.hindered
