"""Codex as an agent: how it is started, and what its JSON lines mean. Measured with 0.171.0.

One turn a session, its prompt on standard input; its own sandbox and approvals are off inside ours (a sandbox of its own that
cannot be set up there makes it run nothing, and end with success). It speaks Responses and nothing else. Its session ends when
its call of `hand_in` was accepted.
"""

from __future__ import annotations

from collections.abc import Iterator

from swarmworks.runtime.housing import Native
from swarmworks.runtime.reading import (
    SERVER,
    SHORT_CHARS,
    JsonLines,
    Object,
    content,
    count,
    failed,
    mapping,
    text,
)
from swarmworks.runtime.sheet import Package, Sheet
from swarmworks.wire.session_events import SessionEvent, Usage

SYSTEM = (
    "$system\n\n# Your tools of the platform\n\n"
    f"`hand_in`, `ask_person` and `progress` are tools of the MCP server `{SERVER}`. Your work counts only once `hand_in` has "
    "accepted it; to stop speaking does not hand anything in.\n"
)
TOOLS = {"command_execution": "command", "mcp_tool_call": "", "file_change": "file_change", "web_search": "web_search"}


class ThreadEvents(JsonLines):
    """Its items of type `error` are remarks; an error that ends the turn comes as `turn.failed`."""

    def __init__(self) -> None:
        super().__init__()
        self._begun: set[str] = set()

    def told(self, told: Object) -> Iterator[SessionEvent]:
        item = mapping(told.get("item"))
        match told.get("type"):
            case "item.started":
                yield from self._started(item)
            case "item.completed":
                yield from self._completed(item)
            case "turn.completed":
                yield _usage(mapping(told.get("usage")))
                yield self.stopped()
            case "turn.failed":
                yield failed(text(mapping(told.get("error")).get("message")))
            case "error":
                self.last = text(told.get("message"))[-SHORT_CHARS:]
            case _:
                pass

    def _started(self, item: Object) -> Iterator[SessionEvent]:
        kind, number = text(item.get("type")), text(item.get("id"))
        if kind not in TOOLS or number in self._begun:
            return
        self._begun.add(number)
        if kind == "mcp_tool_call":
            server, tool = text(item.get("server")), text(item.get("tool"))
            tool = tool if server == SERVER else f"{server}.{tool}"
            yield self.calls.begun(number, tool, mapping(item.get("arguments")))
        else:
            told = {key: item[key] for key in ("command", "changes", "query") if key in item}
            yield self.calls.begun(number, TOOLS[kind], told)

    def _completed(self, item: Object) -> Iterator[SessionEvent]:
        kind, number = text(item.get("type")), text(item.get("id"))
        if kind == "agent_message":
            yield from self.said(text(item.get("text")))
        elif kind == "error":
            self.last = text(item.get("message"))[-SHORT_CHARS:]
        elif kind in TOOLS:
            yield from self._started(item)  # a change of files is told only once it was made
            self._begun.discard(number)
            yield self.calls.done(number, _outcome(item), ok=item.get("status", "completed") == "completed")
            yield from self.calls.handed_in()


def _outcome(item: Object) -> str:
    error = text(mapping(item.get("error")).get("message"))
    answer = content(mapping(item.get("result")).get("content"))
    return error or answer or text(item.get("aggregated_output"))


def _usage(usage: Object) -> Usage:
    """Its counts of input include what was cached."""
    return Usage(
        input_tokens=count(usage.get("input_tokens")),
        output_tokens=count(usage.get("output_tokens")),
        cache_read_tokens=count(usage.get("cached_input_tokens")),
        cache_write_tokens=count(usage.get("cache_write_input_tokens")),
    )


CONFIG = """\
model = "$model"
model_provider = "swarm"
approval_policy = "never"
sandbox_mode = "danger-full-access"
allow_login_shell = false
web_search = "disabled"
check_for_update_on_startup = false
cli_auth_credentials_store = "file"

[model_providers.swarm]
name = "swarm"
base_url = "$gateway_url/v1"
env_key = "SWARM_TOKEN"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0

[mcp_servers.swarm]
url = "$gateway_url/mcp"
bearer_token_env_var = "SWARM_TOKEN"
required = true
tool_timeout_sec = 120

[agents]
enabled = false

[shell_environment_policy]
ignore_default_excludes = false

[analytics]
enabled = false

[history]
persistence = "none"

[features]
apps = false
goals = false
hooks = false
image_generation = false
memories = false
plugins = false
tool_suggest = false
unbounded_connection_retries = false
"""

CODEX = Sheet(
    name="codex",
    wires=frozenset({"responses"}),
    housing=Native(below=("@openai/codex-linux-{arch}/vendor/*/bin/codex", "@openai/codex/vendor/*/bin/codex")),
    arguments=(
        *("exec", "--json"),
        "--ephemeral",
        "--skip-git-repo-check",
        "--dangerously-bypass-approvals-and-sandbox",
        "-",
    ),
    environment={
        "CODEX_HOME": "$home/.codex",
        "SWARM_TOKEN": "$token",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": "/dev/null",
    },
    files={".codex/config.toml": CONFIG, ".codex/AGENTS.md": SYSTEM},
    reading=ThreadEvents,
    package=Package("npm", "@openai/codex", "0.171.0"),
    memory_mb=160,
    help=("exec", "--help"),
)
