"""A Redis server for one measurement: its own folder, a private port on loopback, ended with the block."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

READY_S = 20.0
EVERY_WRITE = ("--appendonly", "yes", "--appendfsync", "always")
NEVER = ("--appendonly", "no")


def has_redis() -> bool:
    return shutil.which("redis-server") is not None


@contextlib.contextmanager
def redis_server(folder: str, synced: tuple[str, ...]) -> Generator[str]:
    """Its address. `folder` is where its data lies, on the disk that is measured."""
    with tempfile.TemporaryDirectory(dir=folder) as data:
        port = _free_port()
        argv = ("redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", data, "--save", "", *synced)
        server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _answering(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


def _answering(port: int) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
