"""Gemini CLI as an agent: how it is started, and what its JSON lines mean. Measured with 0.61.0.

One prompt a session, on standard input, with the tools that work on files and commands and the platform's; those that search
or read the web are the vendor's own, and off. Its session ends when its call of `hand_in` was accepted. Its exit status is that
of HTTP, modulo 256, and 0 for a stream that was cut: only its last line counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from swarmworks.runtime.housing import NodePackage
from swarmworks.runtime.reading import (
    SERVER,
    SHORT_CHARS,
    TEXT_CHARS,
    JsonLines,
    Object,
    count,
    failed,
    mapping,
    text,
)
from swarmworks.runtime.sheet import Package, Sheet
from swarmworks.wire.session_events import End, SessionEvent, Usage

OURS = f"mcp_{SERVER}_"
SYSTEM = (
    "$system\n\n# Your tools of the platform\n\n"
    f"`hand_in`, `ask_person` and `progress` are the tools {OURS}hand_in, {OURS}ask_person and {OURS}progress. Your work counts "
    f"only once {OURS}hand_in has accepted it; to stop speaking does not hand anything in.\n"
)


class StreamJson(JsonLines):
    """What it says comes in pieces, which are one message until something else is told."""

    def __init__(self) -> None:
        super().__init__(OURS)
        self._pieces = ""

    def told(self, told: Object) -> Iterator[SessionEvent]:
        if told.get("type") == "message":
            if told.get("role") == "assistant" and len(self._pieces) < TEXT_CHARS:
                self._pieces += text(told.get("content"))
            return
        yield from self.said(self._pieces)
        self._pieces = ""
        match told.get("type"):
            case "tool_use":
                number, tool = text(told.get("tool_id")), text(told.get("tool_name"))
                yield self.calls.begun(number, tool, mapping(told.get("parameters")))
            case "tool_result":
                answer = text(told.get("output")) or text(mapping(told.get("error")).get("message"))
                yield self.calls.done(text(told.get("tool_id")), answer, ok=told.get("status") == "success")
                yield from self.calls.handed_in()
            case "error":
                self.last = text(told.get("message"))[-SHORT_CHARS:]
            case "result":
                yield _usage(mapping(told.get("stats")))
                yield self.stopped() if told.get("status") == "success" else self._failed(told)
            case _:
                pass

    def _failed(self, told: Object) -> End:
        if self.calls.accepted is not None:
            return self.calls.end(self.calls.accepted)
        return failed(text(mapping(told.get("error")).get("message")) or self.last)


def _usage(stats: Object) -> Usage:
    return Usage(
        input_tokens=count(stats.get("input_tokens")),
        output_tokens=count(stats.get("output_tokens")),
        cache_read_tokens=count(stats.get("cached")),
    )


LEFT_OUT = (
    *("google_web_search", "web_fetch"),
    *("invoke_agent", "codebase_investigator", "activate_skill"),
    *("enter_plan_mode", "exit_plan_mode", "ask_user", "update_topic", "write_todos", "save_memory"),
    *("list_background_processes", "read_background_output"),
)
"""Named one by one: a list of what is allowed would shut out the platform's tools, too."""

SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "general": {
        "enableAutoUpdate": False,
        "enableAutoUpdateNotification": False,
        "retryFetchErrors": False,
        "maxAttempts": 1,
    },
    "context": {"fileName": ["swarm-system.md", "GEMINI.md"]},
    "tools": {
        "exclude": list(LEFT_OUT),
        "sandbox": False,
        "useRipgrep": False,
        "shell": {"enableInteractiveShell": False},
    },
    "skills": {"enabled": False},
    "hooksConfig": {"enabled": False},
    "ide": {"enabled": False},
    "experimental": {"enableAgents": False},
    "mcpServers": {
        SERVER: {
            "httpUrl": "$gateway_url/mcp",
            "headers": {"Authorization": "Bearer $token"},
            "trust": True,
            "timeout": 120_000,
        }
    },
}

EXPERIMENTS = {"flags": [{"flagId": 45773134, "intValue": "600"}], "experimentIds": []}
"""How long it waits for an answer to begin, in seconds: else a minute, and a model that thinks, or whose turn has not come at the
gateway, takes longer. It has no setting for that, only this flag (DEFAULT_REQUEST_TIMEOUT), which it also reads from a file.
"""

GEMINI = Sheet(
    name="gemini",
    wires=frozenset({"google"}),
    housing=NodePackage(),
    arguments=(
        *("--model", "$model"),
        *("--output-format", "stream-json"),
        *("--approval-mode", "yolo"),
        "--skip-trust",
    ),
    environment={
        "GEMINI_CLI_HOME": "$home",
        "GEMINI_API_KEY": "$token",
        "GOOGLE_GEMINI_BASE_URL": "$gateway_url",
        "GEMINI_CLI_NO_RELAUNCH": "true",
        "GEMINI_EXP": "$home/.gemini/experiments.json",
        "GEMINI_TELEMETRY_ENABLED": "false",
    },
    files={
        ".gemini/settings.json": SETTINGS,
        ".gemini/experiments.json": EXPERIMENTS,
        ".gemini/swarm-system.md": SYSTEM,
    },
    reading=StreamJson,
    package=Package("npm", "@google/gemini-cli", "0.61.0"),
    memory_mb=230,
)
