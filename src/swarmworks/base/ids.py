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


def _base32(value: int, width: int) -> str:
    digits: list[str] = []
    for _ in range(width):
        value, rest = divmod(value, 32)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))


class IdSource(Protocol):
    def new(self, prefix: str) -> str: ...


class RandomIds:
    """Nine characters of time (milliseconds), seven of randomness."""

    def new(self, prefix: str) -> str:
        return f"{prefix}_{_base32(time.time_ns() // 1_000_000, 9)}{_base32(secrets.randbits(35), 7)}"


class SequentialIds:
    """Predictable ids for tests: `prefix_1`, `prefix_2`, ..."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def new(self, prefix: str) -> str:
        number = self._next.get(prefix, 0) + 1
        self._next[prefix] = number
        return f"{prefix}_{number}"
