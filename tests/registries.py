"""Whole runs build a project's environment, which takes a package registry: the one thing that is not on loopback."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile

import pytest


@functools.cache
def reachable() -> bool:
    """Whether pip finds a package, as it is configured on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        ask = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir", "-d", folder, "iniconfig"]
        try:
            return subprocess.run(ask, capture_output=True, timeout=60, check=False).returncode == 0
        except subprocess.TimeoutExpired:
            return False


needs_registries = pytest.mark.skipif(
    "not __import__('tests.registries', fromlist=['reachable']).reachable()",
    reason="LEFT OUT: no package registry is reachable, so no project environment can be built",
)
