"""A worker whose control plane goes away: its lease is in the database, so it goes on at another."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from swarmworks.base.clock import ManualClock, SystemClock
from swarmworks.base.errors import ControlPlaneUnavailableError, StoreUnavailableError, UnavailableError
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.lease import Capacity
from swarmworks.domain.session import SessionOutcome
from swarmworks.wire.api import RegisteredWorker
from swarmworks.wire.work import ReviewResult
from swarmworks.worker import loop as worker_loop
from swarmworks.worker.context import WorkerContext
from swarmworks.worker.loop import WorkerLoop, register
from tests.client.fake_plane import FakePlane
from tests.worker.test_reviewing import work

ROOM = Capacity(agents=1, cpu_slots=1, memory_bytes=1 << 30)
TTL_S = 3.0


class Database:
    """What the control planes share: who is registered, and one piece of work, given out once."""

    def __init__(self) -> None:
        self.living: list[FakePlane] = []
        self.work = [work().model_dump(mode="json")]
        self.ttl_s = TTL_S
        self.come = asyncio.Event()
        self.come.set()
        self.holding: list[tuple[FakePlane, list[str]]] = []

    def serve(self, plane: FakePlane) -> None:
        self.living.append(plane)

        async def answer(path, body):
            what = path.rpartition("/")[2]
            if what == "lease":
                await self.come.wait()
                if self.work and "session" not in body["kinds"]:
                    return 200, {"work": [self.work.pop()]}
                await asyncio.Event().wait()
            if what == "renew":
                self.holding.append((plane, body["holding"]))
                return 200, {"planes": self.planes()}
            if what == "workers":
                planes = self.planes()
                more = {"ttl_s": self.ttl_s, "hub": "", "gateway_port": 1, "planes": planes}
                return 200, {"worker_id": "wkr_1", "fence": 1, **more}
            return 200, None

        plane.answer = answer

    def planes(self):
        return [{"api_url": one.url, "gateway_url": one.url} for one in self.living]


class Executor:
    """Work goes on until the test lets it end."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.let_end = asyncio.Event()
        self.cancelled = False
        self.said: list[str] = []

    def say(self, _work_id, texts) -> None:
        self.said += texts

    async def run(self, _work, _me):
        self.begun.set()
        try:
            await self.let_end.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return ReviewResult(verdict="pass", summary="fine")

    def stop(self, _work_id, outcome: SessionOutcome, _reason) -> None:
        raise AssertionError(outcome)


@pytest.fixture
async def planes():
    database = Database()
    async with FakePlane() as one, FakePlane() as two:
        for plane in (one, two):
            database.serve(plane)
        yield SimpleNamespace(one=one, two=two, database=database)


@pytest.fixture
async def worker(planes):
    """Knows the first control plane only, and holds work."""
    async with ControlPlaneClient(planes.one.url, "token") as client:
        copies = SimpleNamespace(retired=list)
        context = WorkerContext(client, None, copies, None, None, SystemClock(), {})  # type: ignore[arg-type]
        executor = Executor()
        registered = await register(context, "w", ROOM)
        loop = WorkerLoop(context, executor, registered, ROOM)  # type: ignore[arg-type]
        running = asyncio.create_task(loop.run())
        await executor.begun.wait()
        yield SimpleNamespace(context=context, loop=loop, executor=executor, running=running)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def renewed_at(planes, plane, *, holding):
    """Twice: the answer to the first has been heard then."""

    def there(_):
        return [at for at, held in planes.database.holding if held == holding].count(plane) > 1

    await plane.until(there)


async def test_it_renews_at_another_and_keeps_what_it_holds_when_its_control_plane_is_killed(planes, worker):
    await renewed_at(planes, planes.one, holding=["wrk_1"])
    planes.database.living.remove(planes.one)
    await planes.one.end()
    await renewed_at(planes, planes.two, holding=["wrk_1"])
    await planes.two.until(lambda plane: any(path.endswith("/lease") for path in plane.paths()))
    assert worker.context.gateways.urls() == [planes.two.url]
    assert not worker.running.done()
    assert not worker.executor.cancelled


async def test_a_control_plane_that_hangs_does_not_cost_the_lease(planes, worker):
    await renewed_at(planes, planes.one, holding=["wrk_1"])
    planes.one.hanging = True
    await renewed_at(planes, planes.two, holding=["wrk_1"])
    assert worker.context.gateways.urls()[0] == planes.two.url
    assert not worker.running.done()


async def test_it_confirms_the_words_of_the_last_answer_that_came_and_those_only(planes, worker):
    """An answer that is lost confirms nothing: what it said is said again."""
    lost = 503, {"code": "unavailable", "what": "not now"}
    said, heard = iter([(), lost, ("m1",), lost, ()]), list[str]()
    before = planes.one.answer

    async def answer(path, body):
        if not path.endswith("/renew"):
            return await before(path, body)
        heard.append(planes.one.queries[-1][1]["heard"][0])
        words = next(said, ())
        return words if words is lost else (200, {"words": words, "say": {"wrk_1": words}, "planes": alone})

    planes.database.living.remove(planes.two)
    alone, planes.one.answer = planes.database.planes(), answer
    await planes.one.until(lambda _: len(heard) > 4)
    assert heard[:5] == ["", "", "", "m1", "m1"]
    assert worker.executor.said == ["m1"]


async def test_it_leaves_one_that_is_about_to_end_before_it_does(planes, worker):
    planes.database.living.remove(planes.one)
    await renewed_at(planes, planes.two, holding=["wrk_1"])
    assert worker.context.client.url == planes.two.url


async def test_what_it_did_is_told_to_another(planes, worker):
    planes.database.living.remove(planes.one)
    await planes.one.end()
    worker.executor.let_end.set()
    await planes.two.until(lambda plane: "/api/v1/work/wrk_1/finish" in plane.paths())


async def test_a_worker_with_nothing_to_lose_is_heard_soon_when_it_takes_work(planes, monkeypatch):
    monkeypatch.setattr(worker_loop, "RENEWALS_PER_TTL", 1_000_000)
    monkeypatch.setattr(worker_loop, "IDLE_RENEWAL_S", 4000.0)
    planes.database.ttl_s = 4000.0
    planes.database.come.clear()
    async with ControlPlaneClient(planes.one.url, "token") as client:
        context = WorkerContext(client, None, SimpleNamespace(retired=list), None, None, SystemClock(), {})  # type: ignore[arg-type]
        loop = WorkerLoop(context, Executor(), await register(context, "w", ROOM), ROOM)  # type: ignore[arg-type]
        running = asyncio.create_task(loop.run())
        await planes.one.until(lambda _: planes.database.holding == [(planes.one, [])])
        planes.database.come.set()
        await planes.one.until(lambda _: (planes.one, ["wrk_1"]) in planes.database.holding)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_without_any_control_plane_it_gives_up_after_its_lease(planes, worker):
    await planes.one.end()
    await planes.two.end()
    with pytest.raises(UnavailableError, match="no answer"):
        async with asyncio.timeout(20):
            await worker.running
    assert worker.executor.cancelled


async def test_a_long_lease_is_renewed_as_often_as_a_short_one(planes):
    """Or a session would hear late that it is to end."""
    planes.database.ttl_s = 4000.0
    async with ControlPlaneClient(planes.one.url, "token") as client:
        context = WorkerContext(client, None, SimpleNamespace(retired=list), None, None, SystemClock(), {})  # type: ignore[arg-type]
        loop = WorkerLoop(context, Executor(), await register(context, "w", ROOM), ROOM)  # type: ignore[arg-type]
        running = asyncio.create_task(loop.run())
        await renewed_at(planes, planes.one, holding=["wrk_1"])
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("ttl_s", "error", "patience_s"),
    [
        (3.0, ControlPlaneUnavailableError("no answer"), 6.0),
        (15.0, ControlPlaneUnavailableError("no answer"), 6.0),
        (15.0, StoreUnavailableError("the database is away"), 15.0),
    ],
)
async def test_a_worker_that_holds_nothing_waits_for_those_that_live_and_leaves_soon_when_there_are_none(
    monkeypatch, ttl_s, error, patience_s
):
    monkeypatch.setattr(worker_loop, "RENEWALS_PER_TTL", 1_000_000)
    clock, tries = ManualClock(), asyncio.Queue()

    async def nobody_answers(*_arguments, **_more):
        tries.put_nowait(clock.monotonic())
        raise error

    away = SimpleNamespace(renew_worker=nobody_answers, lease=lambda *_: asyncio.Event().wait())
    context = WorkerContext(away, None, SimpleNamespace(retired=list), None, None, clock, {})  # type: ignore[arg-type]
    me = RegisteredWorker(worker_id="wkr_1", fence=1, ttl_s=ttl_s, hub="", gateway_port=1)
    running = asyncio.create_task(WorkerLoop(context, Executor(), me, ROOM).run())  # type: ignore[arg-type]
    await tries.get()
    clock.advance(patience_s - 1.0)
    while await tries.get() < patience_s - 1.0:
        continue
    await tries.get()
    assert not running.done()
    clock.advance(1.0)
    with pytest.raises(UnavailableError):
        await running
