"""Anchors: signed statements of where the chains of events stood, so that a whole chain cannot be written anew unseen.

Each anchor names the one before it by hash: anchors are a chain themselves. The signature is HMAC-SHA256: it shows that
whoever made the statement held the key, to those who hold it too.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from swarmworks.base.ids import SwarmId
from swarmworks.domain.event import GENESIS

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Head:
    """The chain of `swarm_id` had `hash` at event `seq`."""

    swarm_id: SwarmId
    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """`statement` is the very text that was signed; what it says is in `said`. Made by `sign`, or read from a record."""

    number: int  # 1, 2, 3, ... without gaps
    statement: str
    signature: str

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.statement.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Said:
    number: int
    at: datetime
    key_id: str
    previous: str
    heads: tuple[Head, ...]


def key_id(key: bytes) -> str:
    """Names a key without showing it."""
    return hashlib.sha256(b"swarm audit key\0" + key).hexdigest()[:16]


def sign(key: bytes, previous: Anchor | None, at: datetime, heads: Sequence[Head]) -> Anchor:
    number = 1 if previous is None else previous.number + 1
    statement = json.dumps(
        {
            "number": number,
            "at": at.isoformat(),
            "key": key_id(key),
            "previous": GENESIS if previous is None else previous.hash,
            "heads": [[head.swarm_id, head.seq, head.hash] for head in heads],
        },
        separators=(",", ":"),
    )
    return Anchor(number, statement, _signature(key, statement))


def said(anchor: Anchor) -> Said:
    """ValueError when the statement is none."""
    try:
        found: dict[str, Any] = json.loads(anchor.statement)
        heads = tuple(Head(SwarmId(str(swarm)), int(seq), str(link)) for swarm, seq, link in found["heads"])
        at = datetime.fromisoformat(found["at"])
        return Said(int(found["number"]), at, str(found["key"]), str(found["previous"]), heads)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a statement: {error}") from error


def fault(anchor: Anchor, previous: Anchor | None, keys: Mapping[str, bytes]) -> str | None:
    """What is wrong with an anchor that should follow `previous`, None when nothing is. `keys` by their `key_id`."""
    try:
        told = said(anchor)
    except ValueError:
        return "its statement cannot be read"
    wanted = (1, GENESIS) if previous is None else (previous.number + 1, previous.hash)
    if (anchor.number, told.previous) != wanted or told.number != anchor.number:
        return "it does not follow the anchor before it"
    key = keys.get(told.key_id)
    if key is None:
        return f"it is signed with the key {told.key_id}, which is not here"
    if not hmac.compare_digest(_signature(key, anchor.statement), anchor.signature):
        return "its signature is not that of its statement"
    return None


def _signature(key: bytes, statement: str) -> str:
    return hmac.new(key, statement.encode(), hashlib.sha256).hexdigest()
