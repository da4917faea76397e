"""Claiming tasks and the life of a session: task, files, account and work are taken together or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError
from swarmworks.base.ids import AgentId, SessionId, SwarmId, TaskId, WorkId
from swarmworks.domain.agent import REVIEWER
from swarmworks.domain.budget import AccountKind
from swarmworks.domain.lease import WorkKind, WorkState
from swarmworks.domain.plan import COMMAND
from swarmworks.domain.session import SESSION_TABLE, SessionEvent, SessionState
from swarmworks.domain.swarm import SwarmState
from swarmworks.domain.task import HOLDS_FILES, TASK_TABLE, TaskEvent, TaskState
from swarmworks.policy import ledger as ledger_policy
from swarmworks.policy.admit import Choice, ClaimFacts, ReadyTask, overlaps
from swarmworks.policy.tiers import NO_MODEL, asked_for
from swarmworks.store import rows
from swarmworks.store.connection import load
from swarmworks.store.counts import CountWrites
from swarmworks.store.ledger import LedgerWrites, task_subject
from swarmworks.store.protocol import NewWork
from swarmworks.store.scope import Scope, found
from swarmworks.store.workers import WorkWrites, work_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from swarmworks.base.ids import AccountId
    from swarmworks.domain.agent import Agent
    from swarmworks.domain.budget import Limit
    from swarmworks.domain.lease import Capacity, Work, WorkerLease
    from swarmworks.domain.session import Session, SessionOutcome
    from swarmworks.store.connection import Row
    from swarmworks.store.protocol import SessionTerms

_SQL = load("work")
_SWARM_SQL = load("swarms")
_SHORT_LOOK = 16  # ready tasks a claim considers at first, and two more for each place
_LOOKED_AT = 256  # ready tasks it considers at most
_ROOM_FOR_ALL = 2**31
_CONFLICT = '{"kind":"conflict"%'
_ANEW = '%,"regenerates":true}'
"""How the rejection ends of a task whose next session makes generated files anew: within a text, quotes are escaped."""
_NOT_YET = dict.fromkeys(("started_at", "ended_at", "outcome", "reason"))


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


class SessionWrites(SessionReads, CountWrites, WorkWrites, LedgerWrites):
    def claim_sessions(
        self,
        lease: WorkerLease,
        swarm_id: SwarmId,
        terms: SessionTerms,
        places: int,
        choose: Callable[[ClaimFacts], list[Choice]],
    ) -> list[tuple[Session, Work]]:
        places = min(places, _times(self.free_capacity(lease, to_fill=True), terms.need))
        swarm = found(self.db.row(_SWARM_SQL["swarm_without_plan"], swarm_id=swarm_id), "swarm", swarm_id)
        if swarm["state"] != SwarmState.RUNNING or places <= 0:
            return []
        facts, choices, by_id = self._choose(swarm, terms, places, choose)
        _check(choices, facts)
        chosen = [(by_id[each.task_id], each.agent_id) for each in choices]
        return self._claim(lease, swarm, chosen, terms) if chosen else []

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
            ready = self.db.rows(_SQL["ready"], swarm_id=swarm["id"], most=most, conflict=_CONFLICT, anew=_ANEW)
            by_id = {TaskId(row["id"]): row for row in ready}
            facts = replace(facts, ready=[_ready(row) for row in ready])
            choices = choose(facts)
            if len(choices) >= room or len(ready) < most:
                break
        return facts, choices, by_id

    def _facts(self, swarm: Row, terms: SessionTerms, places: int) -> ClaimFacts:
        idle = [rows.agent(row) for row in self.db.rows(_SWARM_SQL["idle_agents"], project=swarm["project"])]
        return ClaimFacts(
            ready=(),
            idle=idle,
            spent=self._spent(swarm, idle, terms),
            held_paths=self._held_paths(swarm["id"], exclusive=terms.exclusive),
            places=places,
            affordable=ledger_policy.affordable(self.headroom(swarm["account_id"]), terms.least),
            exclusive=terms.exclusive,
        )

    def _spent(self, swarm: Row, idle: Sequence[Agent], terms: SessionTerms) -> frozenset[AgentId]:
        if swarm["agent_limit"] is None:
            return frozenset()
        return self.spent_agents(SwarmId(swarm["id"]), [agent.id for agent in idle], terms.least)

    def _held_paths(self, swarm_id: SwarmId, *, exclusive: bool) -> frozenset[str]:
        """What is claimed; where nothing can be, what the tasks under way are expected to write."""
        if exclusive:
            return frozenset(row["path"] for row in self.db.rows(_SWARM_SQL["file_claims"], swarm_id=swarm_id))
        under_way = self.db.rows(_SWARM_SQL["owned"], swarm_id=swarm_id, states=tuple(HOLDS_FILES))
        return frozenset(path for row in under_way for path in rows.names(row["owns"]))

    def _claim(
        self, lease: WorkerLease, swarm: Row, chosen: Sequence[tuple[Row, AgentId]], terms: SessionTerms
    ) -> list[tuple[Session, Work]]:
        """All of them together: the number of statements does not grow with the number of tasks."""
        self._take(swarm["id"], [task for task, _agent_id in chosen], exclusive=terms.exclusive)
        names = [SessionId(self.ids.new("ses")) for _ in chosen]
        by_name = dict(zip(names, chosen, strict=True))
        accounts = self._session_accounts(swarm, {name: task["id"] for name, (task, _) in by_name.items()}, terms)
        at = self.now()
        sessions: list[dict[str, object]] = []
        works: list[dict[str, object]] = []
        for session_id, (task, agent_id) in by_name.items():
            fence = task["fence"] + 1
            session: dict[str, object] = {
                "id": session_id,
                "swarm_id": swarm["id"],
                "task_id": task["id"],
                "fence": fence,
                "attempt": task["attempts"] + 1,
                "agent_id": agent_id,
                "worker_id": lease.worker_id,
                "account_id": accounts[session_id],
                "model": _model(task, terms),
                "state": SESSION_TABLE.start,
                "base_commit": terms.base_commit,
                "claimed_at": at,
            }
            sessions.append(session)
            work_id, task_id = WorkId(self.ids.new("wrk")), TaskId(task["id"])
            new = NewWork(work_id, WorkKind.SESSION, swarm["id"], task_id, session_id, terms.need, payload="{}")
            works.append(work_values(new, WorkState.LEASED, fence=fence, lease=lease, at=at))
        self.db.post(_SQL["insert_session"], sessions)
        self.db.post(_SQL["insert_work"], works)
        self.touched.add(swarm["id"])
        began = [rows.session({**each, **_NOT_YET}) for each in sessions]
        return list(zip(began, (rows.work({**each, "result": None}) for each in works), strict=True))

    def _take(self, swarm_id: SwarmId, tasks: Sequence[Row], *, exclusive: bool) -> None:
        running = TASK_TABLE.next(TaskState.READY, TaskEvent.CLAIM)
        moves = {"swarm_id": swarm_id, "state": running, "expected": TaskState.READY}
        self.db.post(
            _SQL["claim_task"],
            [{**moves, "id": task["id"], "fence": task["fence"]} for task in tasks],
            lambda: ConflictError("somebody else took one of the tasks", where=swarm_id),
        )
        self.count_tasks(swarm_id, {TaskState.READY: -len(tasks), running: len(tasks)})
        held = [(task["id"], path) for task in tasks for path in dict.fromkeys(rows.names(task["owns"]))]
        self.db.post(
            _SWARM_SQL["claim_file"],
            [{"swarm_id": swarm_id, "path": path, "task_id": task_id} for task_id, path in held if exclusive],
        )

    def _session_accounts(
        self, swarm: Row, sessions: Mapping[SessionId, TaskId], terms: SessionTerms
    ) -> dict[str, AccountId]:
        above: AccountId = swarm["account_id"]
        subjects = {task_id: task_subject(swarm["id"], task_id) for task_id in sessions.values()}
        limit = rows.limit(swarm["task_limit"])
        of_tasks = self.open_accounts(AccountKind.TASK, dict.fromkeys(subjects.values(), above), limit)
        parents = {str(session_id): of_tasks[subjects[task_id]] for session_id, task_id in sessions.items()}
        return self.open_accounts(AccountKind.SESSION, parents, terms.limit)

    def open_review_session(
        self, lease: WorkerLease, swarm_id: SwarmId, task_id: TaskId, model: str, base_commit: str, limit: Limit
    ) -> Session:
        swarm = found(self.db.row(_SWARM_SQL["swarm_without_plan"], swarm_id=swarm_id), "swarm", swarm_id)
        task = found(self.db.row(_SWARM_SQL["task"], swarm_id=swarm_id, id=task_id), "task", task_id)
        if task["state"] != TaskState.REVIEW:
            raise ConflictError(f"the task is {task['state']}, not in review", where=f"{swarm_id}/{task_id}")
        session_id = SessionId(self.ids.new("ses"))
        subject = task_subject(swarm_id, task_id)
        above = self.open_account(swarm["account_id"], AccountKind.TASK, subject, rows.limit(swarm["task_limit"]))
        self.db.change(
            _SQL["insert_session"],
            id=session_id,
            swarm_id=swarm_id,
            task_id=task_id,
            fence=task["fence"],
            attempt=task["attempts"] + 1,
            agent_id=self._idle_reviewer(swarm["project"]),
            worker_id=lease.worker_id,
            account_id=self.open_account(above, AccountKind.SESSION, session_id, limit),
            model=model,
            state=SESSION_TABLE.start,
            base_commit=base_commit,
            claimed_at=self.now(),
        )
        self.touched.add(swarm_id)
        return self.session(session_id)

    def _idle_reviewer(self, project: str) -> AgentId:
        """Never active: an active agent is one that takes tasks, as those of a plan's own role `reviewer` do."""
        number = 1
        while self.db.row(_SWARM_SQL["taken_agent"], agent_id=f"{project}/{REVIEWER}-{number}") is not None:
            number += 1
        name = f"{REVIEWER}-{number}"
        agent_id = AgentId(f"{project}/{name}")
        kinds = rows.names_text(())
        put = {"id": agent_id, "project": project, "name": name, "role": REVIEWER, "kinds": kinds, "active": False}
        self.db.change(_SWARM_SQL["put_agent"], **put)
        return agent_id

    def start_session(self, session_id: SessionId, token_sha256: str) -> Session:
        present = self.session(session_id)
        at, state = self.now(), SESSION_TABLE.next(present.state, SessionEvent.START)
        values = {"token_sha256": token_sha256, "started_at": at, "swarm_id": present.swarm_id}
        self.db.post(
            _SQL["start_session"],
            [{**values, "id": session_id, "state": state, "expected": present.state}],
            lambda: _moved_meanwhile(present),
        )
        self.touched.add(present.swarm_id)
        return replace(present, state=state, started_at=datetime.fromisoformat(at))

    def end_session(self, session_id: SessionId, outcome: SessionOutcome, reason: str | None) -> Session:
        present = self.session(session_id)
        at, state = self.now(), SESSION_TABLE.next(present.state, SessionEvent.END)
        values = {"outcome": outcome, "reason": reason, "ended_at": at, "swarm_id": present.swarm_id}
        self.db.post(
            _SQL["end_session"],
            [{**values, "id": session_id, "state": state, "expected": present.state}],
            lambda: _moved_meanwhile(present),
        )
        self.close_account(AccountKind.SESSION, session_id)
        self.touched.add(present.swarm_id)
        return replace(present, state=state, outcome=outcome, reason=reason, ended_at=datetime.fromisoformat(at))


def _moved_meanwhile(present: Session) -> ConflictError:
    return ConflictError("the session moved meanwhile", where=present.id)


def _model(task: Row, terms: SessionTerms) -> str:
    if task["anew"]:
        return NO_MODEL
    guidance = rows.guidance(task["guidance"])
    asked = guidance.model if guidance else None
    return asked or asked_for(terms.model, terms.models, kind=task["kind"], role=task["role"])


def _ready(row: Row) -> ReadyTask:
    guidance = rows.guidance(row["guidance"])
    wanted = guidance.agent if guidance else None
    owns, author = rows.names(row["owns"]), row["author"]
    needs_a_model = not row["anew"] and row["kind"] != COMMAND
    return ReadyTask(row["id"], row["kind"], row["role"], owns, row["rank"], wanted, author, needs_a_model)


def _check(choices: Sequence[Choice], facts: ClaimFacts) -> None:
    """The policy is trusted to be wise, not to be right: whatever it answers, nothing is taken twice."""
    ready, idle = {task.id: task for task in facts.ready}, {agent.id for agent in facts.idle}
    tasks, agents = [each.task_id for each in choices], [each.agent_id for each in choices]
    known = set(tasks) <= ready.keys() and set(agents) <= idle
    once = len(set(tasks)) == len(tasks) and len(set(agents)) == len(agents)
    if not known or not once or len(choices) > min(facts.places, facts.affordable):
        raise ConflictError("the admission chose a task, an agent or a place that is not free")
    held = set(facts.held_paths)
    for task_id in tasks if facts.exclusive else ():
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
