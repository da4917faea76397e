"""What the merge queue does next, decided from what it looks like now: which candidates to judge, what may land, what is at fault.

Called again after every event; it remembers nothing. A *run* judges one candidate: changes merged one on top of the other onto
a commit. Its gates say yes or no to all of them together.

- What passes and continues the branch lands, all of it: the tree that was judged is the tree that lands.
- A few changes wait: a *chain*, each run on top of the one before. A pass lands its changes once every shorter run of the chain
  has passed, a failure holds up only what comes after the last pass.
- Many wait and there are three places or more: *lanes*, groups that are judged beside each other on the same base. Those
  that pass but cannot land any more are *cleared*, and land together by one more run, which comes before everything else.
- Whatever failed is halved until one change is left, which has to fail on its own before it is at fault.

Group sizes follow from the share p of changes that fail: of ln(1/2) / ln(1-p) changes one or more fails every second time,
where a run tells most. (R. Dorfman, The Detection of Defective Members of Large Populations, 1943.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

LANES_FROM = 3
"""Places from which on groups are judged beside each other."""

MOST_IN_A_GROUP = 32
MOST_CLEARED_GROUPS = 4
"""Back-pressure: so many groups' worth of cleared changes land at a time, and no more are cleared while so many wait."""

MOST_FAILURES = 6
"""A change that passes now and then is at fault all the same."""

LEAST_RATE, MOST_RATE = 0.005, 0.5
PRIOR_RUNS, PRIOR_RATE = 20.0, 0.05
RECENT = 200


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Run:
    """`changes` merged in this order onto `base`, once the head of the branch; `commits` are what each of them made. The first
    `below` of them are those of a run it stands on: what they have to pass is judged there. `lane`: beside others, not one
    of the chain. `verdict` none: under way. `sure`: a failure that was looked at twice already.
    """

    id: str
    base: str
    changes: tuple[str, ...]
    commits: tuple[str, ...]
    below: int = 0
    lane: bool = False
    verdict: Verdict | None = None
    sure: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`queue`: what wants to land, in the order it should. `runs`: those under way, and those that ended (in the order they
    did) and hold a change of the queue. `gone`: what they hold that left the queue without landing. `conflicts`: of a
    change, those that cannot be merged with it; `apart`: those that may lie below it, but are not to be judged with it.
    """

    head: str
    queue: Sequence[str]
    runs: Sequence[Run]
    places: int
    rate: float = PRIOR_RATE
    gone: frozenset[str] = frozenset()
    conflicts: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    apart: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])


@dataclass(frozen=True, slots=True)
class Start:
    """A run to begin: `changes` on the branch, or on top of the run `after`, whose changes it then holds as well."""

    changes: tuple[str, ...]
    after: Run | None = None
    lane: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One step, the first that applies; asked again once it is done. `land`: a run to land. `reject`: changes at fault, each
    with the run that shows it. `drop`: runs under way that can tell nothing any more. `start`: a run to begin.
    """

    land: Run | None = None
    reject: tuple[tuple[str, Run], ...] = ()
    drop: tuple[str, ...] = ()
    start: Start | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of the changes. `suspects`: sets of which each has a change at fault in it, none a part of another."""

    cleared: tuple[str, ...]
    suspects: tuple[tuple[str, ...], ...]
    guilty: tuple[tuple[str, Run], ...]


def plan(now: Snapshot) -> Plan:
    standing = standing_of(now)
    if (landing := _to_land(now)) is not None:
        return Plan(land=landing)
    if standing.guilty:
        return Plan(reject=standing.guilty)
    if drop := tuple(run.id for run in now.runs if run.verdict is None and _tells_nothing(run, now, standing)):
        return Plan(drop=drop)
    return Plan(start=_next_start(now, standing))


def remaining(run: Run, head: str) -> tuple[str, ...]:
    """The changes of the run that are not on the branch; all of them when it does not continue the branch."""
    return run.changes[run.commits.index(head) + 1 :] if head in run.commits else run.changes


def continues(run: Run, head: str) -> bool:
    return run.base == head or head in run.commits


def group_size(rate: float) -> int:
    return max(1, min(MOST_IN_A_GROUP, int(math.log(0.5) / math.log1p(-_bounded(rate)))))


def failure_rate(decided: Sequence[bool]) -> float:
    """The share of changes that fail, from those decided lately (true: rejected by the gates) and what is usual."""
    recent = decided[-RECENT:]
    return _bounded((sum(recent) + PRIOR_RUNS * PRIOR_RATE) / (len(recent) + PRIOR_RUNS))


def _bounded(rate: float) -> float:
    return min(MOST_RATE, max(LEAST_RATE, rate))


def standing_of(now: Snapshot) -> Standing:
    """Read from the runs that ended, in their order. A pass clears what it holds. A failure makes suspects of it; it is
    explained, and forgotten, by the failure of a part of it, or by a change at fault that is gone.
    """
    waiting, tips = set(now.queue), {run.commits[-1]: run for run in now.runs if run.verdict is not None}
    cleared, failures, since = dict[str, None](), dict[str, int](), dict[str, int]()
    suspects: list[frozenset[str]] = []
    alone: dict[str, Run] = {}
    for run in (one for one in now.runs if one.verdict is not None):
        own = _judged(run, now.head, tips) & waiting
        if run.verdict is Verdict.PASSED:
            cleared |= dict.fromkeys(own)
            since |= dict.fromkeys(own, 0)
            suspects = [rest for group in suspects if (rest := group - own)]
            for change in own:
                alone.pop(change, None)
        elif own and not now.gone.intersection(run.changes):
            for change in own:
                cleared.pop(change, None)
                failures[change] = failures.get(change, 0) + 1
                since[change] = since.get(change, 0) + (2 if run.sure else 1)
            if len(own) == 1 and (len(run.changes) == 1 or continues(run, now.head)):
                alone |= dict.fromkeys(own, run)
            suspects = [group for group in suspects if not group >= own]
            suspects += [] if any(group <= own for group in suspects) else [own]
    places = {change: place for place, change in enumerate(now.queue)}
    return Standing(
        cleared=tuple(sorted(cleared, key=places.__getitem__)),
        suspects=tuple(tuple(sorted(group, key=places.__getitem__)) for group in suspects),
        guilty=tuple((one, run) for one, run in alone.items() if since[one] > 1 or failures[one] >= MOST_FAILURES),
    )


def _judged(run: Run, head: str, tips: Mapping[str, Run]) -> frozenset[str]:
    """The changes that the verdict is about: a pass, its own; a failure, all that no shorter run passed."""
    if run.verdict is Verdict.PASSED:
        return frozenset(run.changes[run.below :])
    shorter = (tips[commit] for commit in run.commits[:-1] if commit in tips)
    good = {change for one in shorter if one.verdict is Verdict.PASSED for change in one.changes[one.below :]}
    return frozenset(remaining(run, head)) - good


def _to_land(now: Snapshot) -> Run | None:
    """The longest run that passed and continues the branch: not before the shorter ones it stands on, and not where the chain
    would be cut off.
    """
    waiting = set(now.queue)
    able = [
        run
        for run in now.runs
        if run.verdict is Verdict.PASSED and continues(run, now.head) and waiting.issuperset(remaining(run, now.head))
        if remaining(run, now.head) and _stands(run, now, {Verdict.PASSED})
        if not any(_holds_up(other, run, now.head) for other in now.runs)
    ]
    return max(able, key=lambda run: (len(remaining(run, now.head)), not run.lane), default=None)


def _stands(run: Run, now: Snapshot, verdicts: set[Verdict | None]) -> bool:
    """Whether all it stands on has landed, or is judged by runs of which each has one of these verdicts."""
    if len(remaining(run, now.head)) <= len(run.changes) - run.below:
        return True
    tip = run.commits[run.below - 1]
    return any(one.commits[-1] == tip and one.verdict in verdicts and _stands(one, now, verdicts) for one in now.runs)


def _holds_up(other: Run, run: Run, head: str) -> bool:
    if other is run or not continues(other, head) or not remaining(other, head):
        return False
    if other.commits[-1] in run.commits:
        return other.verdict is not Verdict.PASSED
    return other.verdict is None and not other.lane and run.commits[-1] not in other.commits


def _tells_nothing(run: Run, now: Snapshot, standing: Standing) -> bool:
    """A change of it is gone, nothing of it is left, it holds all of what failed already, or nobody judges what it stands on."""
    left = set(remaining(run, now.head))
    if not _stands(run, now, {Verdict.PASSED, Verdict.FAILED, None}):
        return True
    return not left or not left <= set(now.queue) or any(left > set(group) for group in standing.suspects)


def _next_start(now: Snapshot, standing: Standing) -> Start | None:
    under_way = [run for run in now.runs if run.verdict is None]
    free = now.places - len(under_way)
    if free <= 0:
        return None
    size = group_size(now.rate)
    busy = {change for run in under_way for change in remaining(run, now.head)}
    chain = max(
        (run for run in under_way if not run.lane and continues(run, now.head)),
        key=lambda run: len(run.commits),
        default=None,
    )
    on_chain = remaining(chain, now.head) if chain is not None else ()
    unsure = [change for change in on_chain if change not in standing.cleared]
    ready = [change for change in standing.cleared if change not in busy]
    group = _together(now, ready, busy, on_chain, MOST_CLEARED_GROUPS * size)
    if group and not unsure and (chain is None or len(group) < len(ready)):
        return Start(group, after=chain)
    for suspects in sorted(standing.suspects, key=len):
        if not busy.intersection(suspects):
            return Start(_together(now, suspects, busy, (), max(1, len(suspects) // 2)), lane=True)
    suspected = {change for group in standing.suspects for change in group}
    first = busy.union(standing.cleared)
    fresh = [change for change in now.queue if change not in first and change not in suspected]
    fresh = [change for change in fresh if now.conflicts.get(change, frozenset()).isdisjoint(first)]
    if now.places < LANES_FROM or len(fresh) + len(unsure) <= max(free, min(size, now.places)):
        room = size - len(unsure)
        group = _together(now, fresh, busy, on_chain, max(1, min(room, math.ceil(min(room, len(fresh)) / free))))
        grows = room > 0 and not (ready and unsure)  # what is cleared waits for the end of this chain
        return Start(group, after=chain) if group and (grows or chain is None) else None
    if len(standing.cleared) > MOST_CLEARED_GROUPS * size:
        return None
    below = chain if chain is not None and not unsure else None
    group = _together(now, fresh, busy, on_chain if below else (), max(1, min(size, math.ceil(len(fresh) / free))))
    return Start(group, after=below, lane=True) if group else None


def _together(now: Snapshot, wanted: Sequence[str], busy: set[str], below: Sequence[str], most: int) -> tuple[str, ...]:
    """Up to `most` of `wanted`, in order, that conflict neither with each other nor with those below them."""
    chosen: list[str] = []
    for change in wanted:
        if len(chosen) >= most:
            break
        against = now.conflicts.get(change, frozenset())
        free = against.isdisjoint(below) and (against | now.apart.get(change, frozenset())).isdisjoint(chosen)
        if change not in busy and free:
            chosen.append(change)
    return tuple(chosen)
