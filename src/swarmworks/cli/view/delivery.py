"""`swarm deliver` as text: what would arrive, what has arrived, and why something did not."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from swarmworks.cli.view.amounts import counted, percent, plain, shortened
from swarmworks.cli.view.summary import money
from swarmworks.domain.delivery import DeliveryState
from swarmworks.policy.delivering import MERGED_TREE
from swarmworks.wire.api import SwarmStatus
from swarmworks.wire.delivery import DeliveryView

WIDTH = 100
SHOWN_NOTE = 12
DONE = ("landed", "nothing_to_do", "superseded", "cancelled")


def arriving(view: DeliveryView, status: SwarmStatus) -> Iterator[str]:
    """What the person is asked about."""
    brings = view.arriving
    if brings is None:
        return
    how = f", merged with what {view.branch} got since" if view.merged else ""
    where = view.branch if view.tip else f"{view.branch}, a new branch"
    yield f"{status.plan_name} to {where}{how}:"
    yield (
        f"  {counted(brings.commits, 'commit')}, {counted(brings.files, 'file')}, "
        f"{counted(brings.added, 'line')} added, {brings.removed:,} removed"
    )
    for subject in brings.subjects:
        yield shortened(f"    {plain(subject)}", WIDTH)
    if brings.commits > len(brings.subjects):
        yield f"    and {brings.commits - len(brings.subjects)} more"
    if status.tests is not None:
        coverage = "" if status.coverage_percent is None else f", coverage {percent(status.coverage_percent)}"
        yield f"  {counted(status.tests, 'test')} passed{coverage}"
    yield f"  {money(status)}"
    if missing := sum(count for state, count in status.tasks.items() if state not in DONE):
        names = ", ".join(blocked.task_id for blocked in status.blocked[:5])
        yield f"  not in it: {counted(missing, 'task')}" + (f", blocked: {names}" if names else "")


def outcome(view: DeliveryView, at: str, *, already: bool) -> Iterator[str]:
    """How it ended, and what to do next; `at` as `place_option` gives it."""
    commit = (view.candidate or view.head)[:10]
    if view.state == DeliveryState.DELIVERED:
        if already:
            yield f"already delivered: {view.branch} has everything that swarm {view.swarm_id} landed"
            return
        before = f", it was at {view.tip[:10]}" if view.tip else ", a new branch"
        yield f"delivered: {view.branch} is at {commit}{before}"
    elif view.state == DeliveryState.FAILED:
        yield from _failed(view, at)
    elif view.review is not None and view.review.state == "rejected":
        by = (view.review.decided_by or "").partition(":")[2]
        yield f"not delivered: {by} said no: {plain(view.review.reason or '')}"
        yield f"To ask again: swarm deliver{at} {view.swarm_id}{_to(view)}"
    elif view.review is not None:
        who = f" by {' or '.join(view.review.deciders)}" if view.review.deciders else ""
        yield f"not delivered yet, it waits for a review{who}: {plain(view.review.question)}"
        yield f"To say yes: swarm approve{at} {view.review.id}"
        yield f"After that: swarm deliver{at} {view.swarm_id}{_to(view)}"


def _failed(view: DeliveryView, at: str) -> Iterator[str]:
    yield f"not delivered, {view.branch} is where it was:"
    lines = (view.note or "").splitlines()
    for line in lines[:SHOWN_NOTE]:
        yield shortened(f"  {plain(line)}", 2 * WIDTH)
    if len(lines) > SHOWN_NOTE:
        yield f"  and {len(lines) - SHOWN_NOTE} more"
    branch = f"swarm/{view.swarm_id}"
    pull = f"git{at} pull --no-rebase --no-ff .swarm/hub.git {branch}"
    yield f"To merge it yourself, on {view.branch}: {pull}"
    if lines and lines[0].startswith(MERGED_TREE):
        wish = "Make every gate pass: this branch was merged from two sides that do not go together yet"
        yield f'To have agents mend it: git{at} switch -c mended && {pull} && swarm run{at} "{wish}"'
    yield f"Mended on {view.branch} and committed: swarm deliver{at} {view.swarm_id}{_to(view)}"
    yield f"Beside it, unmerged: swarm deliver{at} {view.swarm_id} --to {branch}"


def _to(view: DeliveryView) -> str:
    return f" --to {shlex.quote(view.branch)}"
