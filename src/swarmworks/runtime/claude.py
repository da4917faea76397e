"""Claude Code as an agent: how it is started, and what its stream of JSON lines means. Measured with 2.1.197.

It gets a home and configuration of its own, the six tools that work on files and commands, and the platform's MCP server; no
settings, hooks, plugins or memory of the user or of the repository. It may do what it likes inside the sandbox, which is what
holds it. Its session ends when its call of `hand_in` was accepted, not when it stops speaking.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from swarmworks.runtime.housing import Native
from swarmworks.runtime.protocol import Facts, Heard
from swarmworks.runtime.reading import (
    SERVER,
    SHORT_CHARS,
    TEXT_CHARS,
    Calls,
    Object,
    clip,
    content,
    count,
    entry,
    failed,
    garbage,
    items,
    mapping,
    text,
)
from swarmworks.runtime.sheet import Package, Sheet
from swarmworks.wire.session_events import End, Message, SessionEvent, Usage

OURS = f"mcp__{SERVER}__"
HAND_IN = f"{OURS}hand_in"
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


def spoken(text: str) -> bytes:
    """Words of a user, as its standard input wants them."""
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    return json.dumps({"type": "user", "message": message}).encode() + b"\n"


def _first_input(facts: Facts) -> bytes:
    return spoken(facts.prompt)


class StreamJson:
    """Implements Reading. Kinds of lines it does not know are passed over: the program adds some with every release."""

    def __init__(self) -> None:
        self._calls = Calls(OURS)
        self._reminded = False
        self._last = ""

    def hear(self, line: bytes) -> Heard:
        told = entry(line)
        if told is None:
            return Heard((garbage(line),) if line.strip() else ())
        match told.get("type"):
            case "system":
                return self._system(told)
            case "assistant":
                return Heard(tuple(self._assistant(mapping(told.get("message")))))
            case "user":
                return Heard(tuple(self._user(mapping(told.get("message")))))
            case "result":
                return self._result(told)
            case _:
                return Heard()

    def finish(self, status: int) -> tuple[SessionEvent, ...]:
        del status  # it says nothing: its session ends with a line
        return ()

    def ended(self) -> str:
        return self._last

    def _system(self, told: Object) -> Heard:
        """`init` lists the MCP servers: without ours nothing could ever be handed in."""
        if told.get("subtype") == "api_retry":
            self._last = f"it was trying to reach the model again ({told.get('error_status')})"
        servers = [mapping(one) for one in items(told.get("mcp_servers"))]
        reached = any(text(one.get("status")) in {"connected", "pending"} for one in servers)
        if told.get("subtype") != "init" or reached:
            return Heard()
        return Heard((End(outcome="failed", reason=UNREACHED),))

    def _assistant(self, message: Object) -> Iterator[SessionEvent]:
        for block in map(mapping, items(message.get("content"))):
            if block.get("type") == "text" and text(block.get("text")).strip():
                self._last = text(block.get("text"))[-SHORT_CHARS:]
                yield Message(text=clip(text(block.get("text")), TEXT_CHARS))
            elif block.get("type") == "tool_use":
                yield self._calls.begun(text(block.get("id")), text(block.get("name")), mapping(block.get("input")))

    def _user(self, message: Object) -> Iterator[SessionEvent]:
        for block in map(mapping, items(message.get("content"))):
            if block.get("type") == "tool_result":
                ok = block.get("is_error") is not True
                yield self._calls.done(text(block.get("tool_use_id")), content(block.get("content")), ok=ok)
        yield from self._calls.handed_in()

    def _result(self, told: Object) -> Heard:
        """The end of a turn. Its figures are the program's word; a call it did not make to the gateway's knowledge does not
        exist.
        """
        usage = _usage(mapping(told.get("usage")))
        if self._calls.accepted is not None:
            return Heard((usage, self._calls.end(self._calls.accepted)))
        if told.get("is_error") is True or told.get("subtype") != "success":
            return Heard((usage, _failed(told)))
        if not self._reminded:
            self._reminded = True
            return Heard((usage,), reply=spoken(REMINDER))
        return Heard((usage, End(outcome="failed", reason="it ended without a handoff, although it was reminded")))


def _failed(told: Object) -> End:
    """Only a refusal for good ends as `refused`: the gateway answers it with 400, and the reason names the budget."""
    status, words = told.get("api_error_status"), text(told.get("result")).strip()
    subtype = text(told.get("subtype"))
    if isinstance(status, int):
        return failed(words, status)
    said = words or "; ".join(text(one) for one in items(told.get("errors"))) or "no reason was given"
    kind = "max_turns" if subtype == "error_max_turns" else "internal"
    return End(outcome="failed", reason=clip(f"{kind}: {subtype}: {said}", SHORT_CHARS))


def _usage(usage: Object) -> Usage:
    read, written = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    return Usage(
        input_tokens=count(usage.get("input_tokens")) + read + written,
        output_tokens=count(usage.get("output_tokens")),
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


CLAUDE = Sheet(
    name="claude",
    wires=frozenset({"anthropic"}),
    housing=Native(),
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
    package=Package("npm", "@anthropic-ai/claude-code", "2.1.197", after="install.cjs"),
    memory_mb=300,
    unlisted=frozenset({"--append-system-prompt-file"}),
)
