"""Work in progress: saved every few minutes of virtual time, told once for each new state, and never a reason to end anybody."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.base.errors import GitError
from swarmworks.domain.agent import Agent
from swarmworks.domain.plan import PlannedTask
from swarmworks.git.clones import SharedClones
from swarmworks.git.hub import BareHub
from swarmworks.worker.saving import Saving
from swarmworks.worker.transport import SameHub
from tests.scenario.harness import repository, task

REF = "refs/swarm/work/swm_1/t/3"
EVERY_S = 180.0


@dataclass(frozen=True)
class Work:
    swarm_id: str = "swm_1"
    base: str = "b" * 40
    session_id: str = "ses_1"
    fence: int = 3
    task: PlannedTask = field(default_factory=lambda: task("t"))
    agent: Agent = field(default_factory=lambda: Agent("testing/ada", "ada", "api", frozenset()))


class VirtualSleep:
    """Time passes when the test says so: `pass_` lets one sleep end, and waits until the next one begins."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._asleep = asyncio.Event()
        self._wake = asyncio.Event()
        self.lengths: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.lengths.append(seconds)
        self._asleep.set()
        await self._wake.wait()
        self._wake.clear()
        self._clock.advance(seconds)

    async def pass_(self) -> None:
        await self._asleep.wait()
        self._asleep.clear()
        self._wake.set()
        await self._asleep.wait()


@pytest.fixture
def hub(tmp_path):
    return BareHub.open_or_create(tmp_path / "hub.git")


@pytest.fixture
def copies(hub, tmp_path):
    return SharedClones(hub.path, tmp_path / "copies", None)


@pytest.fixture
def copy(hub, copies, tmp_path):
    base = repository(tmp_path / "repo", {"a.txt": "one\n"})
    hub.import_commit(tmp_path / "repo", base)
    return copies.create("t-3", base, REF)


@contextlib.asynccontextmanager
async def saving(copies, copy):
    clock = ManualClock()
    sleep, told = VirtualSleep(clock), []
    running = asyncio.create_task(
        Saving(copies, copy, Work(), clock, SameHub(), sleep).now_and_then(EVERY_S, told.append)
    )
    yield sleep, told
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


class Transport(SameHub):
    """Of a hub elsewhere, as `answer` has it."""

    def __init__(self, answer):
        self.pushed, self._answer = [], answer

    async def push(self, work, commit):
        self.pushed.append(commit)
        await self._answer()


async def _heard():
    return None


async def _away():
    raise GitError("no space left")


async def _silent():
    await asyncio.Event().wait()


async def test_at_last_it_is_kept_where_the_next_attempt_finds_it(copies, copy, hub):
    transport = Transport(_heard)
    mine = Saving(copies, copy, Work(), ManualClock(), transport)
    (copy.path / "a.txt").write_text("two\n")
    assert await mine.keep_at_last(pushed=True) is None
    assert transport.pushed == [mine.kept] == [hub.resolve(REF)]
    assert hub.read_file(mine.kept, "a.txt") == b"two\n"


@pytest.mark.parametrize("answer", [_away, _silent])
async def test_a_hub_elsewhere_that_does_not_answer_is_not_waited_for_for_ever(copies, copy, hub, monkeypatch, answer):
    mine = Saving(copies, copy, Work(), ManualClock(), Transport(_heard))
    (copy.path / "a.txt").write_text("two\n")
    early = await mine.keep()
    mine._transport = Transport(answer)
    monkeypatch.setattr("swarmworks.worker.saving.LAST_PUSH_S", 0.2)
    (copy.path / "a.txt").write_text("three\n")
    assert Saving(copies, copy, Work(), ManualClock(), Transport(answer)).kept == Work().base
    error = await mine.keep_at_last(pushed=True)
    assert isinstance(error, GitError if answer is _away else TimeoutError)
    assert mine.kept == early, "what is elsewhere is what counts"
    assert hub.read_file(hub.resolve(REF), "a.txt") == b"three\n", "on this machine nothing is lost"


async def test_what_somebody_else_has_by_now_is_kept_on_this_machine_alone(copies, copy, hub):
    transport = Transport(_silent)
    mine = Saving(copies, copy, Work(), ManualClock(), transport)
    (copy.path / "a.txt").write_text("two\n")
    assert await mine.keep_at_last(pushed=False) is None
    assert (mine.kept, transport.pushed) == (hub.resolve(REF), [])


async def test_every_few_minutes_what_is_new_is_on_the_sessions_own_ref(copies, copy, hub):
    async with saving(copies, copy) as (sleep, told):
        await sleep.pass_()
        assert told == []
        assert hub.resolve(REF) == copy.commit
        (copy.path / "b.txt").write_text("new\n")
        await sleep.pass_()
        assert [one.commit for one in told] == [hub.resolve(REF)]
        assert hub.read_file(REF, "b.txt") == b"new\n"
        await sleep.pass_()
        assert len(told) == 1
        (copy.path / "b.txt").write_text("newer\n")
        await sleep.pass_()
        assert [hub.read_file(one.commit, "b.txt") for one in told] == [b"new\n", b"newer\n"]
        assert set(sleep.lengths) == {EVERY_S}


async def test_what_cannot_be_saved_now_is_saved_the_next_time(copies, copy, hub, monkeypatch):
    (copy.path / "b.txt").write_text("new\n")
    async with saving(copies, copy) as (sleep, told):
        with monkeypatch.context() as patch:
            patch.setattr("swarmworks.git.clones.set_ref", _no_space)
            await sleep.pass_()
        assert told == []
        await sleep.pass_()
        assert [one.commit for one in told] == [hub.resolve(REF)]


def _no_space(*_arguments):
    raise GitError("No space left on device")
