"""The store: the one truth. Services read it in snapshots and change it in transactions made of these small steps.

A transaction function is synchronous, touches nothing but its `Tx`, and may run more than once (a serialisation failure
is retried): it must have no effect outside. Several may share one commit; each is atomic on its own. When `transact`
returns, the effects are durable.

Every write is conditional: it names the state, fence or lease it expects and raises ConflictError or FenceLostError when
reality differs. Every implementation passes `tests/store/conformance`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime

    from swarmworks.base.ids import (
        AccountId,
        AgentId,
        ChangeId,
        ReservationId,
        SessionId,
        SwarmId,
        TaskId,
        WorkerId,
        WorkId,
    )
    from swarmworks.domain.agent import Agent
    from swarmworks.domain.budget import Account, AccountKind, Amount, Limit, Reservation, Usage
    from swarmworks.domain.change import Change, ChangeEvent, ChangeState, IntentState
    from swarmworks.domain.event import Event, NewEvent
    from swarmworks.domain.gate import GateResult
    from swarmworks.domain.lease import Capacity, Work, WorkerLease, WorkKind, WorkState
    from swarmworks.domain.plan import Plan, PlannedTask
    from swarmworks.domain.session import Session, SessionOutcome, SessionState
    from swarmworks.domain.swarm import Swarm, SwarmEvent
    from swarmworks.domain.task import Task, TaskEvent, TaskState
    from swarmworks.policy.admit import Choice, ClaimFacts

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewSwarm:
    """`ranks` from policy.order, one for each task. `limit` bounds the swarm's account, `task_limit` each task's."""

    id: SwarmId
    project: str
    plan: Plan
    ranks: Mapping[TaskId, int]
    integration_ref: str
    base: str
    options: str
    limit: Limit
    task_limit: Limit


@dataclass(frozen=True, slots=True)
class NewChange:
    id: ChangeId
    session_id: SessionId
    base: str
    head: str
    handoff: str


@dataclass(frozen=True, slots=True)
class NewWork:
    id: WorkId
    kind: WorkKind
    swarm_id: SwarmId
    task_id: TaskId
    subject: str
    need: Capacity
    payload: str
    priority: int = 0  # higher first; equal ones in order of arrival


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """What every session of a claim gets. `least` is the headroom the swarm's account must have per session; `need` the
    worker capacity one session takes; `limit` the cap of the session's own account.
    """

    model: str
    base_commit: str
    need: Capacity
    least: Amount
    limit: Limit


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """`renewals` counts renewals: a watcher that sees it unchanged for a TTL of its own monotonic time may expire it."""

    id: WorkerId
    name: str
    fence: int
    ttl_s: float
    renewals: int
    capacity: Capacity


@dataclass(frozen=True, slots=True)
class Renewal:
    """`lost`: held by the worker, but no longer its own: to be ended. `orphaned`: leased to it, but it never said in
    three renewals running that it holds them (the answer to its claim was lost): to be expired by the caller.
    """

    lost: tuple[WorkId, ...]
    orphaned: tuple[WorkId, ...]


@dataclass(frozen=True, slots=True)
class Intent:
    """A landing that was decided. OPEN until the reference has moved and the states were written in one commit."""

    id: int
    swarm_id: SwarmId
    change_id: ChangeId
    ref: str
    old: str
    new: str
    state: IntentState


@dataclass(frozen=True, slots=True)
class Totals:
    """An account with everything below it, now: `spent` and `held` summed over the subtree."""

    limit: Limit
    spent: Amount
    held: Amount
    calls: int


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest `spent + held` a subtree ever reached, at any instant of the ledger, and how many calls settled."""

    peak: Amount
    spent: Amount
    calls: int
    estimated_calls: int


@dataclass(frozen=True, slots=True)
class SessionUsage:
    session_id: SessionId
    task_id: TaskId
    agent_id: AgentId
    model: str
    calls: int
    spent: Amount
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class GateRun:
    """The results of one stage for one change. `tree` is what was judged."""

    change_id: ChangeId
    stage: str
    tree: str
    results: tuple[GateResult, ...]
    at: datetime


class Reader(Protocol):
    """A consistent snapshot. Lookups raise NotFoundError unless they return a list or None."""

    def swarm(self, swarm_id: SwarmId) -> Swarm: ...
    def swarms(self, project: str | None = None) -> list[Swarm]: ...  # newest first
    def task(self, swarm_id: SwarmId, task_id: TaskId) -> Task: ...
    def tasks(self, swarm_id: SwarmId) -> list[Task]: ...  # in plan order
    def task_counts(self, swarm_id: SwarmId) -> dict[TaskState, int]: ...  # every state, 0 where there is none
    def file_claims(self, swarm_id: SwarmId) -> dict[str, TaskId]: ...  # path to the task that holds it
    def agents(self, project: str) -> list[Agent]: ...  # all in the record, by name
    def session(self, session_id: SessionId) -> Session: ...
    def sessions(
        self, swarm_id: SwarmId, *, task_id: TaskId | None = None, states: Sequence[SessionState] = ()
    ) -> list[Session]: ...  # oldest first
    def session_result(self, session_id: SessionId) -> str | None: ...  # wire form; None when it handed in nothing
    def change(self, change_id: ChangeId) -> Change: ...
    def changes(
        self, swarm_id: SwarmId, *, states: Sequence[ChangeState] = (), task_id: TaskId | None = None
    ) -> list[Change]: ...  # in order of submission
    def work(self, work_id: WorkId) -> Work: ...
    def works(
        self, *, swarm_id: SwarmId | None = None, states: Sequence[WorkState] = (), worker_id: WorkerId | None = None
    ) -> list[Work]: ...
    def workers(self) -> list[WorkerRow]: ...
    def open_intents(self) -> list[Intent]: ...
    def gate_runs(self, change_id: ChangeId) -> list[GateRun]: ...
    def cached_gate(self, key: str) -> GateResult | None: ...
    def events(self, swarm_id: SwarmId, *, after: int = 0, limit: int = 1000) -> list[Event]: ...
    def last_seq(self, swarm_id: SwarmId) -> int: ...  # 0 before the first event
    def last_event_at(self, session_id: SessionId) -> datetime | None: ...
    def account(self, account_id: AccountId) -> Account: ...
    def account_of(self, kind: AccountKind, subject: str) -> Account: ...
    def totals(self, account_id: AccountId) -> Totals: ...
    def peak(self, swarm_id: SwarmId) -> Peak: ...
    def session_usage(self, swarm_id: SwarmId) -> list[SessionUsage]: ...
    def reservation(self, reservation_id: ReservationId) -> Reservation: ...
    def open_reservations(self, swarm_id: SwarmId | None = None) -> list[Reservation]: ...
    def token_session(self, token_sha256: str) -> SessionId | None: ...  # None when unknown or revoked
    def blob(self, key: str) -> bytes | None: ...


class Tx(Reader, Protocol):
    """Reads and conditional writes of one transaction. `at` of rows is the store's clock."""

    # Swarms and tasks
    def insert_swarm(self, new: NewSwarm) -> Swarm:
        """The swarm RUNNING, its tasks WAITING or READY, its account under the project's (made when missing)."""
        ...

    def insert_task(self, swarm_id: SwarmId, planned: PlannedTask, rank: int) -> Task:
        """One more task, last in plan order (a `fix_bug` task, say): WAITING or READY by what it depends on. The swarm's
        plan stays as it was started. ConflictError when the id is taken or the swarm has landed.
        """
        ...

    def move_swarm(self, swarm_id: SwarmId, event: SwarmEvent, *, reason: str | None = None) -> Swarm: ...

    def move_task(
        self,
        swarm_id: SwarmId,
        task_id: TaskId,
        event: TaskEvent,
        *,
        rejection: str | None = None,  # None keeps the one there
        note: str | None = None,
        commit: str | None = None,
        count_attempt: bool = False,
    ) -> Task:
        """One legal move, ConflictError otherwise. Leaving the states that hold files releases them; entering a state
        that satisfies dependents moves those with nothing else to wait for to READY; RETRY resets the attempts.
        """
        ...

    def set_agents(self, project: str, agents: Sequence[Agent]) -> None:
        """Insert or update by id; agents that are not named stay in the record but take no more work."""
        ...

    # Workers, claims and leases
    def register_worker(self, worker_id: WorkerId, name: str, capacity: Capacity, ttl_s: float) -> WorkerLease: ...
    def renew_worker(self, lease: WorkerLease, holding: frozenset[WorkId]) -> Renewal: ...
    def remove_worker(self, lease: WorkerLease) -> None: ...  # ConflictError while work is leased to it
    def expire_worker(self, worker_id: WorkerId, renewals: int) -> list[Work]:
        """Fence the worker out and remove it, if its renewals still are what the watcher saw; the work that was leased
        to it, still LEASED in name (nobody can finish it): the caller expires each. Empty when it renewed meanwhile.
        """
        ...

    def claim_sessions(
        self,
        lease: WorkerLease,
        swarm_id: SwarmId,
        terms: SessionTerms,
        places: int,
        choose: Callable[[ClaimFacts], list[Choice]],
    ) -> list[tuple[Session, Work]]:
        """Take ready tasks of a RUNNING swarm: task to RUNNING at fence + 1, session CLAIMED with an account of its own
        (under the task's, under the swarm's), its files claimed, its work LEASED. All in this transaction.
        """
        ...

    def start_session(self, session_id: SessionId, token_sha256: str) -> Session: ...
    def end_session(self, session_id: SessionId, outcome: SessionOutcome, reason: str | None) -> Session:
        """ENDED; its token revoked; its account closed (with its last open reservation, when one is under way)."""
        ...

    def enqueue_work(self, new: NewWork) -> Work: ...
    def claim_work(
        self, lease: WorkerLease, free: Capacity, kinds: Sequence[WorkKind]
    ) -> list[Work]: ...  # of open swarms
    def finish_work(self, lease: WorkerLease, work_id: WorkId, fence: int, result: str) -> Work:
        """DONE; FenceLostError unless `lease` still holds it at `fence`."""
        ...

    def expire_work(self, work_id: WorkId, fence: int) -> Work | None:
        """LEASED back to QUEUED (gates, builds) or VOID (sessions: the task is claimed anew); None when it moved on."""
        ...

    def cancel_work(self, work_id: WorkId) -> Work | None: ...  # None when it had already ended

    # Changes, gates and landings
    def insert_change(self, new: NewChange) -> Change: ...
    def move_change(
        self, change_id: ChangeId, event: ChangeEvent, *, candidate: str | None = None, landed: str | None = None
    ) -> Change: ...
    def record_gates(self, run: GateRun, cache_keys: Mapping[str, str]) -> None:
        """`cache_keys` maps a gate's name to the key its PASSED or FAILED result is cached under."""
        ...

    def open_intent(self, change_id: ChangeId, ref: str, old: str, new: str) -> Intent: ...
    def close_intent(self, intent_id: int, state: IntentState) -> None: ...

    # Events
    def append(self, swarm_id: SwarmId, *events: NewEvent) -> list[Event]: ...

    # Ledger
    def reserve(
        self, reservation_id: ReservationId, session_id: SessionId, model: str, amount: Amount, *, sent: bool
    ) -> Reservation:
        """Hold `amount` on the session's account, topping it up from the accounts above it; BudgetExceededError (which
        names the account that is full) when it does not fit. With `sent`, straight to SENT in this one commit.
        """
        ...

    def send(self, reservation_id: ReservationId) -> Reservation: ...
    def free(self, reservation_id: ReservationId) -> Reservation: ...
    def settle(
        self,
        reservation_id: ReservationId,
        amount: Amount | None,
        usage: Usage | None = None,
        provider_request_id: str | None = None,
    ) -> Reservation:
        """Book `amount`, or the whole reservation (flagged estimated) when it is None. More than was reserved is
        booked in full and freezes the account.
        """
        ...

    def recover_reservations(self) -> list[Reservation]:
        """At start-up, before the gateway serves: HELD freed, SENT settled in full."""
        ...

    def raise_limit(self, account_id: AccountId, limit: Limit) -> Account:
        """ConflictError when it would be below what is already spent, held and allocated."""
        ...

    def put_blob(self, key: str, data: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit touched, for those who wait: wake-ups only, never the truth."""

    swarms: frozenset[SwarmId]


class Store(Protocol):
    async def transact(self, step: Callable[[Tx], T]) -> T: ...
    async def read(self, look: Callable[[Reader], T]) -> T: ...
    def commits(self) -> AsyncIterator[Committed]:
        """One item after each commit, coalesced when the listener is slow. Ends when the store closes."""
        ...

    async def close(self) -> None: ...
