"""Telling people, put together: the service, its channels, and the clock that wakes it for what is due later."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

from swarmworks.base.chores import Chore
from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import UnavailableError
from swarmworks.notify.outcomes import Outcome, Outcomes
from swarmworks.service.electing import Electing
from swarmworks.service.notifying.notifying import Notifying
from swarmworks.service.replicas import Replicas
from swarmworks.settings import Project
from swarmworks.store.protocol import Store
from swarmworks.wiring.channels import channels_of, rules_of

log = logging.getLogger(__name__)

IDLE_S = 60.0
FINISH_S = 5.0
SUBJECT = "telling"


class Alarm:
    """Wakes a chore once, at the earliest of the times asked for."""

    def __init__(self) -> None:
        self._chore: Chore | None = None
        self._handle: asyncio.TimerHandle | None = None

    def wakes(self, chore: Chore) -> None:
        self._chore = chore

    def __call__(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._handle is not None and self._handle.when() <= loop.time() + seconds:
            return
        self.stop()
        self._handle = loop.call_later(seconds, self._ring)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None

    def _ring(self) -> None:
        self._handle = None
        if self._chore is not None:
            self._chore.wake()


class Telling:
    """The service, begun once this replica is the one that tells: whoever takes over looks first at what was left."""

    def __init__(self, notifying: Notifying, replicas: Replicas, electing: Electing) -> None:
        self._notifying = notifying
        self._replicas = replicas
        self._electing = electing
        self._begun = False

    async def once(self) -> bool:
        if not await self._electing.elected(SUBJECT):
            return False
        await self._begin()
        return await self._notifying.once()

    async def finish(self, gave_up: asyncio.Future[str]) -> None:
        """That everything ends is told by the last replica. What cannot be told any more (a full disk) must not stand in the
        place of why everything ends.
        """
        try:
            if gave_up.done() and not self._replicas.others:
                await self._notifying.report_failure(gave_up.result())
            if not self._replicas.given_up and await self._electing.elected(SUBJECT):
                await self._begin()
                await self._notifying.finish(FINISH_S)
        except UnavailableError as error:
            log.warning("the last notices could not be sent: %s", error)

    async def _begin(self) -> None:
        if not self._begun:
            await self._notifying.begin()
            self._begun = True


async def start_telling(
    stack: AsyncExitStack,
    project: Project,
    store: Store,
    gave_up: asyncio.Future[str],
    replicas: Replicas,
    electing: Electing,
) -> Notifying:
    """Until the stack unwinds: then what is due is still sent, for a few seconds at most."""
    alarm, outcomes, rules = Alarm(), Outcomes(project.state), rules_of(project.config)
    names = {rule.name for rule in rules.channels}
    channels = [one for one in channels_of(project.config) if one.name in names]

    def note(channel: str, outcome: Outcome) -> None:
        try:
            outcomes.put(channel, outcome)
        except OSError:
            log.warning("how the channel %s did cannot be kept for swarm doctor", channel)

    notifying = Notifying(store, SystemClock(), channels, rules, project.name, alarm=alarm, note=note)
    for channel in channels:
        if (lack := channel.lacks()) is not None:
            log.warning("the notification channel %s cannot work: %s; mend: %s", channel.name, lack.what, lack.mend)
    telling = Telling(notifying, replicas, electing)
    chore = Chore("tell people", telling.once, every_s=IDLE_S)
    alarm.wakes(chore)
    electing.listen(chore.wake)
    stack.callback(alarm.stop)
    stack.push_async_callback(telling.finish, gave_up)
    for running in (chore.run(), notifying.listen()):
        task = asyncio.create_task(running)
        stack.push_async_callback(_ended, task)
    return notifying


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
