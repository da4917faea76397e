"""A control plane as a user starts it (`swarm serve`, a process of its own), in a fresh project, on either store."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.postgres import a_database
from tests.scenario.harness import repository

from swarmworks.settings import read_run_file

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).resolve().parents[1]
STORES = ("sqlite", "postgresql")
READY_S = 60.0
CONFIG = """
[project]
name = "bench"
[models]
default = "rehearsal:rehearsal"
[gates.tests]
run = "true"
[gates.required]
default = ["scope", "tests"]
"""


@dataclass(frozen=True)
class Served:
    root: Path
    base: str  # the commit its repository is at
    pid: int
    url: str
    operator_token: str
    worker_token: str


@contextlib.contextmanager
def project(prefix: str) -> Generator[tuple[Path, str]]:
    """Its folder, with a repository of one commit, and that commit."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{prefix}-", dir=ROOT) as folder:
        root = Path(folder) / "site"
        yield root, repository(root, {"README.md": "hello\n", "swarm.toml": CONFIG})


@contextlib.contextmanager
def served(root: Path, base: str, store: str) -> Generator[Served]:
    """Until the block ends. Its own worker starts too, unless somebody holds `.swarm/worker.lock`."""
    tokens = {"SWARM_OPERATOR_TOKEN": secrets.token_urlsafe(24), "SWARM_WORKER_TOKEN": secrets.token_urlsafe(24)}
    environment = {**os.environ, **tokens, "PYTHONPATH": str(ROOT / "src")}
    environment.pop("SWARM_STORE_URL", None)
    if store == "postgresql":
        environment["SWARM_STORE_URL"] = a_database()
    argv = (sys.executable, "-m", "swarmworks", "serve")
    process = subprocess.Popen(argv, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        url = _url(root / ".swarm", process)
        yield Served(root, base, process.pid, url, *tokens.values())
    finally:
        process.terminate()
        process.communicate()


def _url(state: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + READY_S
    while (run := read_run_file(state)) is None or run.pid != process.pid:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            out, _ = process.communicate()
            raise SystemExit(f"swarm serve did not start: {out.decode(errors='replace')[-2000:]}")
        time.sleep(0.02)
    return run.url
