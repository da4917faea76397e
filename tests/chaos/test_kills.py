"""kill -9 at random moments of a run, and `swarm resume`: everything lands, nothing twice, nothing is lost.

Five seeds by default; `SWARM_CHAOS_SEEDS=100` (or `7-9`) for a long run.
"""

from __future__ import annotations

import os
import random
import threading
from itertools import permutations

import pytest

from tests.scenario.driver import CALL_NANO_USD, Site, ended, kill

pytestmark = [pytest.mark.chaos, pytest.mark.sandbox, pytest.mark.slow]

VICTIMS = ("plane", "worker", "sandbox", "both")
ORDERS = list(permutations(VICTIMS, 2))
LATEST_CALL = 20
JITTER_S = 0.8
HELD = 0.5
"""How often the model keeps everybody waiting while the blow falls, so that it hits sessions in the middle."""


def seeds() -> list[int]:
    wanted = os.environ.get("SWARM_CHAOS_SEEDS", "5")
    first, _, last = wanted.rpartition("-")
    return list(range(int(first), int(last) + 1)) if first else list(range(int(wanted)))


def written(site: Site) -> dict[str, set[str]]:
    """What lies in the working copies now: files of tasks, by session."""
    return {session: {file.name for file in path.glob("t*.txt")} for session, path in site.copies().items()}


def strike(site: Site, process, victim: str, rng: random.Random) -> None:
    workers, sandboxes = site.workers(), site.sandboxes()
    if victim in {"plane", "both"}:
        kill(process)
    if victim in {"worker", "both"}:
        for worker in workers:
            kill(worker)
    if victim == "sandbox" and sandboxes:
        kill(rng.choice(sandboxes))


@pytest.mark.parametrize("seed", seeds())
async def test_whatever_is_killed_everything_lands_once_and_nothing_is_lost(build, model, seed):
    rng = random.Random(seed)
    first, second = ORDERS[seed * 5 % len(ORDERS)]
    moments = sorted(rng.sample(range(2, LATEST_CALL), 2))
    site = build()
    process = site.start_run()
    kept: dict[str, set[str]] = {}
    for victim, moment in zip((first, second), moments, strict=True):
        assert model.reached(moment), ended(process)
        if rng.random() < HELD:
            model.hold()
        threading.Event().wait(rng.uniform(0, JITTER_S))
        strike(site, process, victim, rng)
        model.release()
        if victim in {"plane", "both"}:
            for name, files in written(site).items():
                kept.setdefault(name, set()).update(files)
            process = site.start("resume", "--json")
    done = ended(process)
    assert (done.code, done.json["state"]) == (0, "landed"), (done, first, second, moments)
    assert site.left_behind() == []

    truth = await site.truth()
    assert set(truth.states().values()) == {"landed"}
    truth.assert_sound(cost_nano_usd=model.calls * CALL_NANO_USD)
    for session, files in kept.items():
        refs = [ref for left_over in (True, False) if (ref := site.kept(session, left_over=left_over))]
        assert files <= {file for ref in refs for file in truth.hub.list_files(ref)}, (session, refs)
