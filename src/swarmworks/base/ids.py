"""Typed identifiers. Generated ones are `prefix_` and 16 characters, sortable by creation time to the millisecond."""

from __future__ import annotations

import secrets
import time
from typing import NewType, Protocol

SwarmId = NewType("SwarmId", str)
TaskId = NewType("TaskId", str)  # the plan's own id, unique within a swarm, survives re-planning
SessionId = NewType("SessionId", str)
AgentId = NewType("AgentId", str)
WorkerId = NewType("WorkerId", str)
WorkId = NewType("WorkId", str)
ChangeId = NewType("ChangeId", str)
AccountId = NewType("AccountId", str)
ReservationId = NewType("ReservationId", str)
ReviewId = NewType("ReviewId", str)
QuestionId = NewType("QuestionId", str)
MessageId = NewType("MessageId", str)
DeliveryId = NewType("DeliveryId", str)
ReplicaId = NewType("ReplicaId", str)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letters that read like digits


_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_SHIFTS = tuple(range(70, -1, -10))


def _base32(value: int) -> str:
    """Of 80 bits, ten at a time."""
    return "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])


class IdSource(Protocol):
    def new(self, prefix: str) -> str: ...


class RandomIds:
    """Nine characters of time (milliseconds), seven of randomness."""

    def new(self, prefix: str) -> str:
        return f"{prefix}_{_base32((time.time_ns() // 1_000_000 & (1 << 45) - 1) << 35 | secrets.randbits(35))}"


class SequentialIds:
    """Predictable ids for tests: `prefix_1`, `prefix_2`, ..."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def new(self, prefix: str) -> str:
        number = self._next.get(prefix, 0) + 1
        self._next[prefix] = number
        return f"{prefix}_{number}"
