"""A pgbouncer in transaction mode before the tests' PostgreSQL server: private, on loopback, gone with this process."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.postgres import NOBODY, READY_S, a_database, end_with_the_tests, free_port, needs_postgres

PROGRAM = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
CONFIGURATION = """\
[databases]
* = host={host} port={port} user=swarm

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 10
max_client_conn = 200
server_idle_timeout = 5
"""

needs_pgbouncer = pytest.mark.skipif(
    needs_postgres.args[0] or not Path(PROGRAM).exists(),
    reason="PostgreSQL or pgbouncer is not installed (Debian: apt-get install postgresql pgbouncer)",
)


def through_pgbouncer(database: str) -> str:
    """The address of `database`, one of `a_database()`, through the pooler."""
    server, name = database.rsplit("/", 1)
    return f"{_pooler(server)}/{name}"


@functools.cache
def _pooler(server: str) -> str:
    folder = Path(tempfile.mkdtemp(prefix="swarm-pgbouncer-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    owner = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    if owner:
        os.chown(folder, NOBODY, NOBODY)
    port, behind = free_port(), urlsplit(server)
    file = folder / "pgbouncer.ini"
    file.write_text(CONFIGURATION.format(host=behind.hostname, port=behind.port, listen_port=port))
    pooler = subprocess.Popen(
        (PROGRAM, "-q", str(file)),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=end_with_the_tests,  # noqa: PLW1509 - this process has one thread when it first asks for one
        **owner,
    )
    atexit.register(_stop, pooler)
    address = f"postgresql://swarm@127.0.0.1:{port}"
    probe, deadline = a_database().rsplit("/", 1)[1], time.monotonic() + READY_S
    while True:
        try:
            psycopg.connect(f"{address}/{probe}", connect_timeout=2).close()
        except psycopg.OperationalError:
            if pooler.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return address


def _stop(pooler: subprocess.Popen[bytes]) -> None:
    pooler.kill()
    pooler.wait()
