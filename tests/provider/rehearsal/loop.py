"""A small agent loop for tests: the documented tools on a directory, driven by a model over HTTP."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

TOOLS = ("list_files", "read_file", "search", "write_file", "edit_file", "run_command", "hand_in")
MAX_TURNS = 30
SYSTEM = "You are a coding agent."
REMINDER = "Use a tool, or hand_in when done."


@dataclass
class Workspace:
    """The contract's tools on `root`; `python` is the interpreter that commands see as `python`."""

    root: Path
    python: str = sys.executable
    calls: list[str] = field(default_factory=list)

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        self.calls.append(name)
        try:
            return getattr(self, f"tool_{name}")(**arguments)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            return f"error: {error}"

    def tool_list_files(self, path: str = ".", limit: int = 1000) -> str:
        found = sorted(str(p.relative_to(self.root)) for p in (self.root / path).rglob("*") if p.is_file())
        kept = [p for p in found if not re.search(r"(^|/)(\.git|__pycache__|\.\w+_cache)/", p)]
        return "\n".join(kept[:limit])

    def tool_read_file(self, path: str, start_line: int = 1, end_line: int = 10_000) -> str:
        lines = (self.root / path).read_text().splitlines(keepends=True)
        return "".join(lines[start_line - 1 : end_line])

    def tool_write_file(self, path: str, content: str) -> str:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        return f"wrote {path} ({len(content.splitlines())} lines)"

    def tool_edit_file(self, path: str, old: str, new: str) -> str:
        text = (self.root / path).read_text()
        if text.count(old) != 1:
            return f"error: the text occurs {text.count(old)} times in {path}"
        (self.root / path).write_text(text.replace(old, new))
        return f"edited {path}"

    def tool_search(self, pattern: str, path: str = ".") -> str:
        rows = []
        for name in self.tool_list_files(path).splitlines():
            for number, line in enumerate((self.root / name).read_text(errors="replace").splitlines(), 1):
                if re.search(pattern, line):
                    rows.append(f"{name}:{number}: {line}")
        return "\n".join(rows[:100])

    def tool_run_command(self, command: str, timeout_s: int = 120) -> str:
        environment = {
            "PATH": f"{Path(self.python).parent}:{os.environ['PATH']}",
            "HOME": str(self.root),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return f"exit code {done.returncode}\n{done.stdout}{done.stderr}"


@dataclass(frozen=True)
class Outcome:
    handoff: dict[str, Any] | None
    text: str
    turns: int


class OpenAIChat:
    """Talks Chat Completions and keeps the transcript in its wire format."""

    def __init__(self, client: httpx.Client, prompt: str, tools: tuple[str, ...] = TOOLS) -> None:
        self.client = client
        self.messages: list[dict[str, Any]] = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": prompt},
        ]
        self.tools = [{"type": "function", "function": {"name": t, "parameters": {"type": "object"}}} for t in tools]

    def turn(self) -> tuple[str, list[tuple[str, str, dict[str, Any]]]]:
        body = {"model": "rehearsal", "messages": self.messages, "tools": self.tools}
        response = self.client.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, response.text
        message = response.json()["choices"][0]["message"]
        self.messages.append(message)
        calls = message.get("tool_calls") or []
        return message["content"] or "", [
            (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls
        ]

    def answer(self, results: list[tuple[str, str]]) -> None:
        for call_id, text in results:
            self.messages.append({"role": "tool", "tool_call_id": call_id, "content": text})

    def remind(self) -> None:
        self.messages.append({"role": "user", "content": REMINDER})


class AnthropicChat:
    """Talks Messages and keeps the transcript in its wire format."""

    def __init__(self, client: httpx.Client, prompt: str, tools: tuple[str, ...] = TOOLS) -> None:
        self.client = client
        self.messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
        self.tools = [{"name": t, "input_schema": {"type": "object"}} for t in tools]

    def turn(self) -> tuple[str, list[tuple[str, str, dict[str, Any]]]]:
        body = {
            "model": "rehearsal",
            "system": SYSTEM,
            "messages": self.messages,
            "tools": self.tools,
            "max_tokens": 32_000,
        }
        response = self.client.post("/v1/messages", json=body)
        assert response.status_code == 200, response.text
        content = response.json()["content"]
        self.messages.append({"role": "assistant", "content": content})
        text = "".join(block["text"] for block in content if block["type"] == "text")
        return text, [(b["id"], b["name"], b["input"]) for b in content if b["type"] == "tool_use"]

    def answer(self, results: list[tuple[str, str]]) -> None:
        blocks = [{"type": "tool_result", "tool_use_id": i, "content": text} for i, text in results]
        self.messages.append({"role": "user", "content": blocks})

    def remind(self) -> None:
        self.messages.append({"role": "user", "content": REMINDER})


def run_task(chat: OpenAIChat | AnthropicChat, workspace: Workspace) -> Outcome:
    """Play one session to its hand-in, or to a second answer without any tool."""
    reminded = False
    for turn in range(1, MAX_TURNS + 1):
        text, calls = chat.turn()
        if not calls:
            if reminded:
                return Outcome(None, text, turn)
            reminded = True
            chat.remind()
            continue
        for _, name, arguments in calls:
            if name == "hand_in":
                return Outcome(arguments, text, turn)
        chat.answer([(call_id, workspace.call(name, arguments)) for call_id, name, arguments in calls])
    raise AssertionError(f"no hand-in after {MAX_TURNS} turns")
