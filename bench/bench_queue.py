"""Merge queue policies in virtual time, run by one executor on the same seeds: ours beside serial, bors-like, batch-of-five, Zuul-like
and GitHub-like ones, and the least that gate runs can tell.

The floor: to find out which of many changes are bad, each with probability p, takes H(p) yes-or-no answers a change, so H(p)/(1-p)
for each that lands. Every policy may use it, and none can be below.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

from bench.queues import rivals
from bench.queues.simulation import Outcome, Setting, Simulation
from swarmworks.policy.queueing import plan

POLICIES = {
    "ours": plan,
    "serial": rivals.serial,
    "bors-like": rivals.bors,
    "batch of five": rivals.batch_of_five,
    "Zuul-like": rivals.zuul,
    "GitHub-like": rivals.github,
}
SETTINGS = ((12, 4), (50, 4), (200, 8))
GOAL_TIMES = 2.0


def run(*, smoke: bool) -> None:
    seeds, hours = ((1,), 3.0) if smoke else ((1, 2, 3), 12.0)
    for agents, places in SETTINGS:
        setting = Setting(agents, places, hours=hours, warm_up_hours=hours / 6)
        offered = agents * 60 / setting.session_min * (1 - setting.bad)
        floor = least_runs(setting.bad)
        could = min(offered, places * 60 / setting.gate_min / floor)
        print(
            f"  {agents} agents, {places} places: {offered:.0f} good changes/h offered, the floor allows {could:.0f}/h ({floor:.2f} runs each)"
        )
        found = {
            name: [Simulation(replace(setting, seed=seed), policy).run() for seed in seeds]
            for name, policy in POLICIES.items()
        }
        assert not any(outcome.bad_landed for outcomes in found.values() for outcome in outcomes)
        rates = {name: statistics.mean(one.per_hour(setting) for one in outcomes) for name, outcomes in found.items()}
        best = max(rate for name, rate in rates.items() if name != "ours")
        for name, outcomes in found.items():
            print(f"    {name:<14} {rates[name]:6.1f}/h landed   {_told(outcomes)}")
        print(
            f"    ours / best other: {rates['ours'] / best:.2f}   ours / floor: {rates['ours'] / could:.2f}", flush=True
        )
    print(f"  goal: {GOAL_TIMES:.0f} x the best other at 200 agents and 8 places")


def least_runs(bad: float) -> float:
    return -(bad * math.log2(bad) + (1 - bad) * math.log2(1 - bad)) / (1 - bad)


def _told(outcomes: list[Outcome]) -> str:
    runs = sum(one.runs for one in outcomes) / max(1, sum(one.landed for one in outcomes))
    wait = statistics.mean(one.median_wait_min for one in outcomes)
    wronged = sum(one.wronged for one in outcomes)
    left = statistics.mean(one.left for one in outcomes)
    return f"{runs:5.2f} runs each   median wait {wait:6.1f} min   {wronged:3} good ones turned down   {left:5.0f} left waiting"
