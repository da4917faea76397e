"""kill -9 at twenty random points of a run, and `swarm resume`: everything lands, nothing twice, nothing is lost.

Five seeds by default; `SWARM_CHAOS_SEEDS=100` (or `7-9`) for a long run.
"""

from __future__ import annotations

import os
import random
import threading

import pytest

from tests.scenario.driver import CALL_NANO_USD, Site, ended, kill, twelve

pytestmark = [pytest.mark.chaos, pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(1200)]

VICTIMS = ("sandbox",) * 13 + ("worker",) * 3 + ("plane",) * 3 + ("both",)
"""Twenty blows: most hit one session; each of the others takes seconds of leases running out."""

MOST_CALLS_BETWEEN = 2
JITTER_S = 0.2
HELD = 0.8
TASKS, AGENTS = 30, 4
"""How often the model keeps everybody waiting while the blow falls, so that it hits sessions in the middle."""

LIMITS = """
[limits]
attempts = 20
"""
"""A session that is killed from outside has failed like any other, so the twenty may fall on few tasks."""


def seeds() -> list[int]:
    wanted = os.environ.get("SWARM_CHAOS_SEEDS", "5")
    first, _, last = wanted.rpartition("-")
    return list(range(int(first), int(last) + 1)) if first else list(range(int(wanted)))


def written(site: Site) -> dict[str, set[str]]:
    """What sessions have written by now: the file of its task, by session. The others were there before it."""
    own = {session: path / f"{session.partition('/')[0]}.txt" for session, path in site.copies().items()}
    return {session: {file.name} for session, file in own.items() if file.exists()}


def strike(site: Site, process, victim: str, rng: random.Random) -> bool:
    """Whether there was somebody to hit."""
    hit = {
        "plane": [process],
        "worker": site.workers(),
        "both": [process, *site.workers()],
        "sandbox": [rng.choice(found)] if (found := site.sandboxes()) else [],
    }[victim]
    for each in hit:
        kill(each)
    return bool(hit)


@pytest.mark.parametrize("seed", seeds())
async def test_whatever_is_killed_everything_lands_once_and_nothing_is_lost(build, model, seed):
    rng = random.Random(seed)
    site = build(twelve(TASKS, AGENTS), more=LIMITS, agents=AGENTS)
    process = site.start_run()
    kept: dict[str, set[str]] = {}
    blows = rng.sample(VICTIMS, len(VICTIMS))
    while blows:
        next_blow = model.calls + rng.randint(1, MOST_CALLS_BETWEEN)
        model.hold_from(next_blow)  # or a slow moment of this test would let the run land before the twentieth
        if not model.reached_or_ended(next_blow, process):
            early = ended(process)
            assert early.code == 4, (early, blows)  # the worker died too often in a row, and the run ended with it
            process = site.start("resume", "--json")
            continue
        if rng.random() >= HELD:
            model.release()
        threading.Event().wait(rng.uniform(0, JITTER_S))
        if strike(site, process, blows[-1], rng) and blows.pop() in {"plane", "both"}:
            for name, files in written(site).items():
                kept.setdefault(name, set()).update(files)
            process = site.start("resume", "--json")
        model.release()
    done = ended(process)
    if done.code == 4:
        done = site.run("resume", "--json")
    assert (done.code, done.json["state"]) == (0, "landed"), done
    assert site.left_behind() == []

    truth = await site.truth()
    assert set(truth.states().values()) == {"landed"}
    truth.assert_sound(cost_nano_usd=model.calls * CALL_NANO_USD)
    for session, files in kept.items():
        refs = [ref for left_over in (True, False) if (ref := site.kept(session, left_over=left_over))]
        assert files <= {file for ref in refs for file in truth.hub.list_files(ref)}, (session, refs)


async def test_what_a_kill_left_running_is_ended_by_a_stop_and_goes_on_with_a_resume(build, model):
    site = build(twelve(6, AGENTS), agents=AGENTS)
    process = site.start_run()
    assert model.reached_or_ended(4, process), ended(process)
    for each in (process, *site.workers()):
        kill(each)
    stopped = site.run("stop", "--json")
    assert (stopped.code, stopped.json["state"], stopped.json["reason"]) == (0, "stopped", "person"), stopped
    assert stopped.json["tasks"]["running"] == 0
    done = site.run("resume", "--json")
    assert (done.code, done.json["state"]) == (0, "landed"), done
    (await site.truth()).assert_sound(cost_nano_usd=model.calls * CALL_NANO_USD)
    assert site.left_behind() == []
