"""The merge queue as its planner sees it, read from the store; and what a run of it hands to a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from swarmworks.base.ids import ChangeId, TaskId, WorkId
from swarmworks.domain.change import Change, ChangeState
from swarmworks.domain.lease import Capacity, WorkKind, WorkState
from swarmworks.domain.plan import PLAN, PlannedTask
from swarmworks.domain.swarm import Swarm
from swarmworks.domain.task import Task
from swarmworks.git.protocol import Identity, Piece
from swarmworks.policy.admit import BUILD_MEMORY_BYTES
from swarmworks.policy.landing import in_order
from swarmworks.policy.queueing import Run, Snapshot, remaining
from swarmworks.policy.required import required_gates
from swarmworks.service import health, parking
from swarmworks.service.landing_record import commit_message
from swarmworks.service.resolving import written_by
from swarmworks.store.protocol import Reader
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.options import from_json
from swarmworks.wire.work import BuildWork

BUILD_NEED = Capacity(agents=0, cpu_slots=1, memory_bytes=BUILD_MEMORY_BYTES)
COMMITTER = Identity("Swarmworks", "swarm@swarmworks.invalid")
WAITING = (ChangeState.APPROVED, ChangeState.BUILDING)
LEAST_PLACES, MOST_PLACES = 2, 64
NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Known:
    """What one control plane found out by itself and can find out again: pairs that cannot be merged, and the share of failures."""

    conflicts: Mapping[str, set[str]]
    rate: float


@dataclass(frozen=True, slots=True)
class Look:
    """`lost`: changes under way that nobody judges any more. `ended`: runs that say nothing about what waits. `landing`: a
    landing is under way, so that the branch is about to move. `held`: what waits for a task that mends a test.
    """

    now: Snapshot
    lost: tuple[Change, ...]
    ended: tuple[str, ...]
    landing: bool
    held: Mapping[ChangeId, TaskId]


def look(reader: Reader, swarm: Swarm, head: str, known: Known) -> Look:
    waiting = {change.id: change for change in reader.changes(swarm.id, states=WAITING)}
    held_back = health.held(reader, swarm.id, waiting.keys())
    changes = {name: change for name, change in waiting.items() if name not in held_back}
    tasks = {change.task_id: reader.task(swarm.id, change.task_id) for change in changes.values()}
    ordered = in_order(list(changes.values()), {task.id: task.rank for task in tasks.values()})
    works = reader.works(swarm_id=swarm.id, states=(WorkState.QUEUED, WorkState.LEASED))
    alive = {work.id: work.state for work in works if work.kind is WorkKind.BUILD}
    runs, ended = list[Run](), list[str]()
    for run in reader.open_runs(swarm.id):
        useless = not waiting.keys() & set(run.changes) if run.verdict is not None else WorkId(run.id) not in alive
        ended.append(run.id) if useless else runs.append(run)
    held = {change for run in runs for change in run.changes}
    intents = {intent.change_id for intent in reader.open_intents() if intent.swarm_id == swarm.id}
    building = [change for change in waiting.values() if change.state is ChangeState.BUILDING]
    others = {name for run in runs for name in run.changes} - waiting.keys()
    gone = frozenset(name for name in others if reader.change(ChangeId(name)).landed is None)
    now = Snapshot(
        head=head,
        queue=tuple(change.id for change in ordered),
        runs=tuple(runs),
        places=_places(reader, runs, alive),
        rate=known.rate,
        gone=gone,
        conflicts={
            name: frozenset(against & changes.keys()) for name, against in known.conflicts.items() if name in changes
        },
        apart=_apart({change.id: tasks[change.task_id] for change in ordered}),
    )
    lost = tuple(change for change in building if change.id not in held and change.id not in intents)
    return Look(now, lost, tuple(ended), bool(intents), held_back)


def _places(reader: Reader, runs: Sequence[Run], alive: Mapping[WorkId, WorkState]) -> int:
    """As many as the workers have CPU slots, but for one that is left to the gates of changes. While a run waits for a worker no
    other is begun: the later it is decided what is judged next, the more is known.
    """
    under_way = [run for run in runs if run.verdict is None]
    if any(alive[WorkId(run.id)] is WorkState.QUEUED for run in under_way):
        return len(under_way)
    slots = sum(worker.capacity.cpu_slots for worker in reader.workers())
    return max(LEAST_PLACES, min(MOST_PLACES, slots - 1))


def _apart(tasks: Mapping[str, Task]) -> dict[str, frozenset[str]]:
    """Which changes must not be judged by one run: those whose coverage is measured by files of their own, and those that are
    judged alone, a plan, a test that was parked, the resolution of a conflict, and what takes a landed change back.
    """
    measured = frozenset(name for name, task in tasks.items() if task.planned.covers)
    alone = frozenset(name for name, task in tasks.items() if _judged_alone(task))
    found: dict[str, frozenset[str]] = {}
    for name in tasks:
        against = frozenset(tasks) if name in alone else alone | (measured if name in measured else NONE)
        if against - {name}:
            found[name] = against - {name}
    return found


def _judged_alone(task: Task) -> bool:
    planned = task.planned
    resolves = task.rejection is not None and rejection_wire.is_conflict(task.rejection)
    return planned.kind == PLAN or planned.supersedes is not None or planned.reverts is not None or resolves


def piece(reader: Reader, swarm: Swarm, change: Change, authors: Mapping[str, Identity], at: datetime) -> Piece:
    """RejectedError when the change's handoff cannot be read."""
    message, union = commit_message(reader, swarm, change), from_json(swarm.options).config.merge.union
    return Piece(change.head, message, authors[written_by(reader, change).agent_id], COMMITTER, at, union)


def authors(reader: Reader, swarm: Swarm) -> dict[str, Identity]:
    return {agent.id: Identity(agent.name, agent.email) for agent in reader.agents(swarm.project)}


def build_work(
    reader: Reader, swarm: Swarm, run: Run, own: Sequence[Change], pieces: Sequence[Piece], head: str
) -> BuildWork:
    """`own` are the changes that the run adds to those it stands on, `pieces` what their commits were made of."""
    last = own[-1]
    tasks = [reader.task(swarm.id, change.task_id).planned for change in own]
    standing_on = list(remaining(run, head))[: -len(own)]
    agent = next(agent for agent in reader.agents(swarm.project) if agent.id == last.agent_id)
    parked = [parking.parked_change(reader, swarm.id, task) for task in tasks]
    branch = reader.queue_branch(swarm.id)
    proves = branch is not None and branch.pushed == run.base and len(own) == 1  # a group blames nobody
    return BuildWork(
        work_id=WorkId(run.id),
        fence=0,
        need=BUILD_NEED,
        swarm_id=swarm.id,
        task=together(swarm, tasks),
        change_id=last.id,
        base=last.base,
        head=last.head,
        target=(run.base, *run.commits)[-2],
        candidate=run.commits[-1],
        since=run.commits[run.below - 1] if run.below else run.base,
        members=tuple(change.id for change in own),
        after=ChangeId(standing_on[-1]) if standing_on else None,
        author=agent,
        message=pieces[-1].message,
        at=pieces[-1].at,
        floors=dict(swarm.plan.floors),
        tests=tuple(name for one in parked for name in parking.tests_to_keep(reader, one)),
        pushed=run.base if proves else None,
    )


def required_of(swarm: Swarm, task: PlannedTask) -> frozenset[str]:
    config = from_json(swarm.options).config
    return required_gates(task, config.required_gates(task.kind), none_chosen=config.gates.explicitly_none)


def together(swarm: Swarm, tasks: Sequence[PlannedTask]) -> PlannedTask:
    """One that stands for several: what any of them may write and has to pass."""
    if len(tasks) == 1:
        return tasks[0]
    required = frozenset[str]().union(*(required_of(swarm, task) for task in tasks))
    excused = {gate: why for task in tasks for gate, why in task.not_required.items() if gate not in required}
    return replace(
        tasks[-1],
        owns=tuple(dict.fromkeys(path for task in tasks for path in task.owns)),
        covers=tuple(dict.fromkeys(path for task in tasks for path in task.covers)),
        gates=tuple(sorted(required)),
        not_required=excused,
    )
