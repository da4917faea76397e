"""The rehearsal model as users have it: a process of its own on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def model() -> Iterator[httpx.Client]:
    command = [sys.executable, "-m", "swarmworks.provider.rehearsal", "--port", "0", "--seed", "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        ready = json.loads(process.stdout.readline())
        with httpx.Client(base_url=f"http://{ready['host']}:{ready['port']}", timeout=60) as client:
            yield client
        process.terminate()
