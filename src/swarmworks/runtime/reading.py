"""What the readers of programs have in common: JSON lines that nobody vouches for, and the handoff among the tool calls.

A session with the platform's tools ends when its call of `hand_in` was accepted, and nothing is left under way beside it.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import ValidationError

from swarmworks.runtime.protocol import Heard
from swarmworks.wire.handoff import HandoffDocument
from swarmworks.wire.session_events import (
    GARBAGE_SHOWN_CHARS,
    MAX_LINE_BYTES,
    MAX_NAME_CHARS,
    MAX_TOKENS,
    End,
    Garbage,
    Message,
    SessionEvent,
    ToolCall,
    ToolResult,
)

SERVER = "swarm"
HAND_IN = "hand_in"
ENDED = "ended by itself"
"""The reason of an end that is the program's own: nobody has accepted a handoff."""

TEXT_CHARS = 4_000
DONE_CHARS = 1_900
ENDED_CHARS = 400
MOST_LINES = 200
LAST_LINES = 20
SHORT_CHARS = 500
MOST_ARGUMENTS = 20
MOST_PENDING = 1_000

Object = Mapping[str, Any]


class Calls:
    """Tool calls under way. `ours` begins the names by which the program calls the platform's tools."""

    def __init__(self, ours: str = "") -> None:
        self._ours = ours
        self._handoffs: dict[str, HandoffDocument] = {}
        self._pending: set[str] = set()
        self.accepted: HandoffDocument | None = None

    def begun(self, number: str, tool: str, arguments: Object) -> ToolCall:
        number = number[:MAX_NAME_CHARS]
        if len(self._pending) < MOST_PENDING:
            self._pending.add(number)
        if tool == self._ours + HAND_IN:
            with contextlib.suppress(ValidationError, ValueError, RecursionError):  # the agent is told what is wrong
                self._handoffs[number] = HandoffDocument.model_validate_json(json.dumps(arguments))
        shown = {
            text(name)[:MAX_NAME_CHARS]: argument(value) for name, value in list(arguments.items())[:MOST_ARGUMENTS]
        }
        return ToolCall(id=number, tool=tool.removeprefix(self._ours)[:MAX_NAME_CHARS], arguments=shown)

    def done(self, number: str, summary: str, *, ok: bool) -> ToolResult:
        number = number[:MAX_NAME_CHARS]
        self._pending.discard(number)
        handoff = self._handoffs.pop(number, None)
        if handoff is not None and ok:
            self.accepted = handoff
        return ToolResult(id=number, ok=ok, summary=clip(summary, SHORT_CHARS))

    def handed_in(self) -> Iterator[SessionEvent]:
        """The end, once there is one."""
        if self.accepted is not None and not self._pending:
            yield self.end(self.accepted)

    def end(self, handoff: HandoffDocument) -> End:
        return End(outcome=handoff.outcome, reason="handed in", handoff=handoff)


class JsonLines:
    """Implements Reading for a program that writes one JSON object a line, and tells by one that it is done. Kinds of lines a
    subclass does not know are to be passed over: programs add some with every release.
    """

    def __init__(self, ours: str = "") -> None:
        self.calls = Calls(ours)
        self.last = ""

    def hear(self, line: bytes) -> Heard:
        told = entry(line)
        if told is None:
            return Heard((garbage(line),) if line.strip() else ())
        return Heard(tuple(self.told(told)))

    def told(self, told: Object) -> Iterator[SessionEvent]:
        raise NotImplementedError

    def finish(self, status: int) -> tuple[SessionEvent, ...]:
        """Of a program that ended in the middle, its exit status tells nothing."""
        del status
        return ()

    def ended(self) -> str:
        return self.last

    def said(self, words: str) -> Iterator[SessionEvent]:
        if words.strip():
            self.last = text(words)[-SHORT_CHARS:]
            yield Message(text=clip(words, TEXT_CHARS))

    def stopped(self) -> End:
        """It speaks no more, and says that all is well."""
        if self.calls.accepted is not None:
            return self.calls.end(self.calls.accepted)
        return End(outcome="failed", reason="it ended without a handoff")


class TextLines:
    """Implements Reading for a program that writes text: its lines are messages, the first of them on record as they come, the
    last kept for the end, however many there are.
    """

    def __init__(self) -> None:
        self._shown = 0
        self._tail: deque[str] = deque(maxlen=LAST_LINES)

    def hear(self, line: bytes) -> Heard:
        words = line[:TEXT_CHARS].decode("utf-8", "replace").rstrip()
        if not words:
            return Heard()
        self._tail.append(clip(words, SHORT_CHARS))
        self._shown += 1
        return Heard((Message(text=words),) if self._shown <= MOST_LINES else ())

    def finish(self, status: int) -> tuple[SessionEvent, ...]:
        return (ended_by_itself(self.ended()) if status == 0 else failed(f"exit status {status}: {self.ended()}"),)

    def ended(self) -> str:
        said = " | ".join(self._tail)
        return said if len(said) <= ENDED_CHARS else f"[...] {said[-ENDED_CHARS:]}"


def ended_by_itself(words: str) -> End:
    """Of a program without the platform's tools, with the last it said. What is changed decides what it is worth."""
    done = clip(words.strip() or "It ended without a word.", DONE_CHARS)
    return End(outcome="submitted", reason=ENDED, handoff=HandoffDocument(outcome="submitted", done=done))


def failed(words: str, status: object = None) -> End:
    """A program's own account of why it gave up. What the gateway refused for good is answered with 400; what it means for
    the swarm is for the control plane to say, which refused it.
    """
    if status == 400:
        return End(outcome="refused", reason=clip(f"HTTP 400: {words}", SHORT_CHARS))
    if isinstance(status, int) and not isinstance(status, bool):
        kind = "model_unavailable" if status == 429 or status >= 500 else "model_error"
        return End(outcome="failed", reason=clip(f"{kind}: HTTP {status}: {words}", SHORT_CHARS))
    return End(outcome="failed", reason=clip(f"model_error: {words.strip() or 'no reason was given'}", SHORT_CHARS))


def entry(line: bytes) -> Object | None:
    """The JSON object of a line; None for anything else."""
    try:
        value = json.loads(line) if len(line) <= MAX_LINE_BYTES else None
    except (ValueError, RecursionError):
        return None
    return cast("Object", value) if isinstance(value, dict) else None


def garbage(line: bytes) -> Garbage:
    begins = line[: 4 * GARBAGE_SHOWN_CHARS].decode("utf-8", "replace")[:GARBAGE_SHOWN_CHARS]
    return Garbage(reason="not a JSON object, or too long", begins=begins, size_bytes=len(line))


def argument(value: object) -> str | bool | None:
    if value is None or isinstance(value, bool):
        return value
    try:
        return clip(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), SHORT_CHARS)
    except (ValueError, RecursionError):
        return "[cannot be shown]"


def content(value: object) -> str:
    """Of a tool's result: a text, or blocks of which the texts count."""
    if isinstance(value, str):
        return text(value)
    return "\n".join(text(mapping(block).get("text")) for block in items(value)).strip()


def clip(words: str, limit: int) -> str:
    clean = words.encode("utf-8", "replace").decode()
    return clean if len(clean) <= limit else f"{clean[:limit]} [... {len(clean) - limit} more characters]"


def mapping(value: object) -> Object:
    return cast("Object", value) if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def text(value: object) -> str:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_TOKENS // 4 else 0
