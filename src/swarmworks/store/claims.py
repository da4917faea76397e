"""Claiming tasks and the life of a session: task, files, account and work are taken together or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError
from swarmworks.base.ids import SessionId, TaskId, WorkId
from swarmworks.domain.budget import AccountKind
from swarmworks.domain.lease import WorkKind, WorkState
from swarmworks.domain.session import SESSION_TABLE, SessionEvent, SessionState
from swarmworks.domain.swarm import SwarmState
from swarmworks.domain.task import TASK_TABLE, TaskEvent, TaskState
from swarmworks.policy import ledger as ledger_policy
from swarmworks.policy.admit import Choice, ClaimFacts, ReadyTask, overlaps
from swarmworks.store import rows
from swarmworks.store.connection import load
from swarmworks.store.ledger import LedgerWrites, task_subject
from swarmworks.store.protocol import NewWork
from swarmworks.store.scope import Scope, found
from swarmworks.store.workers import WorkWrites

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swarmworks.base.ids import AccountId, AgentId, SwarmId
    from swarmworks.domain.lease import Capacity, Work, WorkerLease
    from swarmworks.domain.session import Session, SessionOutcome
    from swarmworks.store.connection import Row
    from swarmworks.store.protocol import SessionTerms

_SQL = load("work")
_SWARM_SQL = load("swarms")
_SHORT_LOOK = 16  # ready tasks a claim considers at first, and two more for each place
_LOOKED_AT = 256  # ready tasks it considers at most
_ROOM_FOR_ALL = 2**31


class SessionReads(Scope):
    def session(self, session_id: SessionId) -> Session:
        return rows.session(found(self.db.row(_SQL["session"], id=session_id), "session", session_id))

    def sessions(
        self, swarm_id: SwarmId, *, task_id: TaskId | None = None, states: Sequence[SessionState] = ()
    ) -> list[Session]:
        wanted = tuple(states) or tuple(SessionState)
        if task_id is None:
            return [rows.session(row) for row in self.db.rows(_SQL["sessions"], swarm_id=swarm_id, states=wanted)]
        of_task = self.db.rows(_SQL["sessions_of_task"], swarm_id=swarm_id, task_id=task_id, states=wanted)
        return [rows.session(row) for row in of_task]

    def session_result(self, session_id: SessionId) -> str | None:
        row = self.db.row(_SQL["session_result"], session_id=session_id)
        return None if row is None else str(row["result"])

    def token_session(self, token_sha256: str) -> SessionId | None:
        row = self.db.row(_SQL["token_session"], token_sha256=token_sha256)
        return None if row is None else SessionId(row["id"])


class SessionWrites(SessionReads, WorkWrites, LedgerWrites):
    def claim_sessions(
        self,
        lease: WorkerLease,
        swarm_id: SwarmId,
        terms: SessionTerms,
        places: int,
        choose: Callable[[ClaimFacts], list[Choice]],
    ) -> list[tuple[Session, Work]]:
        places = min(places, _times(self.free_capacity(lease), terms.need))
        swarm = found(self.db.row(_SWARM_SQL["swarm_without_plan"], id=swarm_id), "swarm", swarm_id)
        if swarm["state"] != SwarmState.RUNNING or places <= 0:
            return []
        facts, choices, by_id = self._choose(swarm, terms, places, choose)
        _check(choices, facts)
        return [self._claim(lease, swarm, by_id[each.task_id], each.agent_id, terms) for each in choices]

    def _choose(
        self, swarm: Row, terms: SessionTerms, places: int, choose: Callable[[ClaimFacts], list[Choice]]
    ) -> tuple[ClaimFacts, list[Choice], dict[TaskId, Row]]:
        """A short look at the best ready tasks mostly fills every place; only when it does not, a long one."""
        facts = self._facts(swarm, terms, places)
        room = min(places, facts.affordable, len(facts.idle))
        short = min(_LOOKED_AT, _SHORT_LOOK + 2 * places)
        choices: list[Choice] = []
        by_id: dict[TaskId, Row] = {}
        for most in (short, _LOOKED_AT) if room > 0 else ():
            ready = self.db.rows(_SQL["ready"], swarm_id=swarm["id"], most=most)
            by_id = {TaskId(row["id"]): row for row in ready}
            facts = replace(facts, ready=[_ready(row) for row in ready])
            choices = choose(facts)
            if len(choices) >= room or len(ready) < most:
                break
        return facts, choices, by_id

    def _facts(self, swarm: Row, terms: SessionTerms, places: int) -> ClaimFacts:
        return ClaimFacts(
            ready=(),
            idle=[rows.agent(row) for row in self.db.rows(_SWARM_SQL["idle_agents"], project=swarm["project"])],
            held_paths=frozenset(row["path"] for row in self.db.rows(_SWARM_SQL["file_claims"], swarm_id=swarm["id"])),
            places=places,
            affordable=ledger_policy.affordable(self.headroom(swarm["account_id"]), terms.least),
        )

    def _claim(
        self, lease: WorkerLease, swarm: Row, task: Row, agent_id: AgentId, terms: SessionTerms
    ) -> tuple[Session, Work]:
        swarm_id, task_id, fence = swarm["id"], TaskId(task["id"]), task["fence"] + 1
        self._take(swarm_id, task)
        session_id, work_id = SessionId(self.ids.new("ses")), WorkId(self.ids.new("wrk"))
        account_id = self._session_account(swarm, task_id, session_id, terms)
        self.db.change(
            _SQL["insert_session"],
            id=session_id,
            swarm_id=swarm_id,
            task_id=task_id,
            fence=fence,
            attempt=task["attempts"] + 1,
            agent_id=agent_id,
            worker_id=lease.worker_id,
            account_id=account_id,
            model=terms.model,
            state=SESSION_TABLE.start,
            base_commit=terms.base_commit,
            claimed_at=self.now(),
        )
        new = NewWork(work_id, WorkKind.SESSION, swarm_id, task_id, session_id, terms.need, payload="{}")
        self.insert_work(new, WorkState.LEASED, fence=fence, lease=lease)
        return self.session(session_id), self.work(work_id)

    def _take(self, swarm_id: SwarmId, task: Row) -> None:
        touched = self.db.change(
            _SQL["claim_task"],
            swarm_id=swarm_id,
            id=task["id"],
            state=TASK_TABLE.next(TaskState.READY, TaskEvent.CLAIM),
            expected=TaskState.READY,
            fence=task["fence"],
        )
        if not touched:
            raise ConflictError("somebody else took the task", where=f"{swarm_id}/{task['id']}")
        files = dict.fromkeys(rows.names(task["owns"]))
        self.db.change_many(
            _SWARM_SQL["claim_file"],
            [{"swarm_id": swarm_id, "path": path, "task_id": task["id"]} for path in files],
        )

    def _session_account(self, swarm: Row, task_id: TaskId, session_id: SessionId, terms: SessionTerms) -> AccountId:
        above: AccountId = swarm["account_id"]
        subject = task_subject(swarm["id"], task_id)
        task_account = self.open_account(above, AccountKind.TASK, subject, rows.limit(swarm["task_limit"]))
        return self.open_account(task_account, AccountKind.SESSION, session_id, terms.limit)

    def start_session(self, session_id: SessionId, token_sha256: str) -> Session:
        present = self.session(session_id)
        touched = self.db.change(
            _SQL["start_session"],
            id=session_id,
            state=SESSION_TABLE.next(present.state, SessionEvent.START),
            expected=present.state,
            token_sha256=token_sha256,
            started_at=self.now(),
        )
        return self._moved(present, touched)

    def end_session(self, session_id: SessionId, outcome: SessionOutcome, reason: str | None) -> Session:
        present = self.session(session_id)
        touched = self.db.change(
            _SQL["end_session"],
            id=session_id,
            state=SESSION_TABLE.next(present.state, SessionEvent.END),
            expected=present.state,
            outcome=outcome,
            reason=reason,
            ended_at=self.now(),
        )
        self.close_account(AccountKind.SESSION, session_id)
        return self._moved(present, touched)

    def _moved(self, present: Session, touched: int) -> Session:
        if not touched:
            raise ConflictError("the session moved meanwhile", where=present.id)
        self.touched.add(present.swarm_id)
        return self.session(present.id)


def _ready(row: Row) -> ReadyTask:
    return ReadyTask(row["id"], row["kind"], row["role"], rows.names(row["owns"]), row["rank"])


def _check(choices: Sequence[Choice], facts: ClaimFacts) -> None:
    """The policy is trusted to be wise, not to be right: whatever it answers, nothing is taken twice."""
    ready, idle = {task.id: task for task in facts.ready}, {agent.id for agent in facts.idle}
    tasks, agents = [each.task_id for each in choices], [each.agent_id for each in choices]
    known = set(tasks) <= ready.keys() and set(agents) <= idle
    once = len(set(tasks)) == len(tasks) and len(set(agents)) == len(agents)
    if not known or not once or len(choices) > min(facts.places, facts.affordable):
        raise ConflictError("the admission chose a task, an agent or a place that is not free")
    held = set(facts.held_paths)
    for task_id in tasks:
        mine = ready[task_id].owns
        if any(overlaps(path, theirs) for path in mine for theirs in held):
            raise ConflictError("the admission chose a task whose files are held", where=task_id)
        held.update(mine)


def _times(free: Capacity, need: Capacity) -> int:
    pairs = (
        (free.agents, need.agents),
        (free.cpu_slots, need.cpu_slots),
        (free.memory_bytes, need.memory_bytes),
    )
    return min((max(0, have) // each for have, each in pairs if each > 0), default=_ROOM_FOR_ALL)
