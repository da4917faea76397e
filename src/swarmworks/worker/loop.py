"""The worker's life: registered under a lease of its own, it takes work, runs it, and says what became of it.

Fail-stop: a worker that could not renew its lease for a whole TTL has been given up by the control plane, so it ends its
sessions, keeps what they wrote, and leaves. Sessions and computing work are asked for separately, so that a full house of
one never keeps the other waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from swarmworks.base.concurrency import end_all
from swarmworks.base.errors import ControlPlaneUnavailableError, FenceLostError, SwarmworksError, UnavailableError
from swarmworks.base.ids import MessageId, WorkId
from swarmworks.domain.lease import Capacity, WorkKind
from swarmworks.domain.session import SessionOutcome
from swarmworks.wire.api import FinishWork, LeaseWork, PlaneAddress, RegisteredWorker, RegisterWorker, RenewWorker
from swarmworks.wire.work import AnyResult, AnyWork, SessionWork
from swarmworks.worker.context import WorkerContext
from swarmworks.worker.executor import Executor
from swarmworks.worker.tidying import Tidying

log = logging.getLogger(__name__)

RENEWALS_PER_TTL = 4
IDLE_RENEWALS_PER_TTL = 3
"""Of a worker that holds nothing, until it takes something."""
RENEWAL_S = 0.75
IDLE_RENEWAL_S = 1.0
"""At the longest, however long the lease is: sessions hear by it that they are to end, and what people say to them."""
IDLE_PATIENCE_S = 6.0
"""So long it waits for an answer: there is nothing that another could be given meanwhile."""
POLL_S = 20.0
FINISH_TRIES = 60
PAUSE_S = 0.5
LEAST_RENEWAL_S = 0.1
COMPUTING = (WorkKind.BUILD, WorkKind.GATES, WorkKind.DELIVERY, WorkKind.REVIEW)


@dataclass
class _Held:
    work: AnyWork
    task: asyncio.Task[None]


class WorkerLoop:
    """`computing`: what is taken beside sessions. `run` returns when told to stop (everything is given back) and raises
    FenceLostError when the lease was lost.
    """

    def __init__(
        self,
        context: WorkerContext,
        executor: Executor,
        registered: RegisteredWorker,
        capacity: Capacity,
        computing: Sequence[WorkKind] = COMPUTING,
    ) -> None:
        self._context = context
        self._client = context.client
        self._executor = executor
        self._me = registered
        self._capacity = capacity
        self._computing = computing
        self._held: dict[WorkId, _Held] = {}
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._given_up = False
        self._heard: tuple[MessageId, ...] = ()
        self._tidying = Tidying(context)

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        renewing = asyncio.create_task(self._renew())
        taking = [asyncio.create_task(self._lease(kinds)) for kinds in ((WorkKind.SESSION,), self._computing)]
        tidying = asyncio.create_task(self._tidying.chore().run())
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([renewing, *taking, stop], return_when=asyncio.FIRST_COMPLETED)
            lost = [task for task in (renewing, *taking) if task.done()]
            await end_all([*(task for task in taking if not task.done()), tidying, stop])
            if lost:
                self._given_up = True
                await self._end_everything(SessionOutcome.LOST, "the worker lost its lease")
                lost[0].result()
            await self._end_everything(SessionOutcome.KILLED, "the worker is stopping")
        finally:
            await end_all([renewing, *taking, tidying, stop, *(held.task for held in self._held.values())])
        await self._tidying.try_once()
        with contextlib.suppress(SwarmworksError):
            await self._client.remove_worker(self._me.worker_id, RenewWorker(fence=self._me.fence, holding=()))

    async def _renew(self) -> None:
        """Raises when the lease is lost, or may be: nothing was heard for a whole TTL."""
        clock = self._context.clock
        renewed = clock.monotonic()
        while True:
            self._taken.clear()
            holding, calm = tuple(self._held), not self._held
            try:
                answer = await self._client.renew_worker(
                    self._me.worker_id,
                    RenewWorker(fence=self._me.fence, holding=holding),
                    heard=self._heard,
                    timeout_s=max(self._least_s(), self._me.ttl_s - (clock.monotonic() - renewed)),
                )
                renewed = clock.monotonic()
                self._context.learn(answer.planes)
                for work_id in answer.lost:
                    self._end(work_id, SessionOutcome.LOST, "somebody else holds it")
                for work_id, reason in answer.stop.items():
                    self._end(work_id, SessionOutcome.KILLED, f"the swarm is stopping: {reason}")
                for work_id, reason in answer.limited.items():
                    self._end(work_id, SessionOutcome.STOPPED, reason)
                for work_id, texts in answer.say.items():
                    self._executor.say(work_id, texts)
                for work_id, texts in answer.tell.items():
                    self._executor.tell(work_id, texts)
                for work_id, reason in answer.hand_over.items():
                    self._executor.hand_over(work_id, reason)
                self._heard = answer.words
            except UnavailableError as error:
                if clock.monotonic() - renewed >= self._patience_s(error):
                    raise
                calm = False
            await self._until_next_renewal(calm=calm)

    def _patience_s(self, error: UnavailableError) -> float:
        """Where no control plane is left, nobody would end a worker that has nothing to lose."""
        if self._held:
            return self._me.ttl_s
        gone = isinstance(error, ControlPlaneUnavailableError)
        return IDLE_PATIENCE_S if gone else max(self._me.ttl_s, IDLE_PATIENCE_S)

    def _least_s(self) -> float:
        return LEAST_RENEWAL_S if self._held else self._me.ttl_s / RENEWALS_PER_TTL

    async def _until_next_renewal(self, *, calm: bool) -> None:
        """Never sooner than usual: work whose answer is on its way is given back after so many renewals that do not name it."""
        usual_s = min(self._me.ttl_s / RENEWALS_PER_TTL, RENEWAL_S)
        await asyncio.sleep(usual_s)
        if calm:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._me.ttl_s / IDLE_RENEWALS_PER_TTL, IDLE_RENEWAL_S) - usual_s):
                    await self._taken.wait()

    async def _lease(self, kinds: Sequence[WorkKind]) -> None:
        """Takes work of `kinds` as long as there is room. Errors of the network are waited out; a lost fence ends it."""
        while True:
            self._changed.clear()
            free = self._free()
            room = free.agents if WorkKind.SESSION in kinds else free.cpu_slots
            if room <= 0:
                await self._changed.wait()
                continue
            try:
                answer = await self._client.lease(
                    self._me.worker_id, LeaseWork(fence=self._me.fence, free=free, kinds=tuple(kinds), wait_s=POLL_S)
                )
            except FenceLostError:
                raise
            except SwarmworksError as error:  # whatever it is, it must not cost the sessions that run
                log.warning("no work could be leased: %s", error)
                await asyncio.sleep(PAUSE_S)
                continue
            for work in answer.work:
                task = asyncio.create_task(self._do(work))
                self._held[work.work_id] = _Held(work, task)
                self._taken.set()

    def _free(self) -> Capacity:
        free = self._capacity
        for held in self._held.values():
            free = free.minus(held.work.need)
        return free

    async def _do(self, work: AnyWork) -> None:
        try:
            result = await self._executor.run(work, self._me)
            await self._finish(work, result)
        except FenceLostError as error:
            log.info("%s %s went to somebody else: %s", work.kind, work.work_id, error)
        except SwarmworksError as error:
            log.warning("%s %s could not be finished: %s", work.kind, work.work_id, error)
        except Exception:
            log.exception("%s %s met an error of ours", work.kind, work.work_id)
        finally:
            self._held.pop(work.work_id, None)
            self._changed.set()

    async def _finish(self, work: AnyWork, result: AnyResult) -> None:
        """Said until it is heard: a control plane that restarts must not cost a finished session."""
        body = FinishWork(worker_id=self._me.worker_id, worker_fence=self._me.fence, fence=work.fence, result=result)
        for attempt in range(FINISH_TRIES):
            try:
                await self._client.finish(work.work_id, body, heard=self._heard)
            except UnavailableError:
                if self._given_up or attempt == FINISH_TRIES - 1:
                    raise
                await asyncio.sleep(PAUSE_S)
            else:
                return

    def _end(self, work_id: WorkId, outcome: SessionOutcome, reason: str) -> None:
        self._executor.stop(work_id, outcome, reason)

    async def _end_everything(self, outcome: SessionOutcome, reason: str) -> None:
        """Sessions end and keep their work; gate runs and builds are dropped: another worker runs them again."""
        running: list[Coroutine[Any, Any, None]] = []
        for work_id, held in list(self._held.items()):
            if isinstance(held.work, SessionWork):
                self._end(work_id, outcome, reason)
            else:
                held.task.cancel()
            running.append(_settled(held.task))
        await asyncio.gather(*running)


async def _settled(task: asyncio.Task[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def register(context: WorkerContext, name: str, capacity: Capacity) -> RegisteredWorker:
    """At a control plane of those that are known; afterwards all that live are."""
    registered = await context.client.register_worker(RegisterWorker(name=name, capacity=capacity))
    alone = PlaneAddress(api_url=context.client.url, gateway_url=f"http://127.0.0.1:{registered.gateway_port}")
    context.learn(registered.planes or (alone,))
    return registered
