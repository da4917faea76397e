"""Who runs when: in virtual time, with commands that end when the test says so."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.worker.gates.turns import QUICK_S, Turns

SUITE, LINT, TYPES = "pytest", "ruff check", "mypy"


class Yard:
    def __init__(self, places: int = 2) -> None:
        self.clock = ManualClock()
        self.running: list[str] = []
        self._turns = Turns(places, self.clock.monotonic)
        self._ends: list[tuple[str, asyncio.Event]] = []
        self._group: asyncio.TaskGroup

    @asynccontextmanager
    async def open(self):
        async with asyncio.TaskGroup() as self._group:
            yield
            while self._ends:
                await self.end(self._ends[0][0])

    async def begin(self, *commands: str) -> None:
        for command in commands:
            self._group.create_task(self._run(command))
            await _settled()

    async def end(self, command: str, after_s: float = 0.0) -> None:
        self.clock.advance(after_s)
        found = next(each for each in self._ends if each[0] == command)
        self._ends.remove(found)
        found[1].set()
        await _settled()

    async def once(self, command: str, took_s: float) -> None:
        await self.begin(command)
        await self.end(command, took_s)

    async def _run(self, command: str) -> None:
        async with self._turns.turn(command):
            self.running.append(command)
            ends = asyncio.Event()
            self._ends.append((command, ends))
            await ends.wait()
            self.running.remove(command)


async def _settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_so_many_run_at_once_in_the_order_in_which_they_came():
    yard = Yard()
    async with yard.open():
        await yard.begin("a", "b", "c", "d")
        assert yard.running == ["a", "b"]
        await yard.end("b")
        assert yard.running == ["a", "c"]
        await yard.end("a")
        assert yard.running == ["c", "d"]


async def test_what_is_known_to_be_quick_does_not_wait_for_suites():
    yard = Yard()
    async with yard.open():
        await yard.once(LINT, 1.0)
        await yard.begin(SUITE, SUITE, LINT)
        assert yard.running == [SUITE, SUITE, LINT]


async def test_there_is_one_place_more_and_no_second_one():
    yard = Yard()
    async with yard.open():
        await yard.once(LINT, 1.0)
        await yard.once(TYPES, QUICK_S)
        await yard.begin(SUITE, SUITE, LINT, TYPES)
        assert yard.running == [SUITE, SUITE, LINT]
        await yard.end(LINT)
        assert yard.running == [SUITE, SUITE, TYPES]


@pytest.mark.parametrize("took_s", [None, QUICK_S + 0.1])
async def test_what_is_slow_or_has_never_run_waits_for_a_place(took_s):
    yard = Yard()
    async with yard.open():
        if took_s is not None:
            await yard.once("other", took_s)
        await yard.begin(SUITE, SUITE, "other")
        assert yard.running == [SUITE, SUITE]


async def test_a_suite_that_failed_at_once_is_no_quick_command():
    yard = Yard()
    async with yard.open():
        await yard.once(SUITE, 60.0)
        await yard.once(SUITE, 0.2)
        await yard.begin("a", "b", SUITE)
        assert yard.running == ["a", "b"]


async def test_a_command_that_is_given_up_leaves_its_place():
    turns = Turns(1, ManualClock().monotonic)

    async def fails() -> None:
        async with turns.turn(SUITE):
            raise OSError("no sandbox")

    for _ in range(2):
        with pytest.raises(OSError, match="no sandbox"):
            await fails()
    async with asyncio.timeout(10), turns.turn("other"):
        pass
