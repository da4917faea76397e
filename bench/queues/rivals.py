"""How others queue, on the same executor. Written from their documentation: what they do about order, groups and failures.

Each judges a change by the first failure that names it alone, as they do; none looks a second time.
"""

from __future__ import annotations

from swarmworks.policy.queueing import Plan, Run, Snapshot, Start, Verdict, continues, remaining


def serial(now: Snapshot) -> Plan:
    """One change at a time."""
    return _bisecting(now, 1)


def bors(now: Snapshot) -> Plan:
    """All that wait, as one batch; a batch that fails is halved, and the halves are tried one after the other."""
    return _bisecting(now, len(now.queue))


def batch_of_five(now: Snapshot) -> Plan:
    return _bisecting(now, 5)


def zuul(now: Snapshot) -> Plan:
    """A chain of single changes, a window long that grows by one with each success and is halved by each failure (from 20, at least
    3). What fails at the front is turned down, and all behind it begin anew.
    """
    window = 20
    for run in now.runs:
        if run.verdict is not None:
            window = window + 1 if run.verdict is Verdict.PASSED else max(3, window // 2)
    return _chained(now, min(window, now.places))


def github(now: Snapshot) -> Plan:
    """A chain as long as the build concurrency; changes land in order, the one that fails is taken out, those behind begin anew."""
    return _chained(now, now.places)


def _chained(now: Snapshot, most: int) -> Plan:
    first = now.queue[0] if now.queue else None
    live = {left: run for run in now.runs if continues(run, now.head) and (left := remaining(run, now.head))}
    for length in range(1, len(now.queue) + 1):
        run = live.get(tuple(now.queue[:length]))
        if run is not None and run.verdict is Verdict.PASSED and length == 1:
            return Plan(land=run)
        if run is not None and run.verdict is Verdict.FAILED and length == 1 and first is not None:
            return Plan(reject=((first, run),))
        if length > most:
            break
    wanted = {tuple(now.queue[:length]) for length in range(1, most + 1)}
    under_way = [run for run in now.runs if run.verdict is None]
    if drop := tuple(
        run.id for run in under_way if remaining(run, now.head) not in wanted or not continues(run, now.head)
    ):
        return Plan(drop=drop)
    below: Run | None = None
    for length in range(1, min(most, len(now.queue)) + 1):
        run = live.get(tuple(now.queue[:length]))
        if run is None:
            if len(under_way) < now.places and now.conflicts.get(now.queue[length - 1], frozenset()).isdisjoint(
                now.queue[: length - 1]
            ):
                return Plan(start=Start((now.queue[length - 1],), after=below))
            break
        if run.verdict is Verdict.FAILED:
            break  # those behind wait until it is at the front
        below = run
    return Plan()


def _bisecting(now: Snapshot, most: int) -> Plan:
    waiting = set(now.queue)
    if any(run.verdict is None for run in now.runs):
        return Plan()
    for run in reversed(now.runs):
        if run.verdict is Verdict.PASSED and run.base == now.head and waiting.issuperset(run.changes):
            return Plan(land=run)
    failed = [run for run in now.runs if run.verdict is Verdict.FAILED and waiting.issuperset(run.changes)]
    if failed:
        last = min(failed, key=lambda run: len(run.changes))
        if len(last.changes) == 1:
            return Plan(reject=((last.changes[0], last),))
        return Plan(start=Start(last.changes[: (len(last.changes) + 1) // 2]))
    rest = _second_half(now, waiting)
    group = list[str]()
    for change in rest or now.queue:
        if len(group) < max(1, most) and now.conflicts.get(change, frozenset()).isdisjoint(group):
            group.append(change)
    return Plan(start=Start(tuple(group))) if group else Plan()


def _second_half(now: Snapshot, waiting: set[str]) -> list[str]:
    """What is left of a batch that failed and whose first half was decided."""
    for run in reversed(now.runs):
        if run.verdict is Verdict.FAILED and (left := [change for change in run.changes if change in waiting]):
            return left
    return []
