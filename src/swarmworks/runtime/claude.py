"""Claude Code as an agent: how it is started, and what its stream of JSON lines means. Measured with 2.1.197.

It gets a home and configuration of its own, the six tools that work on files and commands, and the platform's MCP server; no
settings, hooks, plugins or memory of the user or of the repository. It may do what it likes inside the sandbox, which is what
holds it. Its session ends when its call of `hand_in` was accepted, not when it stops speaking.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import ValidationError

from swarmworks.runtime.protocol import Facts, Heard
from swarmworks.runtime.sheet import Sheet
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
    Usage,
)

SERVER = "swarm"
OURS = f"mcp__{SERVER}__"
HAND_IN = f"{OURS}hand_in"
TEXT_CHARS = 4_000
SHORT_CHARS = 500
MOST_ARGUMENTS = 20
MOST_PENDING = 1_000
REMINDER = (
    f"You stopped without handing in, and what was not handed in is lost. Finish what is left, then call the tool {HAND_IN}; "
    "with outcome nothing_to_do when there is nothing to do, or needs_answer when only a person can help."
)
SYSTEM = (
    "$system\n\n# Your tools of the platform\n\n"
    f"`hand_in`, `ask_person` and `progress` are tools of the MCP server `{SERVER}`: {HAND_IN}, {OURS}ask_person and "
    f"{OURS}progress. Your work counts only once {HAND_IN} has accepted it; to stop speaking does not hand anything in."
)
UNREACHED = "the session could not be run: Claude Code did not reach the platform's tools"

Object = Mapping[str, Any]


def spoken(text: str) -> bytes:
    """Words of a user, as its standard input wants them."""
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    return json.dumps({"type": "user", "message": message}).encode() + b"\n"


def _first_input(facts: Facts) -> bytes:
    return spoken(facts.prompt)


class StreamJson:
    """Implements Reading. Kinds of lines it does not know are passed over: the program adds some with every release."""

    def __init__(self) -> None:
        self._handoffs: dict[str, HandoffDocument] = {}
        self._pending: set[str] = set()
        self._accepted: HandoffDocument | None = None
        self._reminded = False
        self._last = ""

    def hear(self, line: bytes) -> Heard:
        entry = _entry(line)
        if entry is None:
            return Heard((_garbage(line),) if line.strip() else ())
        match entry.get("type"):
            case "system":
                return self._system(entry)
            case "assistant":
                return Heard(tuple(self._assistant(_object(entry.get("message")))))
            case "user":
                return Heard(tuple(self._user(_object(entry.get("message")))))
            case "result":
                return self._result(entry)
            case _:
                return Heard()

    def ended(self) -> str:
        return self._last

    def _system(self, entry: Object) -> Heard:
        """`init` lists the MCP servers: without ours nothing could ever be handed in."""
        if entry.get("subtype") == "api_retry":
            self._last = f"it was trying to reach the model again ({entry.get('error_status')})"
        servers = [_object(one) for one in _items(entry.get("mcp_servers"))]
        reached = any(_text(one.get("status")) in {"connected", "pending"} for one in servers)
        if entry.get("subtype") != "init" or reached:
            return Heard()
        return Heard((End(outcome="failed", reason=UNREACHED),))

    def _assistant(self, message: Object) -> Iterator[SessionEvent]:
        for block in map(_object, _items(message.get("content"))):
            if block.get("type") == "text" and _text(block.get("text")).strip():
                self._last = _text(block.get("text"))[-SHORT_CHARS:]
                yield Message(text=_clip(_text(block.get("text")), TEXT_CHARS))
            elif block.get("type") == "tool_use":
                yield self._call(block)

    def _call(self, block: Object) -> ToolCall:
        number, tool = _text(block.get("id"))[:MAX_NAME_CHARS], _text(block.get("name"))
        arguments = _object(block.get("input"))
        if len(self._pending) < MOST_PENDING:
            self._pending.add(number)
        if tool == HAND_IN:
            with contextlib.suppress(ValidationError):  # the platform tells the agent what is wrong with it
                self._handoffs[number] = HandoffDocument.model_validate_json(json.dumps(arguments))
        shown = {
            _text(name)[:MAX_NAME_CHARS]: _argument(value) for name, value in list(arguments.items())[:MOST_ARGUMENTS]
        }
        return ToolCall(id=number, tool=tool.removeprefix(OURS)[:MAX_NAME_CHARS], arguments=shown)

    def _user(self, message: Object) -> Iterator[SessionEvent]:
        for block in map(_object, _items(message.get("content"))):
            if block.get("type") != "tool_result":
                continue
            number = _text(block.get("tool_use_id"))[:MAX_NAME_CHARS]
            ok = block.get("is_error") is not True
            self._pending.discard(number)
            handoff = self._handoffs.pop(number, None)
            if handoff is not None and ok:
                self._accepted = handoff
            yield ToolResult(id=number, ok=ok, summary=_clip(_content(block.get("content")), SHORT_CHARS))
        if self._accepted is not None and not self._pending:
            yield self._handed_in(self._accepted)

    def _handed_in(self, handoff: HandoffDocument) -> End:
        return End(outcome=handoff.outcome, reason="handed in", handoff=handoff)

    def _result(self, entry: Object) -> Heard:
        """The end of a turn. Its figures are the program's word; a call it did not make to the gateway's knowledge does not
        exist.
        """
        usage = _usage(_object(entry.get("usage")))
        if self._accepted is not None:
            return Heard((usage, self._handed_in(self._accepted)))
        if entry.get("is_error") is True or entry.get("subtype") != "success":
            return Heard((usage, _failed(entry)))
        if not self._reminded:
            self._reminded = True
            return Heard((usage,), reply=spoken(REMINDER))
        return Heard((usage, End(outcome="failed", reason="it ended without a handoff, although it was reminded")))


def _failed(entry: Object) -> End:
    """Only a refusal for good ends as `refused`: the gateway answers it with 400, and the reason names the budget."""
    status, words = entry.get("api_error_status"), _text(entry.get("result")).strip()
    subtype = _text(entry.get("subtype"))
    if status == 400:
        return End(outcome="refused", reason=_clip(f"HTTP 400: {words}", SHORT_CHARS))
    if isinstance(status, int):
        kind = "model_unavailable" if status == 429 or status >= 500 else "model_error"
        return End(outcome="failed", reason=_clip(f"{kind}: HTTP {status}: {words}", SHORT_CHARS))
    told = words or "; ".join(_text(one) for one in _items(entry.get("errors"))) or "no reason was given"
    kind = "max_turns" if subtype == "error_max_turns" else "internal"
    return End(outcome="failed", reason=_clip(f"{kind}: {subtype}: {told}", SHORT_CHARS))


def _usage(usage: Object) -> Usage:
    read, written = _count(usage.get("cache_read_input_tokens")), _count(usage.get("cache_creation_input_tokens"))
    return Usage(
        input_tokens=_count(usage.get("input_tokens")) + read + written,
        output_tokens=_count(usage.get("output_tokens")),
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


def _entry(line: bytes) -> Object | None:
    try:
        value = json.loads(line) if len(line) <= MAX_LINE_BYTES else None
    except (ValueError, RecursionError):
        return None
    return cast("Object", value) if isinstance(value, dict) else None


def _garbage(line: bytes) -> Garbage:
    begins = line[: 4 * GARBAGE_SHOWN_CHARS].decode("utf-8", "replace")[:GARBAGE_SHOWN_CHARS]
    return Garbage(reason="not a JSON object, or too long", begins=begins, size_bytes=len(line))


def _argument(value: object) -> str | bool | None:
    if value is None or isinstance(value, bool):
        return value
    return _clip(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), SHORT_CHARS)


def _content(value: object) -> str:
    """Of a tool's result: a text, or blocks of which the texts count."""
    if isinstance(value, str):
        return _text(value)
    return "\n".join(_text(_object(block).get("text")) for block in _items(value)).strip()


def _clip(text: str, limit: int) -> str:
    clean = text.encode("utf-8", "replace").decode()
    return clean if len(clean) <= limit else f"{clean[:limit]} [... {len(clean) - limit} more characters]"


def _object(value: object) -> Object:
    return cast("Object", value) if isinstance(value, dict) else {}


def _items(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _text(value: object) -> str:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_TOKENS // 4 else 0


CLAUDE = Sheet(
    name="claude",
    wires=frozenset({"anthropic"}),
    inside="/opt/claude/claude",
    arguments=(
        "--print",
        "--verbose",
        *("--output-format", "stream-json"),
        *("--input-format", "stream-json"),
        *("--model", "$model"),
        *("--permission-mode", "bypassPermissions"),
        *("--tools", "Bash,Edit,Read,Write,Grep,Glob"),
        *("--setting-sources", "user"),
        "--disable-slash-commands",
        "--no-session-persistence",
        "--strict-mcp-config",
        *("--mcp-config", "$home/mcp.json"),
        *("--append-system-prompt-file", "$home/system.md"),
    ),
    environment={
        "ANTHROPIC_BASE_URL": "$gateway_url",
        "ANTHROPIC_API_KEY": "$token",
        "ANTHROPIC_SMALL_FAST_MODEL": "$model",
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": "$model",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "$output_tokens",
        "CLAUDE_CONFIG_DIR": "$home/.claude",
        "BASH_DEFAULT_TIMEOUT_MS": "$command_timeout_ms",
        "BASH_MAX_TIMEOUT_MS": "$command_timeout_ms",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "IS_SANDBOX": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": "/dev/null",
    },
    files={
        "system.md": SYSTEM,
        "mcp.json": {
            "mcpServers": {
                SERVER: {
                    "type": "http",
                    "url": "$gateway_url/mcp",
                    "headers": {"Authorization": "Bearer $token"},
                    "alwaysLoad": True,
                }
            }
        },
    },
    first_input=_first_input,
    reading=StreamJson,
    says=lambda text: spoken(f"A person says: {text}"),
    asks=spoken,
    install="npm install -g @anthropic-ai/claude-code, then node install.cjs in its folder should the program be a stand-in",
)
