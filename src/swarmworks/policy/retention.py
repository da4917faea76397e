"""Which swarms' events move from the database to archive files: those long at rest, and the oldest when there are too many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from swarmworks.base.ids import SwarmId
from swarmworks.domain.event import SwarmLog


@dataclass(frozen=True, slots=True)
class Retention:
    """`keep`: how long after its end a swarm's events stay. `keep_events`: how many events stay in all."""

    keep: timedelta
    keep_events: int


def due(logs: Sequence[SwarmLog], now: datetime, retention: Retention) -> list[SwarmId]:
    """Whole swarms, those that ended first before the others; never one that goes on."""
    ended = sorted((log.ended_at, log.swarm_id, log.events) for log in logs if log.ended_at is not None)
    excess = sum(log.events for log in logs) - retention.keep_events
    found: list[SwarmId] = []
    for ended_at, swarm_id, events in ended:
        if now - ended_at < retention.keep and excess <= 0:
            break
        found.append(swarm_id)
        excess -= events
    return found
