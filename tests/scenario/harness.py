"""A control plane's services on a real store and a real repository, and a worker played by the test."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import dataclass
from pathlib import Path

from swarmworks.base.clock import Clock, SystemClock
from swarmworks.base.ids import ChangeId, RandomIds, SwarmId, TaskId, WorkerId
from swarmworks.domain.budget import Amount
from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from swarmworks.domain.lease import Capacity, WorkerLease, WorkKind
from swarmworks.domain.plan import Acceptance, Plan, PlannedTask, Source, Stack
from swarmworks.domain.session import SessionOutcome
from swarmworks.git.clones import SharedClones
from swarmworks.git.hub import BareHub
from swarmworks.git.protocol import Identity
from swarmworks.policy.tiers import ModelBook
from swarmworks.service.accounting.report import Report
from swarmworks.service.accounting.status import Status
from swarmworks.service.auditing import Auditing
from swarmworks.service.gating import Gating
from swarmworks.service.merging import Merging
from swarmworks.service.scheduling.finishing import Finishing
from swarmworks.service.scheduling.leasing import Leasing
from swarmworks.service.scheduling.swarms import Swarms
from swarmworks.service.watching import Watching
from swarmworks.wire.api import CreateSwarm
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.config_merge import MergeSection
from swarmworks.wire.work import BuildResult, BuildWork, GatesResult, GatesWork, SessionResult, SessionWork
from swarmworks.worker.seeding import start_commit
from tests.stores import open_test_store

NOTHING = Amount()
ROOM = Capacity(agents=8, cpu_slots=4, memory_bytes=64 << 30)
ALL_KINDS = (WorkKind.SESSION, WorkKind.GATES, WorkKind.BUILD, WorkKind.REVIEW)


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Person", "-c", "user.email=person@example.invalid"]
    done = subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def repository(root: Path, files: dict[str, str]) -> str:
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "-q", "-b", "main")
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return git(root, "rev-parse", "HEAD")


def task(name: str, *, after: tuple[str, ...] = (), owns: tuple[str, ...] | None = None, **more) -> PlannedTask:
    return PlannedTask(
        id=TaskId(name),
        kind=more.pop("kind", "implement_feature"),
        title=more.pop("title", f"Do {name}"),
        role=more.pop("role", "api"),
        instructions="Write it.",
        output="A file.",
        depends_on=tuple(TaskId(one) for one in after),
        owns=owns if owns is not None else (f"{name}.txt",),
        gates=("scope", "tests"),
        acceptance=more.pop("acceptance", (Acceptance("It is written.", "tests"),)),
        **more,
    )


def plan(*tasks: PlannedTask) -> Plan:
    stack, source = Stack("python", "fastapi"), Source("resources", "spec.yaml", "0" * 64)
    return Plan("plan-1", "A plan", "For a test", stack, source, tasks)


def configuration(**more) -> SwarmConfig:
    gates = {"commands": {"tests": {"run": "true"}}, "required": {"default": ["scope", "tests"]}}
    return SwarmConfig.model_validate({"project": {"name": "testing"}, "gates": gates, **more})


@dataclass
class Plane:
    store: object
    hub: BareHub
    swarms: Swarms
    leasing: Leasing
    finishing: Finishing
    gating: Gating
    merging: Merging
    watching: Watching
    status: Status
    report: Report
    auditing: Auditing

    async def read(self, look):
        return await self.store.read(look)  # type: ignore[attr-defined]

    async def states(self, swarm_id: SwarmId) -> dict[str, str]:
        tasks = await self.read(lambda reader: reader.tasks(swarm_id))
        return {one.id: str(one.state) for one in tasks}

    async def state(self, swarm_id: SwarmId) -> str:
        return str((await self.read(lambda reader: reader.swarm(swarm_id))).state)

    async def head(self, swarm_id: SwarmId) -> str:
        swarm = await self.read(lambda reader: reader.swarm(swarm_id))
        found = self.hub.resolve(swarm.integration_ref)
        assert found is not None
        return found

    async def settle(self) -> None:
        while await self.merging.advance() or await self.swarms.settle():
            pass


async def start_plane(
    folder: Path, *, least: Amount = NOTHING, clock: Clock | None = None, ttl_s: float = 3.0
) -> Plane:
    clock, ids = clock or SystemClock(), RandomIds()
    store = await open_test_store(folder / "state.db", clock, ids)
    hub = BareHub.open_or_create(folder / "hub.git")
    auditing = Auditing(store)
    return Plane(
        store=store,
        hub=hub,
        swarms=Swarms(store, hub, ids, clock, lambda _model: least),
        leasing=Leasing(store, hub, clock, lambda _model: least, ModelBook(), {}),
        finishing=Finishing(store, hub, ids, clock, lambda _model: least),
        gating=Gating(store, hub, ids, clock),
        merging=Merging(store, hub, ids, clock),
        watching=Watching(store, clock, ttl_s),
        status=Status(store, hub, clock, auditing.doing),
        report=Report(store, hub, clock),
        auditing=auditing,
    )


async def create(
    plane: Plane,
    root: Path,
    base: str,
    tasks: Plan,
    *,
    config=None,
    agents=4,
    actor="platform",
    project="testing",
    **more,
) -> SwarmId:
    request = CreateSwarm(
        project=project,
        repository=str(root),
        base=base,
        plan=tasks,
        config=config or configuration(),
        agents=agents,
        model="rehearsal:rehearsal",
        **more,
    )
    return (await plane.swarms.create(request, actor)).id


def passed(*names: str) -> tuple[GateResult, ...]:
    return tuple(GateResult(name, GateOutcome.PASSED, "fine", metrics={"tests": 3.0}) for name in names)


def failed(name: str) -> tuple[GateResult, ...]:
    finding = Finding("assert 1 == 2", file="a.txt", line=3, expected="2", provided="1")
    return (GateResult(name, GateOutcome.FAILED, "1 failed", findings=(finding,), log_tail="E assert"),)


class PlayedWorker:
    """Does what a worker does, at once and by the script: `write` says what a session writes into its working copy."""

    def __init__(self, plane: Plane, folder: Path, lease: WorkerLease) -> None:
        self.plane = plane
        self.lease = lease
        self.copies = SharedClones(plane.hub.path, folder / "copies", None)
        self.seen: list[SessionWork] = []
        self.says: str | None = None  # the handoff of every session from now on
        self.rules = MergeSection()  # for conflicts, as the project has them

    @classmethod
    async def register(cls, plane: Plane, folder: Path, name: str = "w1") -> PlayedWorker:
        return cls(plane, folder, await plane.watching.register(WorkerId(name), name, ROOM))

    async def take(self, *kinds: WorkKind):
        return await self.plane.leasing.lease(self.lease, ROOM, kinds or ALL_KINDS)

    async def session(self, work: SessionWork, files: dict[str, str], outcome=SessionOutcome.SUBMITTED, reason=None):
        """Write `files` and hand in."""
        self.seen.append(work)
        head = await asyncio.to_thread(self.commit, work, files)
        handoff = self.says or (
            f'{{"outcome": "submitted", "done": "did {work.task.id}", "notes": ["mind {work.task.id}"]}}'
        )
        result = SessionResult(outcome=outcome, reason=reason, base=work.base, head=head, handoff=handoff)
        await self.plane.finishing.finish(self.lease, work.work_id, work.fence, result)

    def commit(self, work: SessionWork, files: dict[str, str]) -> str:
        at = SystemClock().now()
        seeded = work.resolves or work.task.reverts is not None
        start = start_commit(self.plane.hub, work, at, self.rules) if seeded else work.base
        copy = self.copies.create(f"{work.task.id}-{work.fence}", start)
        for name, text in files.items():
            (copy.path / name).parent.mkdir(parents=True, exist_ok=True)
            (copy.path / name).write_text(text)
        author = Identity(work.agent.name, work.agent.email)
        ref = f"refs/swarm/work/{work.task.id}/{work.fence}"
        head = self.copies.snapshot(copy, ref, "work\n", author, at)
        self.copies.destroy(copy)
        return head

    async def gates(self, work: GatesWork, results: tuple[GateResult, ...] | None = None) -> None:
        tree = self.plane.hub.tree_of(work.head)
        result = GatesResult(tree=tree, results=passed("scope", "tests") if results is None else results)
        await self.plane.gating.finish(self.lease, work.work_id, work.fence, result)

    def build(self, work: BuildWork, results: tuple[GateResult, ...] | None = None) -> BuildResult:
        tree = self.plane.hub.tree_of(work.candidate)
        good = passed("scope", "tests") if results is None else results
        return BuildResult(status="built", target=work.target, candidate=work.candidate, tree=tree, results=good)

    async def finish_build(self, work: BuildWork, result: BuildResult) -> None:
        await self.plane.merging.finish(self.lease, work.work_id, work.fence, result)

    async def run_to_the_end(self, swarm_id: SwarmId, write=None, rounds: int = 200) -> None:
        """Everything that comes, until nothing comes any more."""
        for _ in range(rounds):
            await self.plane.settle()
            taken = await self.take()
            if not taken:
                return
            for work in taken:
                match work:
                    case SessionWork():
                        files = (write or (lambda one: {one.task.owns[0]: f"{one.task.id}\n"}))(work)
                        await self.session(work, files)
                    case GatesWork():
                        await self.gates(work)
                    case BuildWork():
                        await self.finish_build(work, self.build(work))
        raise AssertionError(f"not finished: {await self.plane.states(swarm_id)}")


async def change_state(plane: Plane, change_id: ChangeId) -> str:
    return str((await plane.read(lambda reader: reader.change(change_id))).state)
