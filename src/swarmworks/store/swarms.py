"""Swarms, their tasks, the files the tasks hold, and the agents of a project."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError
from swarmworks.domain.budget import AccountKind, Limit
from swarmworks.domain.swarm import SWARM_TABLE, SwarmEvent, SwarmState
from swarmworks.domain.task import HOLDS_FILES, SATISFIED, TASK_TABLE, TaskEvent, TaskState
from swarmworks.policy.admit import overlaps
from swarmworks.store import rows
from swarmworks.store.connection import load
from swarmworks.store.counts import CountWrites
from swarmworks.store.ledger import LedgerWrites, task_subject
from swarmworks.store.scope import Scope, found

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from swarmworks.base.ids import AgentId, SwarmId, TaskId
    from swarmworks.domain.agent import Agent
    from swarmworks.domain.plan import PlannedTask
    from swarmworks.domain.swarm import Swarm
    from swarmworks.domain.task import Guidance, Task
    from swarmworks.store.connection import Row
    from swarmworks.store.protocol import NewSwarm

_SQL = load("swarms")
_AT_REST = frozenset({SwarmState.STOPPED, SwarmState.BLOCKED, SwarmState.LANDED})


class SwarmReads(Scope):
    def swarm(self, swarm_id: SwarmId) -> Swarm:
        return rows.swarm(found(self.db.row(_SQL["swarm"], swarm_id=swarm_id), "swarm", swarm_id))

    def swarms(self, project: str | None = None, *, states: Collection[SwarmState] = ()) -> list[Swarm]:
        name = "swarms" if project is None else "swarms_of_project"
        values: dict[str, object] = {} if project is None else {"project": project}
        if states:
            name, values["states"] = f"{name}_in", sorted(states)
        return [rows.swarm(row) for row in self.db.rows(_SQL[name], **values)]

    def task(self, swarm_id: SwarmId, task_id: TaskId) -> Task:
        row = self.db.row(_SQL["task"], swarm_id=swarm_id, id=task_id)
        return rows.task(found(row, "task", f"{swarm_id}/{task_id}"))

    def tasks(self, swarm_id: SwarmId, *, states: Collection[TaskState] = ()) -> list[Task]:
        if states:
            wanted = self.db.rows(_SQL["tasks_in"], swarm_id=swarm_id, states=sorted(states))
            return [
                rows.task(row) for row in sorted(wanted, key=_position)
            ]  # asked for an order, SQLite walks all tasks
        return [rows.task(row) for row in self.db.rows(_SQL["tasks"], swarm_id=swarm_id)]

    def task_counts(self, swarm_id: SwarmId) -> dict[TaskState, int]:
        counts = dict.fromkeys(TaskState, 0)
        for row in self.db.rows(_SQL["task_counts"], swarm_id=swarm_id):
            counts[TaskState(row["task_state"])] = row["tasks"]
        return counts

    def file_claims(self, swarm_id: SwarmId) -> dict[str, TaskId]:
        return {row["path"]: row["task_id"] for row in self.db.rows(_SQL["file_claims"], swarm_id=swarm_id)}

    def agents(self, project: str) -> list[Agent]:
        return [rows.agent(row) for row in self.db.rows(_SQL["agents"], project=project)]

    def active_agents(self, project: str) -> list[Agent]:
        return [rows.agent(row) for row in self.db.rows(_SQL["active_agents"], project=project)]

    def agent(self, agent_id: AgentId) -> Agent:
        return rows.agent(found(self.db.row(_SQL["agent"], id=agent_id), "agent", agent_id))


def _position(row: Row) -> int:
    return int(row["position"])


class SwarmWrites(SwarmReads, CountWrites, LedgerWrites):
    def hold_project(self, project: str) -> None:
        self.put_project_account(project)
        self.db.row(_SQL["hold_project"], project=project)

    def insert_swarm(self, new: NewSwarm) -> Swarm:
        project = self.open_account(None, AccountKind.PROJECT, new.project, Limit())
        account_id = self.open_account(project, AccountKind.SWARM, new.id, new.limit)
        self.db.change(
            _SQL["insert_swarm"],
            id=new.id,
            project=new.project,
            state=SWARM_TABLE.start,
            account_id=account_id,
            integration_ref=new.integration_ref,
            base=new.base,
            options=new.options,
            task_limit=rows.limit_text(new.task_limit),
            agent_limit=None if new.agent_limit.bounds_nothing else rows.limit_text(new.agent_limit),
            created_at=self.now(),
        )
        self.db.change(_SQL["insert_plan"], swarm_id=new.id, document=rows.plan_text(new.plan))
        self.begin_counts(new.id)
        ranked = [(task, new.ranks[task.id]) for task in new.plan.tasks]
        self._insert_tasks(new.id, ranked, first=0, satisfied=frozenset())
        return self.swarm(new.id)

    def insert_task(self, swarm_id: SwarmId, planned: PlannedTask, rank: int, *, rejection: str | None = None) -> Task:
        swarm = found(self.db.row(_SQL["swarm_without_plan"], swarm_id=swarm_id), "swarm", swarm_id)
        if SwarmState(swarm["state"]) in SWARM_TABLE.terminal:
            raise ConflictError(f"the swarm is {swarm['state']}: it takes no more tasks", where=swarm_id)
        last = found(self.db.row(_SQL["last_position"], swarm_id=swarm_id), "swarm", swarm_id)
        done = self.db.rows(_SQL["satisfied"], swarm_id=swarm_id, ids=planned.depends_on, states=sorted(SATISFIED))
        satisfied = frozenset(row["id"] for row in done)
        self._insert_tasks(
            swarm_id, [(planned, rank)], first=last["position"] + 1, satisfied=satisfied, rejection=rejection
        )
        return self.task(swarm_id, planned.id)

    def _insert_tasks(
        self,
        swarm_id: SwarmId,
        ranked: Sequence[tuple[PlannedTask, int]],
        *,
        first: int,
        satisfied: frozenset[TaskId],
        rejection: str | None = None,
    ) -> None:
        self.touched.add(swarm_id)
        values: list[dict[str, object]] = []
        edges: list[dict[str, object]] = []
        for position, (task, rank) in enumerate(ranked, start=first):
            needs = set(task.depends_on)
            waiting_on = len(needs - satisfied)
            values.append(
                {
                    "swarm_id": swarm_id,
                    "id": task.id,
                    "position": position,
                    "planned": rows.planned_text(task),
                    "kind": task.kind,
                    "role": task.role,
                    "owns": rows.names_text(task.owns),
                    "state": TaskState.WAITING if waiting_on else TaskState.READY,
                    "rank": rank,
                    "waiting_on": waiting_on,
                    "rejection": rejection,
                }
            )
            edges.extend({"swarm_id": swarm_id, "task_id": task.id, "needs": needed} for needed in sorted(needs))
        self.db.post(_SQL["insert_task"], values)
        self.db.post(_SQL["insert_edge"], edges)
        self.count_tasks(swarm_id, Counter(TaskState(str(each["state"])) for each in values))

    def move_swarm(self, swarm_id: SwarmId, event: SwarmEvent, *, reason: str | None = None) -> Swarm:
        present = found(self.db.row(_SQL["swarm_without_plan"], swarm_id=swarm_id), "swarm", swarm_id)
        state = SWARM_TABLE.next(SwarmState(present["state"]), event)
        kept = None if event is SwarmEvent.RESUME else present["reason"]
        touched = self.db.change(
            _SQL["move_swarm"],
            swarm_id=swarm_id,
            state=state,
            expected=present["state"],
            reason=reason if reason is not None else kept,
            ended_at=self.now() if state in _AT_REST else None,
        )
        if not touched:
            raise ConflictError("the swarm moved meanwhile", where=swarm_id)
        if state in SWARM_TABLE.terminal:
            self.close_account(AccountKind.SWARM, swarm_id)
        self.touched.add(swarm_id)
        return self.swarm(swarm_id)

    def move_task(
        self,
        swarm_id: SwarmId,
        task_id: TaskId,
        event: TaskEvent,
        *,
        rejection: str | None = None,
        note: str | None = None,
        commit: str | None = None,
        count_attempt: bool = False,
    ) -> Task:
        present = self.task(swarm_id, task_id)
        state = TASK_TABLE.next(present.state, event)
        if event in {TaskEvent.CLAIM, TaskEvent.UNBLOCK}:
            raise ConflictError(
                f"a task cannot {event} by itself",
                where=f"{swarm_id}/{task_id}",
                mend="claim_sessions claims tasks; the landing of the last dependency unblocks them",
            )
        again = event is TaskEvent.RETRY
        if note is None and event not in {TaskEvent.RETRY, TaskEvent.ANSWER}:
            note = present.note
        moved = replace(
            present,
            state=state,
            rejection=present.rejection if rejection is None else rejection,
            note=note,
            commit=present.commit if commit is None else commit,
            attempts=0 if again else present.attempts + count_attempt,
        )
        values = {
            "swarm_id": swarm_id,
            "id": task_id,
            "state": state,
            "expected": present.state,
            "rejection": moved.rejection,
            "note": note,
            "landed_commit": moved.commit,
            "attempts": moved.attempts,
        }
        where = f"{swarm_id}/{task_id}"
        self.db.post(_SQL["move_task"], [values], lambda: ConflictError("the task moved meanwhile", where=where))
        self._follow(swarm_id, task_id, present.state, state)
        return moved

    def guide_task(self, swarm_id: SwarmId, task_id: TaskId, guidance: Guidance | None) -> Task:
        self.db.change(_SQL["guide_task"], swarm_id=swarm_id, id=task_id, guidance=rows.guidance_text(guidance))
        self.touched.add(swarm_id)
        return self.task(swarm_id, task_id)

    def widen_task(self, swarm_id: SwarmId, task_id: TaskId, paths: Sequence[str], *, exclusive: bool) -> Task:
        present = self.task(swarm_id, task_id)
        new = [path for path in dict.fromkeys(paths) if path not in present.planned.owns]
        if exclusive and present.state in HOLDS_FILES:
            self._claim_files(swarm_id, task_id, new)
        planned = replace(present.planned, owns=(*present.planned.owns, *new))
        self.db.change(
            _SQL["widen_task"],
            swarm_id=swarm_id,
            id=task_id,
            planned=rows.planned_text(planned),
            owns=rows.names_text(planned.owns),
        )
        self.touched.add(swarm_id)
        return self.task(swarm_id, task_id)

    def _claim_files(self, swarm_id: SwarmId, task_id: TaskId, paths: Sequence[str]) -> None:
        for held, holder in self.file_claims(swarm_id).items():
            taken = next((path for path in paths if holder != task_id and overlaps(path, held)), None)
            if taken is not None:
                raise ConflictError(
                    f"{taken} is held by the task {holder} now",
                    where=f"{swarm_id}/{task_id}",
                    mend="wait until it landed",
                )
        claims = [{"swarm_id": swarm_id, "path": path, "task_id": task_id} for path in paths]
        self.db.post(_SQL["claim_file"], claims)

    def _follow(self, swarm_id: SwarmId, task_id: TaskId, before: TaskState, after: TaskState) -> None:
        """What a task's move brings about: its files released, its dependents unblocked, its account closed."""
        self.touched.add(swarm_id)
        self.count_tasks(swarm_id, {before: -1, after: 1})
        if before in HOLDS_FILES and after not in HOLDS_FILES:
            self.db.post(_SQL["release_files"], [{"swarm_id": swarm_id, "task_id": task_id}])
        if after in SATISFIED:
            self._unblock(swarm_id, task_id)
        if after in TASK_TABLE.terminal:
            self.close_account(AccountKind.TASK, task_subject(swarm_id, task_id))

    def _unblock(self, swarm_id: SwarmId, task_id: TaskId) -> None:
        """A dependent that is READY afterwards was not before: one that was READY waited for nothing any more."""
        ready = TASK_TABLE.next(TaskState.WAITING, TaskEvent.UNBLOCK)
        dependents = self.db.rows(
            _SQL["unblock_dependents"], swarm_id=swarm_id, id=task_id, waiting=TaskState.WAITING, ready=ready
        )
        unblocked = sum(1 for row in dependents if row["state"] == ready)
        self.count_tasks(swarm_id, {TaskState.WAITING: -unblocked, ready: unblocked})

    def set_agents(self, project: str, agents: Sequence[Agent]) -> None:
        self.db.change(_SQL["retire_agents"], project=project, active=False)
        for agent in agents:
            kinds = rows.names_text(sorted(agent.kinds))
            touched = self.db.change(
                _SQL["put_agent"],
                id=agent.id,
                project=project,
                name=agent.name,
                role=agent.role,
                kinds=kinds,
                active=True,
            )
            if not touched:
                raise ConflictError("the agent belongs to another project", where=agent.id)
