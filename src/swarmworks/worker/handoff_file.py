"""The handoff that an agent's program leaves as a file in its home or in its working copy: read by the worker, never committed.

`swarm-agent handoff` leaves it once the platform has accepted it; a program may as well write it itself. What lies there was
written by an agent, so it is opened as what it may be: a link, a pipe, something huge, no JSON.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from swarmworks.git.snapshot import HANDOFF_FILE
from swarmworks.wire.handoff import MAX_BYTES, HandoffDocument

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
OUTCOMES = frozenset({"submitted", "nothing_to_do", "needs_answer"})


@dataclass(frozen=True, slots=True)
class Left:
    """`problem` says why there is no handoff in the file that is there. `written_ns` tells one writing from the next."""

    handoff: HandoffDocument | None
    problem: str
    written_ns: int


class HandoffFile:
    """Of one session. A program that writes it itself may still be writing, or may not have ended its work: while it runs, only
    a handoff that stands unchanged from one look to the next counts.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        self._places = places
        self._seen: Left | None = None

    def settled(self) -> HandoffDocument | None:
        """Blocks, shortly."""
        left = read_any(self._places)
        same, self._seen = left == self._seen, left
        return left.handoff if left is not None and same else None


def read_any(places: Sequence[Path]) -> Left | None:
    """The first that is there, in the folders `places`. Blocks."""
    return next((left for left in map(read, places) if left is not None), None)


def read(place: Path) -> Left | None:
    """None when there is no file. Blocks."""
    try:
        descriptor = os.open(place / HANDOFF_FILE, _FLAGS)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Left(None, f"its handoff file cannot be read: {error.strerror}", 0)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
        os.close(descriptor)
        return Left(None, "its handoff file is no file of a sensible size", found.st_mtime_ns)
    with os.fdopen(descriptor, "rb") as file:
        return _parsed(file.read(MAX_BYTES), found.st_mtime_ns)


def _parsed(data: bytes, written_ns: int) -> Left:
    try:
        handoff = HandoffDocument.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "document"
        return Left(None, f"its handoff file is no handoff: {where}: {first['msg']}", written_ns)
    if handoff.outcome not in OUTCOMES or not handoff.done.strip():
        return Left(None, "its handoff file takes an outcome and what was done", written_ns)
    return Left(handoff, "", written_ns)
