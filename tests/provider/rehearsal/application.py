"""A generated application, judged from outside: by real tools, and by calls to a real server."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx

from tests.provider.rehearsal.loop import OpenAIChat, Workspace, run_task
from tests.provider.rehearsal.prompts import planned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PYPROJECT = """
[tool.ruff]
line-length = 100
[tool.ruff.lint]
select = ["E", "F", "I", "UP", "B", "SIM"]
[tool.mypy]
strict = true
[tool.pytest.ini_options]
testpaths = ["tests"]
"""
HTTPX_NOTICE = "ignore:Using `httpx`"


class QuickWorkspace(Workspace):
    """Answers commands without running them, where a whole plan is driven and judged at its end."""

    def tool_run_command(self, command: str, timeout_s: int = 120) -> str:
        return "exit code 0\nAll checks passed!\n"


def start(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text(PYPROJECT)


def build(model: httpx.Client, plan: Any, root: Path) -> dict[str, dict[str, Any]]:
    """Every task of the plan in an order its dependencies allow; the handoffs by task id."""
    start(root)
    handoffs: dict[str, dict[str, Any]] = {}
    pending = [task for task in plan.tasks if task.kind != "verify_quality"]
    while pending:
        task = next(t for t in pending if not set(t.depends_on) - set(handoffs))
        pending.remove(task)
        before = snapshot(root)
        outcome = run_task(OpenAIChat(model, planned(task, plan, root)), QuickWorkspace(root))
        assert outcome.handoff, f"{task.id}: {outcome.text}"
        changed = {path for path, text in snapshot(root).items() if before.get(path) != text}
        assert all(any(p == o or (o.endswith("/") and p.startswith(o)) for o in task.owns) for p in changed), task.id
        assert {entry["path"] for entry in outcome.handoff["changed"]} == changed, task.id
        handoffs[task.id] = outcome.handoff
    return handoffs


def snapshot(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file() and p.suffix != ".pyc"}


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def lint_problems(root: Path) -> str:
    run(root, "ruff", "format", "--no-cache", "-q", ".")
    done = run(root, "ruff", "check", "--no-cache", "--fix", "--output-format", "concise", ".")
    return "" if done.returncode == 0 else done.stdout + done.stderr


def run_tests(root: Path, *paths: str) -> subprocess.CompletedProcess[str]:
    return run(root, "pytest", "-q", "-x", "-p", "no:cacheprovider", "-W", HTTPX_NOTICE, *paths)


@contextlib.contextmanager
def served(root: Path) -> Iterator[httpx.Client]:
    """The application under its documented start command."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "app.main:create_app", "--port", str(port)]
    environment = {"PATH": os.environ["PATH"], "DATABASE_PATH": str(root / "served.db")}
    with subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                wait_for(client)
                yield client
        finally:
            process.terminate()


def wait_for(client: httpx.Client) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            assert client.get("/health").json() == {"status": "ok"}
            return
    raise AssertionError("the application does not start")


def openapi_paths(client: httpx.Client) -> set[tuple[str, str]]:
    paths = json.loads(client.get("/openapi.json").text)["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}
