"""aider as an agent: how it is started, and what its text means. Measured with 0.86.2.

One message a session, from a file: it edits what the model's answer says and ends. It has no tools, runs no commands here and
does not speak MCP: it hands in by ending, with exit status 0 even after a call that was refused, which the gateway knows.
"""

from __future__ import annotations

import re

from swarmworks.runtime.housing import PythonScript
from swarmworks.runtime.protocol import Facts, Heard
from swarmworks.runtime.reading import SHORT_CHARS, TextLines, clip, count
from swarmworks.runtime.sheet import ENDS, Package, Sheet
from swarmworks.wire.session_events import ToolCall, ToolResult, Usage

_APPLIED = re.compile(r"Applied edit to (.{1,500})")
_TOKENS = re.compile(r"Tokens: ([\d.]{1,12})(k?) sent, (?:.{0,80}, )?([\d.]{1,12})(k?) received")


class Output(TextLines):
    """An edit is told once it was made."""

    def __init__(self) -> None:
        super().__init__()
        self._edits = 0

    def hear(self, line: bytes) -> Heard:
        words = line.decode("utf-8", "replace").strip()
        if (edit := _APPLIED.fullmatch(words)) is not None:
            self._edits += 1
            number, path = f"edit-{self._edits}", clip(edit.group(1), SHORT_CHARS)
            return Heard((ToolCall(id=number, tool="edit", arguments={"path": path}), ToolResult(id=number, ok=True)))
        told = super().hear(line).events
        if (tokens := _TOKENS.match(words)) is not None:
            sent, received = _count(tokens.group(1), tokens.group(2)), _count(tokens.group(3), tokens.group(4))
            told = (*told, Usage(input_tokens=sent, output_tokens=received))
        return Heard(told)


def _count(number: str, thousands: str) -> int:
    """It rounds to a tenth of a thousand. What is no number counts as nothing."""
    try:
        return count(round(float(number) * (1_000 if thousands else 1)))
    except ValueError:
        return 0


def _nothing(facts: Facts) -> bytes:
    del facts
    return b"\n"


AIDER = Sheet(
    name="aider",
    wires=frozenset({"openai"}),
    housing=PythonScript(),
    arguments=(
        *("--message-file", "$home/message.md"),
        *("--model", "openai/$model"),
        *("--weak-model", "openai/$model"),
        *("--editor-model", "openai/$model"),
        "--yes-always",
        "--no-auto-commits",
        "--no-dirty-commits",
        "--no-gitignore",
        "--no-check-update",
        "--no-show-release-notes",
        "--no-show-model-warnings",
        "--no-suggest-shell-commands",
        "--no-detect-urls",
        "--no-auto-lint",
        "--analytics-disable",
        "--no-pretty",
        "--no-fancy-input",
        *("--chat-history-file", "$home/chat.md"),
        *("--input-history-file", "$home/input"),
    ),
    environment={
        "OPENAI_API_KEY": "$token",
        "SWARM_TOKEN": "$token",
        "OPENAI_API_BASE": "$gateway_url/v1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "COLUMNS": "1000",
    },
    files={
        "message.md": f"{ENDS}\n$prompt\n",
        ".gitconfig": "[user]\n\tname = agent\n\temail = agent@swarm.invalid\n",
    },
    first_input=_nothing,
    reading=Output,
    package=Package("pip", "aider-chat", "0.86.2"),
    memory_mb=230,
)
