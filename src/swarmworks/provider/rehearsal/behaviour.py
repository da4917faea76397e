"""How the rehearsal model behaves on one request. Chosen from the seed and the request's bytes, so a run can be repeated."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

STEADY = "steady"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`name` is what the model does this time; `draw` is an even 64-bit number fixed by seed and task prompt."""

    name: str
    draw: int


def choose(seed: int, prompt: str) -> Behaviour:
    """The same seed and task prompt give the same behaviour on every turn of a session."""
    digest = hashlib.sha256(f"{seed}\n{prompt}".encode()).digest()
    return Behaviour(STEADY, int.from_bytes(digest[:8]))
