"""The agent's normal-form events: JSON lines on stdout, each flushed and bounded. The schema is in docs/agent-events.md."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from swarmworks.agent import document

if TYPE_CHECKING:
    from swarmworks.agent.conversation import TokenUsage, ToolCall

MAX_TEXT_CHARS = 4_000
MAX_ARGUMENT_CHARS = 500
MAX_ARGUMENTS = 20
MAX_SUMMARY_CHARS = 500
MAX_REASON_CHARS = 500
MAX_NAME_CHARS = 100


class EventWriter:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._in_line = False

    def message(self, text: str) -> None:
        self._write({"type": "message", "text": document.clip(text, MAX_TEXT_CHARS)})

    def tool_call(self, call: ToolCall) -> None:
        arguments = {
            document.clip(name, MAX_NAME_CHARS): _bounded(value)
            for name, value in list((call.arguments or {}).items())[:MAX_ARGUMENTS]
        }
        self._write(
            {"type": "tool_call", "id": call.id[:MAX_NAME_CHARS], "tool": _name(call.tool), "arguments": arguments}
        )

    def tool_result(self, call_id: str, *, ok: bool, summary: str, duration_s: float) -> None:
        self._write(
            {
                "type": "tool_result",
                "id": call_id[:MAX_NAME_CHARS],
                "ok": ok,
                "summary": document.clip(summary, MAX_SUMMARY_CHARS),
                "duration_s": round(duration_s, 3),
            }
        )

    def usage(self, usage: TokenUsage) -> None:
        self._write(
            {
                "type": "usage",
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
                "cache_read_tokens": usage.cache_read_tokens,
                "cache_write_tokens": usage.cache_write_tokens,
            }
        )

    def end(self, outcome: str, reason: str, handoff: dict[str, object] | None) -> None:
        reason = document.clip(document.text(reason), MAX_REASON_CHARS)
        self._write({"type": "end", "outcome": outcome, "reason": reason, "handoff": handoff})

    def _write(self, event: dict[str, object]) -> None:
        """An interrupt may cut a line; the next one then starts on its own, and the reader sees one garbage line."""
        line = json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"
        rest = (("\n" if self._in_line else "") + line).encode()
        self._in_line = True
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._in_line = False


def _name(tool: str) -> str:
    return document.clip(tool, MAX_NAME_CHARS) or "?"


def _bounded(value: object) -> object:
    if isinstance(value, str):
        return document.clip(value, MAX_ARGUMENT_CHARS)
    if value is None or isinstance(value, bool):
        return value
    return document.clip(json.dumps(value, ensure_ascii=False), MAX_ARGUMENT_CHARS)
