"""Pi as an agent: how it is started, and what its JSON lines mean. Measured with 0.73.1.

One prompt a session, on standard input, with its own tools. It does not speak MCP: it hands in by ending.
"""

from __future__ import annotations

from collections.abc import Iterator

from swarmworks.runtime.housing import NodePackage
from swarmworks.runtime.reading import (
    JsonLines,
    Object,
    content,
    count,
    ended_by_itself,
    failed,
    items,
    mapping,
    text,
)
from swarmworks.runtime.sheet import ENDS, Package, Sheet
from swarmworks.wire.session_events import SessionEvent, Usage


class AgentEvents(JsonLines):
    """An answer of the model that failed is a message whose reason to stop is an error; the end comes all the same."""

    def __init__(self) -> None:
        super().__init__()
        self._error = ""

    def told(self, told: Object) -> Iterator[SessionEvent]:
        match told.get("type"):
            case "message_end":
                yield from self._message(mapping(told.get("message")))
            case "tool_execution_start":
                number, tool = text(told.get("toolCallId")), text(told.get("toolName"))
                yield self.calls.begun(number, tool, mapping(told.get("args")))
            case "tool_execution_end":
                answer = content(mapping(told.get("result")).get("content"))
                yield self.calls.done(text(told.get("toolCallId")), answer, ok=told.get("isError") is not True)
            case "agent_end":
                yield failed(self._error) if self._error else ended_by_itself(self.last)
            case _:
                pass

    def finish(self, status: int) -> tuple[SessionEvent, ...]:
        """Its last line holds the whole conversation, and may be longer than any that is read."""
        if self._error:
            return (failed(self._error),)
        return (ended_by_itself(self.last),) if status == 0 else ()

    def _message(self, message: Object) -> Iterator[SessionEvent]:
        if message.get("role") != "assistant":
            return
        wrong = message.get("stopReason") in {"error", "aborted"}
        self._error = text(message.get("errorMessage")) or "an error" if wrong else ""
        blocks = [mapping(block) for block in items(message.get("content"))]
        yield from self.said("\n".join(text(block.get("text")) for block in blocks if block.get("type") == "text"))
        yield _usage(mapping(message.get("usage")))


def _usage(usage: Object) -> Usage:
    """Its counts of input leave out what was cached."""
    read, written = count(usage.get("cacheRead")), count(usage.get("cacheWrite"))
    return Usage(
        input_tokens=count(usage.get("input")) + read + written,
        output_tokens=count(usage.get("output")),
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


MODELS = {
    "providers": {
        "swarm": {
            "baseUrl": "$gateway_url/v1",
            "api": "openai-completions",
            "apiKey": "SWARM_TOKEN",
            "compat": {"supportsDeveloperRole": False, "supportsReasoningEffort": False, "supportsStore": False},
            "models": [{"id": "$model"}],
        }
    }
}

PI = Sheet(
    name="pi",
    wires=frozenset({"openai"}),
    housing=NodePackage(),
    output_bytes=1 << 30,  # it repeats the whole answer with every piece of it
    arguments=(
        "--print",
        *("--mode", "json"),
        "--no-session",
        "--no-extensions",
        "--no-skills",
        "--no-prompt-templates",
        *("--provider", "swarm"),
        *("--model", "$model"),
        *("--append-system-prompt", "$home/swarm-system.md"),
    ),
    environment={
        "PI_CODING_AGENT_DIR": "$home/.pi/agent",
        "PI_OFFLINE": "1",
        "PI_TELEMETRY": "0",
        "PI_SKIP_VERSION_CHECK": "1",
        "SWARM_TOKEN": "$token",
    },
    files={
        ".pi/agent/models.json": MODELS,
        ".pi/agent/settings.json": {"retry": {"enabled": False}, "quietStartup": True},
        "swarm-system.md": ENDS,
    },
    reading=AgentEvents,
    package=Package("npm", "@mariozechner/pi-coding-agent", "0.73.1"),
    memory_mb=140,
)
