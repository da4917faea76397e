"""The merge queue's planner against a small world that does its worst: faults, flakes, conflicts, people who push, crashes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from swarmworks.policy.queueing import (
    MOST_RATE,
    Plan,
    Run,
    Snapshot,
    Start,
    Verdict,
    continues,
    failure_rate,
    group_size,
    plan,
    remaining,
    standing_of,
)

MOST_STEPS = 400


class World:
    """What is true of each change, and a queue that does what the planner says. `bad` changes fail every run they are in."""

    def __init__(self, places):
        self.places, self.head, self.number = places, "h0", 0
        self.queue, self.bad, self.conflicts = [], {}, {}
        self.runs, self.under_way, self.gone = [], [], set()
        self.landed, self.rejected, self.withdrawn = [], [], []
        self.flaked, self.started = {}, 0

    def hand_in(self, *, bad, against):
        change = f"c{len(self.bad)}"
        self.bad[change], self.conflicts[change] = bad, set()
        for other in [self.queue[place % len(self.queue)] for place in against if self.queue]:
            self.conflicts[change].add(other)
            self.conflicts[other].add(change)
        self.queue.append(change)

    def finish(self, place, *, flaky):
        if not self.under_way:
            return
        run = self.under_way.pop(place % len(self.under_way))
        bad = any(self.bad[change] for change in run.changes)
        if flaky and not bad:
            for change in run.changes:
                self.flaked[change] = self.flaked.get(change, 0) + 1
        self.runs.append(replace(run, verdict=Verdict.FAILED if bad or flaky else Verdict.PASSED))

    def push(self):
        self.number += 1
        self.head = f"person{self.number}"

    def crash(self):
        self.under_way.clear()

    def withdraw(self, place):
        if self.queue:
            change = self.queue.pop(place % len(self.queue))
            self.withdrawn.append(change)
            self.gone.add(change)

    def snapshot(self):
        conflicts = {change: frozenset(self.conflicts[change] & set(self.queue)) for change in self.queue}
        runs = [run for run in self.runs if set(run.changes) & set(self.queue)] + self.under_way
        return Snapshot(self.head, tuple(self.queue), tuple(runs), self.places, 0.1, frozenset(self.gone), conflicts)

    def settle(self):
        for _ in range(MOST_STEPS):
            step = plan(self.snapshot())
            if step == Plan():
                return
            self.do(step)
        raise AssertionError("the planner never comes to rest")

    def do(self, step):
        if step.land is not None:
            self.land(step.land)
        for change, run in step.reject:
            assert run.verdict is Verdict.FAILED
            assert change in run.changes
            self.queue.remove(change)
            self.rejected.append(change)
            self.gone.add(change)
        if step.drop:
            self.under_way = [run for run in self.under_way if run.id not in step.drop]
        if step.start is not None:
            self.start(step.start)

    def land(self, run):
        assert run.verdict is Verdict.PASSED, "only a tree that passed lands"
        assert continues(run, self.head), "what lands continues the branch"
        changes = remaining(run, self.head)
        assert changes
        for change in changes:
            self.queue.remove(change)  # raises for what is not there: landed twice, or turned down
            self.landed.append(change)
            for other in self.conflicts[change] & set(self.queue):
                self.queue.remove(other)  # as a conflict with the branch, which the merge finds
                self.withdrawn.append(other)
                self.gone.add(other)
        assert not any(self.bad[change] for change in self.landed), "the branch is always green"
        self.head = run.commits[-1]

    def start(self, start):
        assert len(self.under_way) < self.places
        below = start.after
        if below is not None:
            assert any(run.id == below.id for run in self.under_way)
            assert continues(below, self.head)
        held = (*(below.changes if below else ()), *start.changes)
        assert len(set(held)) == len(held), "a change is in a candidate once"
        assert set(start.changes) <= set(self.queue)
        left = remaining(below, self.head) if below else ()
        for change in start.changes:
            assert not self.conflicts[change] & {*left, *start.changes}, "no two that conflict in one candidate"
        self.started += 1
        name = f"r{self.started}"
        commits = (*(below.commits if below else ()), *(f"{name}:{change}" for change in start.changes))
        self.under_way.append(
            Run(name, below.base if below else self.head, held, commits, len(below.changes) if below else 0, start.lane)
        )


EVENTS = st.one_of(
    st.tuples(st.just("hand in"), st.booleans(), st.lists(st.integers(0, 30), max_size=1)),
    st.tuples(st.just("hand in"), st.just(False), st.just([])),
    st.tuples(st.just("finish"), st.integers(0, 9), st.sampled_from([False] * 6 + [True])),
    st.tuples(st.just("push")),
    st.tuples(st.just("crash")),
    st.tuples(st.just("withdraw"), st.integers(0, 30)),
)


def happen(world, event):
    match event:
        case ("hand in", bad, against):
            world.hand_in(bad=bad, against=against)
        case ("finish", place, flaky):
            world.finish(place, flaky=flaky)
        case ("push",):
            world.push()
        case ("crash",):
            world.crash()
        case ("withdraw", place):
            world.withdraw(place)
    world.settle()


def drain(world):
    """Every run ends, truthfully, until nothing waits any more."""
    rounds = 0
    while world.queue:
        assert world.under_way, f"{world.queue} wait and nothing is judged"
        world.finish(0, flaky=False)
        world.settle()
        rounds += 1
        assert rounds < 2_000, "it never ends"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([1, 2, 3, 4, 8]), st.lists(EVENTS, max_size=60))
def test_whatever_happens_the_branch_is_green_and_nothing_is_lost_or_landed_twice(places, events):
    world = World(places)
    for event in events:
        happen(world, event)
    before, waiting = world.started, len(world.queue)
    drain(world)
    everything = [*world.landed, *world.rejected, *world.withdrawn]
    assert sorted(everything) == sorted(world.bad)
    assert not [change for change in world.rejected if not world.bad[change] and world.flaked.get(change, 0) < 1]
    bad = sum(1 for change in world.rejected if world.bad[change])
    assert world.started - before <= 4 * waiting + 2 * (bad + 1) * (math.ceil(math.log2(waiting + 1)) + 2) + places


GOOD = ("hand in", False, [])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    places=st.sampled_from([2, 3, 4]),
    events=st.lists(EVENTS, max_size=30),
    arrivals=st.lists(st.integers(0, 2), min_size=1, max_size=4),
    some_bad=st.booleans(),
)
@example(places=2, events=[GOOD, ("push",), GOOD], arrivals=[1], some_bad=False)
@example(places=4, events=[GOOD, ("push",), GOOD], arrivals=[1], some_bad=False)
def test_what_passed_and_could_not_land_lands_soon_however_much_is_handed_in(places, events, arrivals, some_bad):
    world = World(places)
    for event in events:
        happen(world, event)
    since = {}
    for finished in range(60):
        for _ in range(arrivals[finished % len(arrivals)]):
            happen(world, ("hand in", some_bad and len(world.bad) % 7 == 6, []))
        world.finish(0, flaky=False)
        world.settle()
        since = {change: since.get(change, finished) for change in standing_of(world.snapshot()).cleared}
        late = [change for change, began in since.items() if finished - began > 6 * places + 12]
        assert not late, f"{late} passed long ago"


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([1, 2]), st.integers(1, 40))
def test_without_failures_a_chain_lands_in_order(places, count):
    world = World(places)
    for _ in range(count):
        happen(world, ("hand in", False, []))
    drain(world)
    assert world.landed == sorted(world.landed, key=lambda change: int(change[1:]))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([3, 4, 8]), st.integers(1, 80), st.randoms(use_true_random=False))
def test_lanes_let_no_change_be_overtaken_by_more_than_what_is_judged_at_once(places, count, rng):
    world = World(places)
    for _ in range(count):
        world.hand_in(bad=False, against=[])
    world.settle()
    while world.queue:  # runs take about as long as each other: all that are under way end, in any order
        for run in rng.sample(world.under_way, len(world.under_way)):
            if run in world.under_way:
                world.finish(world.under_way.index(run), flaky=False)
                world.settle()
    for place, change in enumerate(world.landed):
        later = [one for one in world.landed[:place] if int(one[1:]) > int(change[1:])]
        assert len(later) <= 2 * places * group_size(0.1)


def run(name, changes, *, base="h", verdict=None, lane=False, commits=None, sure=False, below=0):
    return Run(
        name, base, tuple(changes), tuple(commits or (f"{name}:{c}" for c in changes)), below, lane, verdict, sure
    )


def test_a_longer_run_waits_for_the_shorter_one_it_stands_on():
    short = run("a", "a")
    both = run("b", "ab", commits=("a:a", "b:b"), verdict=Verdict.PASSED, below=1)
    assert plan(Snapshot("h", "ab", [short, both], 2)) == Plan()
    passed = replace(short, verdict=Verdict.PASSED)
    assert plan(Snapshot("h", "ab", [both, passed], 2)).land == both


def test_what_stands_on_a_failure_is_cleared_but_does_not_land_with_it():
    short = run("a", "a", verdict=Verdict.FAILED, sure=True)
    both = run("b", "ab", commits=("a:a", "b:b"), verdict=Verdict.PASSED, below=1)
    step = plan(Snapshot("h", "ab", [both, short], 2))
    assert step.reject == (("a", short),)
    assert plan(Snapshot("h", "b", [both], 2, gone=frozenset("a"))).start == Start(("b",))


def test_what_stands_on_a_run_that_was_given_up_is_given_up_too():
    both = run("b", "ab", commits=("a:a", "b:b"), below=1)
    assert plan(Snapshot("h", "ab", [both], 1)).drop == ("b",)
    assert plan(Snapshot("h", "ab", [replace(both, verdict=Verdict.PASSED)], 1)).land is None
    assert plan(Snapshot("a:a", "b", [replace(both, verdict=Verdict.PASSED)], 1)).land is not None


def test_a_single_suspect_is_confirmed_on_its_own_before_it_is_at_fault():
    first = run("r", "ab", verdict=Verdict.FAILED)
    good = run("s", "a", verdict=Verdict.PASSED, lane=True)
    left = Snapshot("s:a", "b", [first, good], 1)
    assert standing_of(left).suspects == (("b",),)
    assert plan(left) == Plan(start=Start(("b",), lane=True))
    again = run("t", "b", base="s:a", verdict=Verdict.FAILED, lane=True)
    assert plan(replace(left, runs=[first, good, again])).reject == (("b", again),)
    fine = replace(again, verdict=Verdict.PASSED)
    assert plan(replace(left, runs=[first, good, fine])).land == fine


def test_a_person_s_push_makes_everything_be_judged_anew_on_what_they_pushed():
    passed = run("r", "ab", verdict=Verdict.PASSED)
    assert plan(Snapshot("pushed", "ab", [passed], 1)) == Plan(start=Start(("a", "b")))


def test_a_cleared_group_is_not_cut_off_by_a_lane_that_passes_first():
    trunk = run("t", "abc")
    lane = run("l", "d", lane=True, verdict=Verdict.PASSED)
    assert plan(Snapshot("h", "abcd", [lane, trunk], 2)).land is None
    assert plan(Snapshot("h", "abcd", [lane, replace(trunk, verdict=Verdict.PASSED)], 2)).land == replace(
        trunk, verdict=Verdict.PASSED
    )


@pytest.mark.parametrize(("rate", "size"), [(0.0, 32), (0.05, 13), (0.2, 3), (0.5, 1), (1.0, 1)])
def test_groups_are_as_large_as_a_coin_toss(rate, size):
    assert group_size(rate) == size


def test_the_failure_rate_follows_what_happens():
    assert failure_rate([]) == pytest.approx(0.05)
    assert failure_rate([True] * 500) == MOST_RATE
    assert failure_rate([False] * 500) < 0.01
