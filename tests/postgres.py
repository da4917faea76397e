"""A PostgreSQL server for the tests of this process: its own data, a private port on loopback, gone with the process."""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import psycopg
import pytest

from swarmworks.store import postgres_schema

FOLDERS = (*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/local/pgsql/bin"))
NOBODY = 65534
NO_LARGE_OBJECTS = """
REVOKE EXECUTE ON FUNCTION lo_creat(int), lo_create(oid), lo_from_bytea(oid, bytea), lo_put(oid, bigint, bytea),
    lowrite(int, bytea) FROM PUBLIC;
"""
"""As docs/reach.md says it, in a database that agents are to read."""
READY_S = 60.0
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)

needs_postgres = pytest.mark.skipif(
    not any((folder / "initdb").exists() for folder in FOLDERS) and shutil.which("initdb") is None,
    reason="PostgreSQL's server programs are not installed (Debian: apt-get install postgresql)",
)


def a_database() -> str:
    """The address of a fresh, empty database."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    server = _server()
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server}/{name}"


def a_store() -> str:
    """The address of a database with the newest schema, and nothing in it: a copy of one that was brought to it."""
    name, server = f"t_{uuid.uuid4().hex[:12]}", _server()
    template = _brought_to_newest()
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return f"{server}/{name}"


@functools.cache
def _brought_to_newest() -> str:
    address = a_database()
    with postgres_schema.migrating(address) as connection:
        postgres_schema.upgraded(connection, "the tests' template")
    return address.rpartition("/")[2]


@functools.cache
def _server() -> str:
    folder = Path(tempfile.mkdtemp(prefix="swarm-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    server = Server(folder)
    server.start()
    atexit.register(server.stop)
    return server.address


class Server:
    """A server of its own, its data below `folder`. It can be started again; `address` stays the same."""

    def __init__(self, folder: Path, *initdb: str, **settings: str) -> None:
        self.folder, self.port = folder, free_port()
        self.address = f"postgresql://swarm@127.0.0.1:{self.port}"
        self._owner = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        if self._owner:
            os.chown(folder, NOBODY, NOBODY)
        self._settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(folder),
            "max_connections": "100",
            "shared_buffers": "64MB",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        make = f"-D {folder}/data -A trust -U swarm -E UTF8 --locale=C -N".split()
        done = subprocess.run(
            (program("initdb"), *make, *initdb), check=False, capture_output=True, cwd=folder, **self._owner
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + READY_S
        while not self._answers():
            assert time.monotonic() < deadline, "the database server does not start"
            if (
                self._process is None or self._process.poll() is not None
            ):  # again, while what is left of the last one ends
                self._process = self._begun()
            time.sleep(0.05)

    def _begun(self) -> subprocess.Popen[bytes]:
        options = [word for key, value in self._settings.items() for word in ("-c", f"{key}={value}")]
        return subprocess.Popen(
            (program("postgres"), "-D", f"{self.folder}/data", *options),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            preexec_fn=end_with_the_tests,  # noqa: PLW1509 - one call into libc, loaded before
            **self._owner,
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(f"{self.address}/postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """As `pg_ctl stop -m immediate`: nothing is written any more, connections break. Recovers at the next start."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()


def end_with_the_tests() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def program(name: str) -> str:
    found = next((folder / name for folder in FOLDERS if (folder / name).exists()), None) or shutil.which(name)
    assert found is not None
    return str(found)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
