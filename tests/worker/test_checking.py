from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.base.errors import UnavailableError
from swarmworks.domain.gate import GateStage
from swarmworks.wire.work import BuildWork, DeliveryWork, GatesWork
from swarmworks.worker import checking
from tests.scenario.harness import configuration


class Checker(checking.Checker):
    """Its set-up fails the first time, and takes no time."""

    tried = 0

    async def _build(self, config, commit):
        self.tried += 1
        if self.tried == 1:
            raise UnavailableError("no answer from the registry")
        return "tools"


async def test_gates_wait_until_a_failed_set_up_may_be_tried_again(tmp_path, monkeypatch):
    """Three runs within a second would all hear of the same failure, and a person be asked for nothing."""
    clock = ManualClock()

    async def sleep(seconds):
        clock.advance(seconds)

    monkeypatch.setattr(checking, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))

    async def config(_swarm_id):
        return configuration()

    context = SimpleNamespace(clock=clock, config=config, hub=None)
    checker = Checker(context, tmp_path, None, 1)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await checker.environment("swarm", "commit")
    assert checker.tried == 1
    assert await checker.environment("swarm", "commit", patient=True) == "tools"
    assert clock.monotonic() == checking.FAILURE_REMEMBERED_S


@pytest.mark.parametrize(("work", "patient"), [(GatesWork, True), (BuildWork, True), (DeliveryWork, False)])
async def test_gates_wait_for_it_and_a_person_who_delivers_does_not(tmp_path, work, patient):
    asked = []

    class Asked(checking.Checker):
        async def environment(self, swarm_id, commit, *, patient=False):
            asked.append(patient)
            raise UnavailableError("no answer from the registry")

    async def config(_swarm_id):
        return configuration()

    checker = Asked(SimpleNamespace(clock=ManualClock(), config=config, hub=None), tmp_path, None, 1)
    with pytest.raises(UnavailableError):
        await checker.check(work.model_construct(swarm_id="swarm"), GateStage.CHANGE, "commit", "tree", "base")
    assert asked == [patient]


async def test_a_session_that_is_stopped_takes_no_set_up_from_those_that_wait_for_it(tmp_path):
    begun, go_on, built = asyncio.Event(), asyncio.Event(), []

    class Slow(checking.Checker):
        async def _build(self, config, commit):
            begun.set()
            await go_on.wait()
            built.append(commit)
            return "tools"

    async def config(_swarm_id):
        return configuration()

    checker = Slow(SimpleNamespace(clock=ManualClock(), config=config, hub=None), tmp_path, None, 1)
    async with asyncio.timeout(10):
        first = asyncio.create_task(checker.environment("swarm", "first"))
        await begun.wait()
        second = asyncio.create_task(checker.environment("swarm", "second"))
        first.cancel()
        await asyncio.wait([first])
        go_on.set()
        assert await second == "tools"
    assert (first.cancelled(), built) == (True, ["first"])
