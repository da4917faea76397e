"""opencode as an agent: how it is started, and what its JSON lines mean. Measured with 1.18.33.

One message a session, on standard input, and the platform's MCP server. It tells no end: with a last step that calls no tool it
stops, and with an error it ends as well. Its session ends when its call of `hand_in` was accepted.
"""

from __future__ import annotations

from collections.abc import Iterator

from swarmworks.runtime.housing import Native
from swarmworks.runtime.reading import (
    SERVER,
    JsonLines,
    Object,
    count,
    failed,
    mapping,
    text,
)
from swarmworks.runtime.sheet import Package, Sheet
from swarmworks.wire.session_events import SessionEvent, Usage

OURS = f"{SERVER}_"
SYSTEM = (
    "$system\n\n# Your tools of the platform\n\n"
    f"`hand_in`, `ask_person` and `progress` are the tools {OURS}hand_in, {OURS}ask_person and {OURS}progress. Your work counts "
    f"only once {OURS}hand_in has accepted it; to stop speaking does not hand anything in.\n"
)


class RunEvents(JsonLines):
    """A tool is told of once it is done."""

    def __init__(self) -> None:
        super().__init__(OURS)
        self._error = ""

    def told(self, told: Object) -> Iterator[SessionEvent]:
        part = mapping(told.get("part"))
        match told.get("type"):
            case "text":
                yield from self.said(text(part.get("text")))
            case "tool_use":
                yield from self._tool(part)
            case "step_finish":
                yield _usage(mapping(part.get("tokens")))
            case "error":
                error = mapping(told.get("error"))
                self._error = text(mapping(error.get("data")).get("message")) or text(error.get("name")) or "an error"
            case _:
                pass

    def finish(self, status: int) -> tuple[SessionEvent, ...]:
        if self._error:
            return (failed(self._error),)
        return (self.stopped(),) if status == 0 else ()

    def _tool(self, part: Object) -> Iterator[SessionEvent]:
        number, state = text(part.get("callID")), mapping(part.get("state"))
        yield self.calls.begun(number, text(part.get("tool")), mapping(state.get("input")))
        answer = text(state.get("output")) or text(state.get("error"))
        yield self.calls.done(number, answer, ok=state.get("status") == "completed")
        yield from self.calls.handed_in()


def _usage(tokens: Object) -> Usage:
    """Its counts of input leave out what was cached."""
    cache = mapping(tokens.get("cache"))
    read, written = count(cache.get("read")), count(cache.get("write"))
    return Usage(
        input_tokens=count(tokens.get("input")) + read + written,
        output_tokens=count(tokens.get("output")) + count(tokens.get("reasoning")),
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


CONFIG = {
    "model": "swarm/$model",
    "small_model": "swarm/$model",
    "enabled_providers": ["swarm"],
    "provider": {
        "swarm": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "swarm",
            "options": {"baseURL": "$gateway_url/v1", "apiKey": "{env:SWARM_TOKEN}"},
            "models": {"$model": {"name": "$model"}},
        }
    },
    "mcp": {
        SERVER: {
            "type": "remote",
            "url": "$gateway_url/mcp",
            "headers": {"Authorization": "Bearer {env:SWARM_TOKEN}"},
            "oauth": False,
            "timeout": 120_000,
        }
    },
    "permission": {"edit": "allow", "bash": "allow", "external_directory": "allow", "webfetch": "deny"},
    "tools": {"webfetch": False, "websearch": False, "task": False, "skill": False},
    "instructions": ["$home/swarm-system.md"],
    "share": "disabled",
    "autoupdate": False,
}

OPENCODE = Sheet(
    name="opencode",
    wires=frozenset({"openai"}),
    housing=Native(below=("opencode-linux-{arch}/bin/opencode", "opencode-linux-{arch}-baseline/bin/opencode")),
    arguments=("run", "--pure", *("--format", "json"), *("--title", "a task of a swarm")),
    environment={
        "OPENCODE_CONFIG": "$home/opencode.json",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        "SWARM_TOKEN": "$token",
    },
    files={"opencode.json": CONFIG, "swarm-system.md": SYSTEM},
    reading=RunEvents,
    package=Package("npm", "opencode-ai", "1.18.33"),
    memory_mb=520,
    help=("run", "--help"),
)
