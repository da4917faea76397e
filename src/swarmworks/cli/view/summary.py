"""What is said when a swarm has ended: how it stands, and what to do next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from swarmworks.cli.view.amounts import counted, dollars, duration, percent, plain, shortened, tokens
from swarmworks.domain.swarm import StopReason, SwarmState
from swarmworks.wire.api import SwarmStatus

SHOWN_BLOCKED = 8
WIDTH = 100


def place_option(root: Path) -> str:
    """What a printed command needs so that it works from where the person is: ` -C FOLDER`, or nothing."""
    here = Path.cwd()
    return "" if root.resolve() == here.resolve() else f" -C {shlex.quote(os.path.relpath(root, here))}"


def summary(status: SwarmStatus, root: Path) -> Iterator[str]:
    """`root` is the project's folder."""
    yield ""
    yield f"{status.plan_name}: {headline(status)}"
    yield f"  {_tasks(status)}; {_measured(status)}"
    yield f"  {money(status)}"
    for blocked in status.blocked[:SHOWN_BLOCKED]:
        yield shortened(f"  blocked  {blocked.task_id}: {plain(blocked.note) or blocked.title}", WIDTH)
    if len(status.blocked) > SHOWN_BLOCKED:
        yield f"  and {len(status.blocked) - SHOWN_BLOCKED} more"
    yield ""
    yield from next_steps(status, place_option(root))


def headline(status: SwarmStatus) -> str:
    took = duration(status.elapsed_s)
    if status.state == SwarmState.LANDED:
        return f"landed in {took}"
    if status.state == SwarmState.BLOCKED:
        return f"blocked after {took}, needs you"
    if status.state == SwarmState.STOPPED:
        return f"stopped after {took}{stop_reason(status)}"
    return f"{status.state} for {took}"


def stop_reason(status: SwarmStatus) -> str:
    reasons = {
        StopReason.BUDGET.value: ", the budget is used up",
        StopReason.DEADLINE.value: ", its time is over",
        StopReason.PERSON.value: ", as asked",
    }
    return reasons.get(status.reason or "", f", {status.reason}" if status.reason else "")


def next_steps(status: SwarmStatus, at: str) -> Iterator[str]:
    """Commands that work as they are printed; `at` as `place_option` gives it."""
    if status.state == SwarmState.LANDED and status.planning:
        yield f"The result is a plan: swarm plan{at} --swarm {status.id} writes it to a file"
    elif status.state == SwarmState.LANDED:
        if status.delivered:
            yield f"Delivered to {', '.join(status.delivered)}."
        else:
            yield f"next: swarm deliver{at} {status.id}, which brings it to your branch"
        yield f"The whole report: swarm report{at} {status.id}"
    elif status.state == SwarmState.BLOCKED:
        first = status.blocked[0].task_id if status.blocked else ""
        if first:
            yield f"See why: swarm logs{at} {status.id} --task {first}"
        if status.inbox:
            yield f"Decide what waits for you: swarm inbox{at}"
            yield f"Then go on: swarm resume{at} {status.id}"
        else:
            yield f"When it is mended: swarm resume{at} {status.id} --retry-blocked"
    elif status.reason == StopReason.BUDGET:
        yield f"To go on with a larger budget: swarm resume{at} {status.id} {_raised(status)}"
    elif status.state == SwarmState.STOPPED:
        yield f"Nothing is lost. To go on: swarm resume{at} {status.id}"


def money(status: SwarmStatus) -> str:
    """What was used, and the limits where there are any. The rehearsal model costs nothing and is said to."""
    spent = status.money
    used = f"{tokens(spent.tokens_spent)} tokens in {counted(spent.calls, 'call')}"
    if spent.tokens_limit is not None:
        used += f" of {tokens(spent.tokens_limit)} allowed"
    cost = f"{dollars(spent.spent_nano_usd)} spent"
    if spent.held_nano_usd:
        cost += f" and {dollars(spent.held_nano_usd)} held"
    if spent.limit_nano_usd is not None:
        cost += f" of {dollars(spent.limit_nano_usd)}"
    return f"{cost}, {used}"


def windows(status: SwarmStatus) -> Iterator[str]:
    """The project's day and month, where they have a limit: what is used, what is held for calls under way, and what follows."""
    for window in status.money.windows:
        parts: list[str] = []
        if window.limit_nano_usd is not None:
            held = f" and {dollars(window.held_nano_usd)} held" if window.held_nano_usd else ""
            parts.append(f"{dollars(window.spent_nano_usd)} spent{held}, of {dollars(window.limit_nano_usd)}")
        if window.tokens_limit is not None:
            parts.append(f"{tokens(window.tokens_spent)} of {tokens(window.tokens_limit)} tokens")
        if window.calls_limit is not None:
            parts.append(f"{window.calls:,} of {counted(window.calls_limit, 'call')}")
        until = f"; nothing new begins until {window.ends_at:%Y-%m-%d %H:%M} UTC" if window.paused else ""
        yield f"{window.period} {window.key}: {', '.join(parts)} ({window.percent} %){until}"


def _raised(status: SwarmStatus) -> str:
    """The limit that was reached, doubled: a suggestion that works as it stands."""
    spent = status.money
    if spent.calls_limit is not None and spent.calls >= spent.calls_limit:
        return f"--calls {2 * spent.calls_limit}"
    if spent.limit_nano_usd is not None:
        return f"--budget {max(1, -(-2 * spent.limit_nano_usd // 1_000_000_000))}"
    if spent.tokens_limit is not None:
        return f"--tokens {2 * spent.tokens_limit}"
    return "--budget USD"


def _tasks(status: SwarmStatus) -> str:
    total = sum(status.tasks.values())
    done = sum(status.tasks.get(state, 0) for state in ("landed", "nothing_to_do", "superseded"))
    return f"{done} of {counted(total, 'task')} done"


def _measured(status: SwarmStatus) -> str:
    tests = "no tests measured" if status.tests is None else counted(status.tests, "test")
    coverage = "" if status.coverage_percent is None else f", coverage {percent(status.coverage_percent)}"
    return tests + coverage
