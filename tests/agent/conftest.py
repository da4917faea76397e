from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import swarmworks
from swarmworks.wire.session_events import End, Message, SessionEvent, ToolCall, ToolResult, Usage, parse_line

ENTRY = Path(swarmworks.__file__).parent / "agent" / "__main__.py"
TOKEN = "swt_secret_of_this_session"


@dataclass(frozen=True)
class Run:
    events: list[SessionEvent]
    status: int
    stderr: str

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def end(self) -> End:
        last = self.events[-1]
        assert isinstance(last, End), last
        return last

    @property
    def results(self) -> list[ToolResult]:
        return self.of(ToolResult)

    @property
    def messages(self) -> list[Message]:
        return self.of(Message)

    @property
    def calls(self) -> list[ToolCall]:
        return self.of(ToolCall)

    @property
    def usage(self) -> list[Usage]:
        return self.of(Usage)


class Agent:
    """The real agent process, as the worker starts it: no site packages, no environment of ours."""

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir

    def request(self, model, **changes):
        return {
            "format": 1,
            "system": "You are an agent.",
            "prompt": "# Task t1: the task",
            "model": "m-1",
            "wire": "openai",
            "base_url": model.base_url if model is not None else "http://127.0.0.1:9/v1",
            "workdir": str(self.workdir),
            "owned": ["app/x.py", "tests/"],
            "writable_hint": True,
            "max_turns": 20,
            "max_output_tokens": 1000,
            "context_limit_bytes": 200_000,
            "deadline_s": 30,
            "command_timeout_s": 10,
        } | changes

    def start(self, model, **changes):
        return self.start_raw(json.dumps(self.request(model, **changes)).encode())

    def start_raw(self, stdin: bytes):
        process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-B", str(ENTRY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": str(self.workdir), "SWARM_TOKEN": TOKEN, "OTHER": "secret"},
            cwd="/",
        )
        process.stdin.write(stdin)
        process.stdin.close()
        process.stdin = None
        return process

    def finish(self, process, timeout_s=40):
        stdout, stderr = process.communicate(timeout=timeout_s)
        events = [parse_line(line) for line in stdout.splitlines() if line]
        return Run(events, process.returncode, stderr.decode())

    def run(self, model, **changes):
        run = self.finish(self.start(model, **changes))
        assert run.stderr == ""
        assert run.status == 0
        return run


@pytest.fixture
def agent(tmp_path):
    workdir = tmp_path / "copy"
    (workdir / "app").mkdir(parents=True)
    (workdir / "tests").mkdir()
    (workdir / "app" / "x.py").write_text("VALUE = 1\n")
    (workdir / "app" / "y.py").write_text("OTHER = 2\n")
    return Agent(workdir)
