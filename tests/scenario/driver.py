"""Whole runs with real processes: the `swarm` command in a child, its worker, its sandboxes, and a model on loopback.

Nothing here sleeps: a test waits for calls that reach the model and for processes that end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.event import first_break
from swarmworks.domain.plan import Acceptance, Plan, PlannedTask
from swarmworks.git.hub import BareHub
from swarmworks.settings import read_run_file
from swarmworks.store.protocol import Store
from swarmworks.wire.api import EventRow
from swarmworks.wire.planfile import dump_plan
from tests.scenario.harness import git, plan, repository, task
from tests.scenario.writing_model import WritingModel
from tests.stores import open_test_store, store_environment

SOURCE = Path(__file__).resolve().parents[2] / "src"
MARK = "SWARM_TEST_RUN"
CALL_NANO_USD = 2_000_000
"""What a call of the writing model truly costs at PRICES: 1000 tokens in, 100 out."""
PRICES = """
[prices."local:writer"]
input_usd_per_mtok = 1
output_usd_per_mtok = 10
cache_write_usd_per_mtok = 1
"""
MOST_S = 400.0


class CountedModel(WritingModel):
    """A writing model that can be waited for: `reached(n)` returns when the n-th call has come in. `hold_from(n)` leaves
    that call and those after it without an answer until `release`.
    """

    def __init__(self) -> None:
        self._came = threading.Condition()
        self._hold_from: int | None = None
        self.calls = 0
        super().__init__()
        self._server.handle_error = lambda *_: None  # callers that are killed hang up

    def came(self) -> None:
        with self._came:
            self.calls += 1
            if self._hold_from is not None and self.calls >= self._hold_from:
                self.hold()
            self._came.notify_all()

    def hold_from(self, calls: int) -> None:
        with self._came:
            self._hold_from = calls
            if self.calls >= calls:
                self.hold()

    def release(self) -> None:
        with self._came:
            self._hold_from = None
            super().release()

    def reached(self, calls: int, timeout_s: float = MOST_S) -> bool:
        with self._came:
            return self._came.wait_for(lambda: self.calls >= calls, timeout_s)

    def reached_or_ended(self, calls: int, process: subprocess.Popen[str], timeout_s: float = MOST_S) -> bool:
        """Whether the n-th call came in while the run was still going on."""
        watched = threading.Thread(target=self._wake_at_the_end_of, args=(process,), daemon=True)
        watched.start()
        with self._came:
            self._came.wait_for(lambda: self.calls >= calls or process.poll() is not None, timeout_s)
        return process.poll() is None and self.calls >= calls

    def _wake_at_the_end_of(self, process: subprocess.Popen[str]) -> None:
        process.wait()
        with self._came:
            self._came.notify_all()


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out)


class Site:
    """A repository with its swarm.toml and plan, and the processes started in it. `close` leaves none behind."""

    HOMES = ("",)
    """Where below the state folder workers have their copies."""

    def __init__(self, root: Path, model_url: str, tasks: Plan, *, more: str = "", gates: str = "", agents: int = 6):
        self.root = root
        self.mark = uuid4().hex
        self.state = root / ".swarm"
        self.plan_file = root.parent / f"{root.name}-plan.yaml"
        self.plan_file.write_text(dump_plan(tasks))
        self.plan = tasks
        self.command = [sys.executable, "-m", "swarmworks"]
        self._started: list[subprocess.Popen[str]] = []
        repository(root, {"README.md": "hello\n", "swarm.toml": configuration(model_url, agents, more, gates)})

    def start(self, *arguments: str, environment: dict[str, str] | None = None, **more) -> subprocess.Popen[str]:
        environment = {**self.environment(), **(environment or {})}
        environment.setdefault("OPENAI_API_KEY", "sk-not-a-secret")
        process = subprocess.Popen(
            [*self.command, *arguments],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **more,
        )
        self._started.append(process)
        return process

    def environment(self) -> dict[str, str]:
        store = store_environment(self.state / "state.db")
        return {**os.environ, "PYTHONPATH": str(SOURCE), MARK: self.mark, **store}

    def start_at(self, terminal: int, *arguments: str) -> subprocess.Popen[bytes]:
        """As `start`, at a terminal: the descriptor of its inner side."""
        process = subprocess.Popen(
            [sys.executable, "-m", "swarmworks", *arguments],
            cwd=self.root,
            env={**self.environment(), "COLUMNS": "160"},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        self._started.append(process)  # type: ignore[arg-type]
        return process

    def run(self, *arguments: str, timeout_s: float = MOST_S, **more) -> Ended:
        return ended(self.start(*arguments, **more), timeout_s)

    def start_run(self, *more: str) -> subprocess.Popen[str]:
        return self.start("run", str(self.plan_file), "--json", *more)

    def client(self) -> ControlPlaneClient:
        found = read_run_file(self.state)
        assert found is not None, "no control plane is running"
        return ControlPlaneClient(found.url, found.token)

    async def event(self, process: subprocess.Popen[str], wanted: Callable[[EventRow], bool]) -> EventRow:
        """The first event of the newest swarm that is `wanted`; the run must not end before it comes."""
        async with self.client() as client:
            swarm = (await client.swarms())[0].id
            after = 0
            while process.poll() is None:
                page = await client.events(swarm, after=after, wait_s=5)
                for row in page.events:
                    after = row.seq
                    if wanted(row):
                        return row
        raise AssertionError(ended(process))

    def marked(self) -> list[psutil.Process]:
        """The processes that carry this site's mark in their environment: started by `start`, or by one of those. Only
        these, and what descends from them, are ever killed.
        """
        return [process for process in psutil.process_iter() if self._is_marked(process.pid)]

    def processes(self) -> list[psutil.Process]:
        """To look at, never to kill: the marked ones, and those in a mount namespace of their own that holds our files."""
        return [one for one in psutil.process_iter() if self._is_marked(one.pid) or self._is_inside(one.pid)]

    def _is_marked(self, pid: int) -> bool:
        if pid == os.getpid():
            return False
        try:
            return f"{MARK}={self.mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def _is_inside(self, pid: int, worker: int | None = None) -> bool:
        """Of a worker that mounts, its own helpers see the copies, too: they are in its namespace."""
        folder, others = Path(f"/proc/{pid}"), ["self", *([] if worker is None else [worker])]
        try:
            apart = (folder / "ns/mnt").readlink() not in [Path(f"/proc/{each}/ns/mnt").readlink() for each in others]
            mounts = (folder / "mountinfo").read_text()
        except OSError:
            return False
        return apart and any(f"{self.state}{where}/copies/" in mounts for where in self.HOMES)

    def workers(self) -> list[psutil.Process]:
        return [process for process in self.marked() if "worker" in _command(process)[:5]]

    def sandboxes(self) -> list[psutil.Process]:
        """The outermost process in every session's sandbox, each a descendant of this site's worker."""
        below = [(child, worker.pid) for worker in self.workers() for child in _descendants(worker)]
        inside = [process for process, worker in below if self._is_inside(process.pid, worker)]
        pids = {process.pid for process in inside}
        return [process for process in inside if _parent(process) not in pids]

    def copies(self) -> dict[str, Path]:
        """The working copies of sessions that have not ended, as `<task>/<fence>`."""
        folder = self.state / "copies"
        records = [json.loads(path.read_text()) for path in folder.glob(".state/*/copy.json")]
        names = [record["name"] for record in records if not record["retired"]]
        return {"/".join(name.split("-")[-2:]): self._seen(folder, name) for name in names}

    def _seen(self, folder: Path, name: str) -> Path:
        """An overlay is mounted where its worker is; without one its own layer tells what was written."""
        layer = folder / ".state" / name / "upper"
        workers = self.workers()
        if not layer.exists():
            return folder / name
        return Path(f"/proc/{workers[0].pid}/root{folder / name}") if workers else layer

    def kept(self, session: str, *, left_over: bool) -> str | None:
        """The commit a session's work was kept under: by its own worker, or as a left-over by the next one."""
        refs = git(self.state / "hub.git", "for-each-ref", "--format=%(refname)", "refs/swarm/work").split()
        wanted = session.replace("/", "-") + "/left-over" if left_over else session
        (ref,) = [ref for ref in refs if ref.endswith(wanted)] or [None]
        return ref

    def left_behind(self, timeout_s: float = 10.0) -> list[str]:
        """The processes that are still there after `timeout_s`, by their commands."""
        _, alive = psutil.wait_procs(self.processes(), timeout_s)
        return [" ".join(_command(process)) for process in alive]

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for process in self.marked():  # sandboxes die with their worker
            kill(process)
        psutil.wait_procs(self.processes(), 10)

    async def store(self) -> Store:
        return await open_test_store(self.state / "state.db", SystemClock(), RandomIds())

    async def truth(self) -> Truth:
        """What is stored, once nothing runs any more."""
        store = await self.store()
        try:
            swarm = (await store.read(lambda reader: reader.swarms()))[0]
            return Truth(
                swarm=swarm,
                tasks=await store.read(lambda reader: reader.tasks(swarm.id)),
                sessions=await store.read(lambda reader: reader.sessions(swarm.id)),
                events=await store.read(lambda reader: reader.events(swarm.id, limit=1_000_000)),
                totals=await store.read(lambda reader: reader.totals(swarm.account_id)),
                peak=await store.read(lambda reader: reader.peak(swarm.id)),
                held=await store.read(lambda reader: reader.open_reservations(swarm.id)),
                usage=await store.read(lambda reader: reader.session_usage(swarm.id)),
                hub=BareHub.open_or_create(self.state / "hub.git"),
            )
        finally:
            await store.close()


@dataclass
class Truth:
    swarm: object
    tasks: list
    sessions: list
    events: list
    totals: object
    peak: object
    held: list
    usage: list
    hub: BareHub

    def states(self) -> dict[str, str]:
        return {one.id: str(one.state) for one in self.tasks}

    def landed(self) -> list[dict]:
        """The first-parent commits of the integration branch since its start, newest first."""
        head = self.hub.resolve(self.swarm.integration_ref)
        assert head is not None
        return self.hub.log(self.swarm.base, head)

    def data(self, kind: str) -> list[dict]:
        return [json.loads(event.data) for event in self.events if event.kind == kind]

    def assert_sound(self, *, cost_nano_usd: int = 0) -> None:
        """What must hold after any history whatever: nothing twice, nothing lost, every cent accounted for."""
        subjects = Counter(trailer(row, "Swarm-Task") for row in self.landed())
        landed = {one.id for one in self.tasks if str(one.state) == "landed"}
        assert subjects == Counter(landed)
        changes = Counter(row["change"] for row in self.data("change.landed"))
        assert set(changes.values()) <= {1}
        assert first_break(self.events) is None
        for row in self.data("session.ended"):
            assert row.get("head") is None or self.hub.resolve(row["head"]) == row["head"]
        for ref in git(self.hub.path, "for-each-ref", "--format=%(objectname)", "refs/swarm").split():
            assert self.hub.resolve(ref) == ref
        git(self.hub.path, "fsck", "--connectivity-only", "--no-dangling")
        assert not self.held
        assert self.totals.held.nano_usd == 0
        assert self.totals.spent.nano_usd == sum(row.spent.nano_usd for row in self.usage)
        assert self.totals.spent.tokens == sum(row.spent.tokens for row in self.usage)
        assert cost_nano_usd <= self.totals.spent.nano_usd
        limit = self.swarm_limit()
        assert limit is None or self.peak.peak.nano_usd <= limit

    def swarm_limit(self) -> int | None:
        return self.totals.limit.nano_usd


def trailer(commit: dict, name: str) -> str:
    (found,) = [line for line in commit["body"].splitlines() if line.startswith(f"{name}: ")]
    return found.removeprefix(f"{name}: ")


def twelve(count: int = 12, width: int = 4) -> Plan:
    """Tasks in `width` independent chains."""
    return plan(*(job(f"t{i}", after=(f"t{i - width}",) if i >= width else ()) for i in range(count)))


def job(name: str, **more) -> PlannedTask:
    """A task that passes the lint of plans."""
    return task(name, acceptance=(Acceptance("It is written.", "tests"),), **more)


def configuration(model_url: str, agents: int, more: str = "", gates: str = "") -> str:
    return f"""
[project]
name = "site"
[models]
default = "local:writer"
[providers.local]
kind = "openai"
base_url = "{model_url}"
[agents]
count = {agents}
{gates or GATES}
{PRICES}
{more}
"""


GATES = """
[gates.tests]
run = "test -f README.md"
[gates.required]
default = ["scope", "secrets", "tests"]
"""


def ended(process: subprocess.Popen[str], timeout_s: float = MOST_S) -> Ended:
    out, err = process.communicate(timeout=timeout_s)
    return Ended(process.returncode, out, err)


def kill(process: psutil.Process | subprocess.Popen[str]) -> None:
    try:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    except (ProcessLookupError, psutil.NoSuchProcess):
        return


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0
