"""Sites whose state lies in a database of their own, behind a cable that can be cut, on clocks that can be set."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.store.postgres import open_postgres
from swarmworks.store.protocol import Store
from tests.chaos.connections import Cable
from tests.postgres import Server
from tests.scenario.driver import SOURCE, Site

STEPPING = Path(__file__).with_name("stepping")


@contextmanager
def a_server(*initdb: str, **settings: str) -> Generator[Server]:
    """Not in a folder of pytest's: those are private, and a database server does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="swarm-pg-"))
    server = Server(folder, *initdb, **settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


class OnPostgres(Site):
    """`cable` is the way of this site's processes to the database; the test's own way is another."""

    HOMES = ("", "/workers/worker")

    def __init__(self, root: Path, url: str, tasks, server: Server, **more) -> None:
        self.server, self.cable = server, Cable(server.port)
        self._clock = root.parent / f"{root.name}-clock"
        self.set_clocks(0)
        super().__init__(root, url, tasks, **more)

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "SWARM_STORE_URL": f"postgresql://swarm@127.0.0.1:{self.cable.port}/postgres",
            "SWARM_TEST_CLOCK": str(self._clock),
            "PYTHONPATH": f"{STEPPING}:{SOURCE}",
        }

    def set_clocks(self, offset_s: float) -> None:
        """The wall clocks of this site's processes, that many seconds off the machine's."""
        new = self._clock.with_suffix(".new")
        new.write_text(str(offset_s))
        new.replace(self._clock)

    async def store(self) -> Store:
        return await open_postgres(f"{self.server.address}/postgres", SystemClock(), RandomIds())

    def close(self) -> None:
        super().close()
        self.cable.close()


class Several(OnPostgres):
    """Control planes and workers that are started again whenever they have ended, until `end`."""

    def __init__(self, *arguments, planes: int, workers: int, **more) -> None:
        super().__init__(*arguments, **more)
        self._posts: dict[str, subprocess.Popen[str] | None] = {f"plane{n}": None for n in range(planes)}
        self._posts |= {f"worker{n}": None for n in range(workers)}
        self.told: list[str] = []

    def man(self) -> None:
        """Every post that is not manned is, now."""
        for name, process in self._posts.items():
            if process is not None and process.poll() is None:
                continue
            if process is not None:
                self.told.append(f"{name} {process.returncode}: {''.join(process.communicate())}")
            self._posts[name] = self.start("serve") if name.startswith("plane") else self._worker(name)

    def _worker(self, name: str) -> subprocess.Popen[str] | None:
        try:
            token = json.loads((self.state / "tokens.json").read_text())["worker"]
            urls = [one["url"] for one in self._running()]
        except (OSError, ValueError):  # no control plane was here yet
            return None
        if not urls:
            return None
        named = [word for url in urls for word in ("--url", url)]
        return self.start("worker", "--name", name, *named, environment={"SWARM_WORKER_TOKEN": token})

    def _running(self) -> list[dict]:
        run = json.loads((self.state / "run.json").read_text())
        return [run, *run.get("others", ())]

    def planes(self) -> list[subprocess.Popen[str]]:
        return [one for name, one in self._posts.items() if one is not None and name.startswith("plane")]

    def end(self) -> list[int]:
        """In order, the workers after the control planes; the exit codes of these."""
        codes = []
        for process in self.planes():
            process.terminate()
        for process in self.planes():
            self.told.append("".join(process.communicate(timeout=60)))
            codes.append(process.returncode)
        for worker in [one for one in self.marked() if one.is_running()]:
            _terminate(worker)
        return codes


def _terminate(process: psutil.Process) -> None:
    try:
        process.terminate()
    except psutil.NoSuchProcess:
        return
