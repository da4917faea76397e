"""Three control planes and four workers on one database, and whatever may go wrong with any of them, at random.

One short seed by default; `SWARM_CHAOS_PLANES=20` (or `7-9`) for a long run.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time

import pytest

from tests.chaos.on_postgres import Several, a_server
from tests.postgres import needs_postgres
from tests.scenario.driver import CALL_NANO_USD, ended, kill, twelve

pytestmark = [pytest.mark.chaos, pytest.mark.sandbox, pytest.mark.slow, needs_postgres, pytest.mark.timeout(1800)]

PLANES, WORKERS, AGENTS = 3, 3, 4
"""Every control plane brings a worker, of which one works at a time: four work."""
TASKS = 24
BLOWS = ("plane", "worker", "sandbox", "frozen", "restart", "snap", "cut", "clock")
CUT_S = 1.0
FROZEN_S = 4.0
"""Longer than the others wait for a control plane's beat: one that was away that long has been given up."""
CALM_S = 3.0
"""The longest wait between two blows."""
MOST_CALLS_BETWEEN = 4
"""Of the model, between two blows: eight times that is less than the tasks need, so none lands before the last blow."""
MOST_S = 900.0
BUDGET_USD = 40
LIMITS = """
[limits]
attempts = 20
"""
OVER = frozenset({"landed", "blocked", "stopped"})


def seeds() -> list[int]:
    wanted = os.environ.get("SWARM_CHAOS_PLANES", "1")
    first, _, last = wanted.rpartition("-")
    return list(range(int(first), int(last) + 1)) if first else list(range(int(wanted)))


@pytest.fixture
def several(tmp_path, model):
    with a_server() as server:
        made = Several(
            tmp_path / "site",
            model.url,
            twelve(TASKS, AGENTS),
            server,
            planes=PLANES,
            workers=WORKERS,
            more=LIMITS,
            agents=AGENTS,
        )
        yield made
        made.close()


class Blows:
    """Each hits one of those that are there, at random."""

    def __init__(self, site: Several, rng: random.Random) -> None:
        self._site, self._rng = site, rng

    def plane(self) -> None:
        kill(self._rng.choice(self._site.planes()))

    def worker(self) -> None:
        if found := self._site.workers():
            kill(self._rng.choice(found))

    def sandbox(self) -> None:
        if found := self._site.sandboxes():
            kill(self._rng.choice(found))

    def frozen(self) -> None:
        """As a machine that is suspended: nothing of it is heard, and then it goes on where it was."""
        process = self._rng.choice(self._site.planes())
        process.send_signal(signal.SIGSTOP)
        threading.Event().wait(FROZEN_S)
        process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        self._site.server.stop()
        self._site.server.start()

    def snap(self) -> None:
        self._site.cable.snap()

    def cut(self) -> None:
        self._site.cable.cut()
        threading.Event().wait(CUT_S)
        self._site.cable.mend()

    def clock(self) -> None:
        self._site.set_clocks(self._rng.choice((-3600, 3600)))


async def begun(site: Several) -> None:
    """The swarm, told to the first control plane that answers."""
    site.man()
    deadline = time.monotonic() + MOST_S
    while not (site.state / "run.json").exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    process = site.start("run", str(site.plan_file), "--json", "--budget", str(BUDGET_USD))
    store = await site.store()
    try:
        while not await store.read(lambda reader: reader.swarms()):
            assert process.poll() is None, ended(process)
            await asyncio.sleep(0.1)
    finally:
        await store.close()
    kill(process)  # who started a swarm need not stay


async def over(site: Several, timeout_s: float) -> bool:
    """Whether the swarm has ended by then. Meanwhile whoever was killed is started again."""
    store = await site.store()
    deadline = time.monotonic() + timeout_s
    try:
        while time.monotonic() < deadline:
            site.man()
            if (await store.read(lambda reader: reader.swarms()))[0].state in OVER:
                return True
            await asyncio.sleep(0.2)
    finally:
        await store.close()
    return False


@pytest.mark.parametrize("seed", seeds())
async def test_whatever_befalls_them_everything_lands_once_within_the_budget(several, model, seed):
    rng = random.Random(seed)
    blows = Blows(several, rng)
    await begun(several)
    for name in rng.sample(BLOWS, len(BLOWS)):
        model.release()
        model.hold_from(model.calls + rng.randint(1, MOST_CALLS_BETWEEN))
        assert not await over(several, rng.uniform(0, CALM_S)), (name, several.told)
        getattr(blows, name)()
    model.release()
    assert await over(several, MOST_S), several.told
    several.end()
    assert several.left_behind() == []

    truth = await several.truth()
    assert set(truth.states().values()) == {"landed"}, (truth.data("session.ended"), several.told)
    truth.assert_sound(cost_nano_usd=model.calls * CALL_NANO_USD)
    assert truth.totals.spent.nano_usd <= BUDGET_USD * 10**9
    assert all("Traceback" not in told for told in several.told), several.told
