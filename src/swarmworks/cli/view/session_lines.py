"""A session's events as lines for a person who looks over the agent's shoulder. Pure: the caller prints them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from swarmworks.cli.view.amounts import counted, dollars, plain, tokens
from swarmworks.wire.api import EventRow

MOST_TEXT_LINES = 40
MOST_RESULT_LINES = 8
MOST_LINE = 400
INDENT = "  "


@dataclass(frozen=True, slots=True)
class Line:
    """`style` is a Rich style, empty for the terminal's own."""

    text: str
    style: str = ""


def session_lines(event: EventRow) -> list[Line]:
    """Of one event of a session; of a kind that a person need not see, none."""
    teller = _TELLERS.get(event.kind)
    return teller(event) if teller is not None else []


def _text(event: EventRow, key: str) -> str:
    value = event.data.get(key)
    return "" if value is None else str(value)


def _block(text: str, most: int) -> list[str]:
    """The lines of `text` from a model or a tool: no control codes, at most `most` of them."""
    rows = [_clean(row) for row in text.splitlines()]
    while rows and not rows[-1].strip():
        rows.pop()
    if len(rows) > most:
        return [*rows[: most - 1], f"... {counted(len(rows) - most + 1, 'more line')}"]
    return rows


def _clean(row: str) -> str:
    return "".join(c if c.isprintable() else " " for c in row.expandtabs(4))[:MOST_LINE].rstrip()


def _started(event: EventRow) -> list[Line]:
    who = event.actor.rpartition(":")[2]
    text = f"{who} starts on {event.task_id}, attempt {_text(event, 'attempt')}, {_text(event, 'model')}"
    return [Line(plain(text), "bold")]


def _message(event: EventRow) -> list[Line]:
    return [Line(row) for row in _block(_text(event, "text"), MOST_TEXT_LINES)]


def _call(event: EventRow) -> list[Line]:
    shown = [f"{name}={_short(value)}" for name, value in _arguments(event.data.get("arguments")).items()]
    return [Line(plain(f"> {_text(event, 'tool')} {' '.join(shown)}")[:MOST_LINE], "cyan")]


def _arguments(value: object) -> Mapping[str, Any]:
    """They are on record as the text of a mapping, cut when they were long."""
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    text = str(value or "")
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {"arguments": text} if text.strip("{} ") else {}
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {"arguments": text}


def _short(value: object) -> str:
    text = plain(str(value))
    return text if len(text) <= 160 else f"{text[:159]}…"


def _result(event: EventRow) -> list[Line]:
    ok = event.data.get("ok") is True
    rows = _block(_text(event, "summary"), MOST_RESULT_LINES) or ["(nothing)"]
    style = "dim" if ok else "red"
    return [Line(f"{INDENT}{row}", style) for row in rows]


def _end(event: EventRow) -> list[Line]:
    outcome = _text(event, "outcome").replace("_", " ")
    reason = _text(event, "reason")
    return [Line(plain(f"the agent ends: {outcome}{f', {reason}' if reason else ''}"), "bold")]


def _ended(event: EventRow) -> list[Line]:
    outcome = _text(event, "outcome").replace("_", " ")
    used, cost = event.data.get("tokens"), event.data.get("cost_nano_usd")
    parts = [f"session ended: {outcome}"]
    if reason := _text(event, "reason"):
        parts.append(reason)
    if isinstance(used, int) and used:
        parts.append(f"{tokens(used)} tokens")
    if isinstance(cost, int) and cost:
        parts.append(dollars(cost))
    changed = event.data.get("changed")
    if isinstance(changed, list) and changed:
        parts.append(counted(len(cast("list[object]", changed)), "file") + " changed")
    good = outcome in {"submitted", "nothing to do"}
    return [Line(plain(", ".join(parts)), "bold green" if good else "bold yellow")]


def _sent(event: EventRow) -> list[Line]:
    who = event.actor.rpartition(":")[2]
    return [Line(plain(f"{who}: {_text(event, 'text')}"), "bold magenta")]


def _delivered(event: EventRow) -> list[Line]:
    del event
    return [Line(f"{INDENT}(handed to the agent)", "magenta")]


def _asked(event: EventRow) -> list[Line]:
    return [
        Line(plain(f"asks a person: {_text(event, 'text')}"), "bold magenta"),
        Line(f"{INDENT}answer it with: swarm answer {_text(event, 'question')} ...", "magenta"),
    ]


def _answered(event: EventRow) -> list[Line]:
    who = event.actor.rpartition(":")[2]
    return [Line(plain(f"{who} answers: {_text(event, 'answer')}"), "bold magenta")]


def _progress(event: EventRow) -> list[Line]:
    return [Line(plain(f"progress: {_text(event, 'text')}"), "blue")]


_TELLERS: Mapping[str, Callable[[EventRow], list[Line]]] = {
    "session.started": _started,
    "session.message": _message,
    "session.tool_call": _call,
    "session.tool_result": _result,
    "session.progress": _progress,
    "session.end": _end,
    "session.ended": _ended,
    "message.sent": _sent,
    "message.delivered": _delivered,
    "question.asked": _asked,
    "question.answered": _answered,
}
