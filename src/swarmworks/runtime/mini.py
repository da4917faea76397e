"""mini-swe-agent as an agent: how it is started, and what its lines mean. Measured with 2.4.6.

One task a session, from a configuration file, with a shell as its only tool. Its own agent is extended by `mini_agent.py.txt`,
which tells what it does. It does not speak MCP: it hands in by its own command of completion.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from swarmworks.runtime.housing import PythonScript
from swarmworks.runtime.protocol import Facts
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

SUBMITTED = "Submitted"
AGENT = Path(__file__).with_name("mini_agent.py.txt").read_text(encoding="utf-8")


class Steps(JsonLines):
    """Messages of its conversation."""

    def told(self, told: Object) -> Iterator[SessionEvent]:
        match told.get("role"):
            case "assistant":
                yield from self.said(content(told.get("content")))
                if told.get("usage") is not None:
                    yield _usage(mapping(told.get("usage")))
                for call in map(mapping, items(told.get("calls"))):
                    yield self.calls.begun(text(call.get("id")), "bash", {"command": call.get("command")})
            case "tool":
                yield self.calls.done(text(told.get("call")), content(told.get("content")), ok=told.get("status") == 0)
            case "exit":
                status = text(told.get("status"))
                words = f"{status}: {content(told.get('content'))}"
                yield ended_by_itself(self.last) if status == SUBMITTED else failed(words)
            case _:
                pass


def _usage(usage: Object) -> Usage:
    details = mapping(usage.get("prompt_tokens_details"))
    return Usage(
        input_tokens=count(usage.get("prompt_tokens")),
        output_tokens=count(usage.get("completion_tokens")),
        cache_read_tokens=count(details.get("cached_tokens")),
    )


def _nothing(facts: Facts) -> bytes:
    del facts
    return b"\n"


MINI = Sheet(
    name="mini",
    wires=frozenset({"openai"}),
    housing=PythonScript(),
    arguments=(
        *("--config", "mini.yaml"),
        *("--config", "$home/task.yaml"),
        *("--agent-class", "swarm_agent.Telling"),
        *("--model", "openai/$model"),
        *("--output", "$home/trajectory.json"),
        *("--cost-limit", "0"),
        "--yolo",
        "--exit-immediately",
    ),
    environment={
        "PYTHONPATH": "$home/agent",
        "MSWEA_CONFIGURED": "true",
        "MSWEA_SILENT_STARTUP": "1",
        "MSWEA_COST_TRACKING": "ignore_errors",
        "MSWEA_GLOBAL_CONFIG_DIR": "$home/.mini",
        "MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENAI_API_KEY": "$token",
        "SWARM_TOKEN": "$token",
        "OPENAI_API_BASE": "$gateway_url/v1",
    },
    files={
        "task.yaml": {"run": {"task": f"{ENDS}\n$prompt"}, "environment": {"timeout": "$command_timeout_s"}},
        "agent/swarm_agent.py": AGENT.replace("$", "$$"),
    },
    first_input=_nothing,
    reading=Steps,
    package=Package("pip", "mini-swe-agent", "2.4.6", beside=("mcp",)),
    memory_mb=220,
    version=(),
)
