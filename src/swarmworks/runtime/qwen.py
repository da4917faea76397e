"""Qwen Code as an agent: how it is started, and what its JSON lines mean. Measured with 0.24.4.

One prompt a session, on standard input, with the tools that work on files and commands and the platform's, which it would
otherwise keep behind a search of its own. Its session ends when its call of `hand_in` was accepted. A call of the model that
failed becomes words of the assistant; older versions then end with success and exit status 0, so neither is believed.
"""

from __future__ import annotations

from collections.abc import Iterator

from swarmworks.runtime.housing import NodePackage
from swarmworks.runtime.reading import (
    SERVER,
    JsonLines,
    Object,
    content,
    count,
    failed,
    items,
    mapping,
    text,
)
from swarmworks.runtime.sheet import Package, Sheet
from swarmworks.wire.session_events import End, SessionEvent, Usage

OURS = f"mcp__{SERVER}__"
FAILURE = "[API Error: "
SYSTEM = (
    "$system\n\n# Your tools of the platform\n\n"
    f"`hand_in`, `ask_person` and `progress` are the tools {OURS}hand_in, {OURS}ask_person and {OURS}progress. Your work counts "
    f"only once {OURS}hand_in has accepted it; to stop speaking does not hand anything in.\n"
)


class StreamJson(JsonLines):
    """An assistant's message that tells of a failed call is an error until another one follows."""

    def __init__(self) -> None:
        super().__init__(OURS)
        self._error = ""

    def told(self, told: Object) -> Iterator[SessionEvent]:
        match told.get("type"):
            case "assistant":
                yield from self._assistant(mapping(told.get("message")))
            case "user":
                yield from self._results(mapping(told.get("message")))
            case "result":
                yield _usage(mapping(told.get("usage")))
                yield self._ended(told)
            case _:
                pass

    def _assistant(self, message: Object) -> Iterator[SessionEvent]:
        self._error = ""
        for block in map(mapping, items(message.get("content"))):
            if block.get("type") == "text":
                words = text(block.get("text"))
                if words.startswith(FAILURE):
                    self._error = words.removeprefix(FAILURE).removesuffix("]")
                yield from self.said(words)
            elif block.get("type") == "tool_use":
                yield self.calls.begun(text(block.get("id")), text(block.get("name")), mapping(block.get("input")))

    def _results(self, message: Object) -> Iterator[SessionEvent]:
        for block in map(mapping, items(message.get("content"))):
            if block.get("type") == "tool_result":
                ok = block.get("is_error") is not True
                yield self.calls.done(text(block.get("tool_use_id")), content(block.get("content")), ok=ok)
        yield from self.calls.handed_in()

    def _ended(self, told: Object) -> End:
        if self.calls.accepted is not None:
            return self.calls.end(self.calls.accepted)
        wrong = told.get("is_error") is True or told.get("subtype") != "success"
        if wrong or self._error:
            said = text(mapping(told.get("error")).get("message")) or self._error or self.last
            return failed(said)
        return self.stopped()


def _usage(usage: Object) -> Usage:
    return Usage(
        input_tokens=count(usage.get("input_tokens")),
        output_tokens=count(usage.get("output_tokens")),
        cache_read_tokens=count(usage.get("cache_read_input_tokens")),
    )


LEFT_OUT = (
    *("web_fetch", "web_search", "agent", "task", "skill", "save_memory", "todo_write", "ask_user_question"),
    *("enter_plan_mode", "exit_plan_mode", "get_goal", "update_goal", "notebook_edit", "lsp"),
)
"""Named one by one: a list of what is allowed would shut out the platform's tools, too."""

SETTINGS = {
    "$$version": 3,
    "security": {"auth": {"selectedType": "openai"}, "folderTrust": {"enabled": False}},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "general": {"enableAutoUpdate": False, "chatRecording": False},
    "context": {"fileName": ["swarm-system.md", "QWEN.md"]},
    "model": {"name": "$model", "generationConfig": {"maxRetries": 0}},
    "tools": {"exclude": list(LEFT_OUT), "sandbox": False, "useRipgrep": False},
    "disableAllHooks": True,
    "ide": {"enabled": False},
    "memory": {"enableManagedAutoMemory": False, "enableManagedAutoDream": False},
    "mcpServers": {
        SERVER: {
            "httpUrl": "$gateway_url/mcp",
            "headers": {"Authorization": "Bearer $token"},
            "trust": True,
            "alwaysLoadTools": True,
            "discoveryTimeoutMs": 120_000,  # else five seconds, after which it goes on without the tools
            "timeout": 120_000,
        }
    },
}

QWEN = Sheet(
    name="qwen",
    wires=frozenset({"openai"}),
    housing=NodePackage(),
    arguments=(
        *("--auth-type", "openai"),
        *("--model", "$model"),
        *("--output-format", "stream-json"),
        *("--approval-mode", "yolo"),
    ),
    environment={
        "QWEN_HOME": "$home/.qwen",
        "OPENAI_API_KEY": "$token",
        "OPENAI_BASE_URL": "$gateway_url/v1",
        "OPENAI_MODEL": "$model",
        "QWEN_CODE_MAX_OUTPUT_TOKENS": "$output_tokens",
        "QWEN_CODE_NO_RELAUNCH": "true",
        "QWEN_CODE_SUPPRESS_YOLO_WARNING": "1",
        "QWEN_DISABLE_AUTO_TITLE": "1",
        "QWEN_TELEMETRY_ENABLED": "false",
    },
    files={".qwen/settings.json": SETTINGS, ".qwen/swarm-system.md": SYSTEM},
    reading=StreamJson,
    package=Package("npm", "@qwen-code/qwen-code", "0.24.4"),
    memory_mb=420,
)
