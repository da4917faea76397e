"""When a swarm has landed, is stuck, must stop, or has stopped."""

from __future__ import annotations

from dataclasses import dataclass

from swarmworks.domain.swarm import MERGING, StopReason, SwarmEvent, SwarmState

MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class LifeFacts:
    """Numbers of tasks by where they stand; `sessions` not ended, `leased` pieces of work at workers, `affordable`
    whether the budget has room for one more call.
    """

    state: SwarmState
    tasks: int
    done: int
    moving: int  # running, in review or queued
    ready: int
    blocked: int
    sessions: int
    leased: int
    affordable: bool
    reviews: tuple[str, ...] = ()  # of those moving, the open reviews that only a person moves
    parked: int = 0  # each waits for the `fix_bug` task that lands it
    late: bool = False  # it has run for as long as it may
    plan: str | None = None  # why the plan may not be worked on: it waits for approval, or was refused


def verdict(facts: LifeFacts) -> tuple[SwarmEvent, str | None] | None:
    """The move to make and its reason, None when the swarm simply goes on."""
    if facts.done == facts.tasks:
        return SwarmEvent.LAND, None
    if facts.state is SwarmState.STOPPING:
        return (SwarmEvent.HALT, None) if facts.sessions == 0 and facts.leased == 0 else None
    if facts.late and facts.state in MERGING:
        return SwarmEvent.STOP, StopReason.DEADLINE
    return _at_rest(facts)


def _at_rest(facts: LifeFacts) -> tuple[SwarmEvent, str | None] | None:
    """What becomes of a swarm in which nothing moves."""
    moving = facts.moving - len(facts.reviews)
    if facts.state is not SwarmState.RUNNING or moving or facts.sessions:
        return None
    if facts.plan is not None or facts.ready == 0:
        return SwarmEvent.STICK, facts.plan or _stuck(facts)
    if not facts.affordable:
        return SwarmEvent.STOP, StopReason.BUDGET
    return None


def _stuck(facts: LifeFacts) -> str:
    waiting = facts.tasks - facts.done - facts.blocked - facts.parked - len(facts.reviews)
    parked = f", {facts.parked} parked" if facts.parked else ""
    rest = f"{facts.blocked} blocked{parked}, {waiting} waiting for them"
    if not facts.reviews:
        return rest
    named = ", ".join(facts.reviews[:MOST_NAMED])
    more = f" and {len(facts.reviews) - MOST_NAMED} more" if len(facts.reviews) > MOST_NAMED else ""
    asked = f"your decision is needed: swarm approve or swarm reject {named}{more}"
    return f"{asked}; {rest}" if facts.blocked or facts.parked or waiting else asked
