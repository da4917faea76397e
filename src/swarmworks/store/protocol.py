"""The store: the one truth. Services read it in snapshots and change it in transactions made of these small steps.

A transaction function is synchronous, touches nothing but its `Tx`, and may run more than once (a serialisation failure
is retried): it must have no effect outside. Several may share one commit; each is atomic on its own. When `transact`
returns, the effects are durable.

Every write is conditional: it names the state, fence or lease it expects and raises ConflictError or FenceLostError when
reality differs. Every implementation passes `tests/store/conformance`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from swarmworks.domain.budget import UNLIMITED, Limit
from swarmworks.policy.ledger import used_percent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from swarmworks.base.ids import (
        AccountId,
        AgentId,
        ChangeId,
        DeliveryId,
        MessageId,
        QuestionId,
        ReplicaId,
        ReservationId,
        ReviewId,
        SessionId,
        SwarmId,
        TaskId,
        WorkerId,
        WorkId,
    )
    from swarmworks.domain.agent import Agent
    from swarmworks.domain.anchor import Anchor, Head
    from swarmworks.domain.budget import Account, AccountKind, Amount, Period, Reservation, Usage, Window
    from swarmworks.domain.change import Change, ChangeEvent, ChangeState, IntentState
    from swarmworks.domain.delivery import Delivery, DeliveryEvent, DeliveryState
    from swarmworks.domain.event import ArchivedEvents, Event, NewEvent, SwarmLog
    from swarmworks.domain.gate import GateResult
    from swarmworks.domain.lease import Capacity, Work, WorkerLease, WorkKind, WorkState
    from swarmworks.domain.mail import Mail
    from swarmworks.domain.plan import Plan, PlannedTask
    from swarmworks.domain.question import Message, Question, QuestionState
    from swarmworks.domain.review import Review, ReviewEvent, ReviewState, ReviewSubject
    from swarmworks.domain.session import Session, SessionOutcome, SessionState
    from swarmworks.domain.swarm import Swarm, SwarmEvent, SwarmState
    from swarmworks.domain.task import Guidance, Task, TaskEvent, TaskState
    from swarmworks.policy.admit import Choice, ClaimFacts
    from swarmworks.policy.bound import Price
    from swarmworks.policy.pricing import ApprovedPrice, PriceEntry, PriceList, PriceVerdict
    from swarmworks.policy.queueing import Run, Verdict
    from swarmworks.policy.subscription import Drawn, PastCall

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewSwarm:
    """`ranks` from policy.order, one for each task. `limit` bounds the swarm's account, `task_limit` each task's,
    `agent_limit` what each agent may use in this swarm.
    """

    id: SwarmId
    project: str
    plan: Plan
    ranks: Mapping[TaskId, int]
    integration_ref: str
    base: str
    options: str
    limit: Limit
    task_limit: Limit
    agent_limit: Limit = UNLIMITED


@dataclass(frozen=True, slots=True)
class NewChange:
    id: ChangeId
    session_id: SessionId
    base: str
    head: str
    handoff: str


@dataclass(frozen=True, slots=True)
class NewReview:
    id: ReviewId
    swarm_id: SwarmId
    gate: str
    subject: ReviewSubject
    subject_id: str
    question: str
    task_id: TaskId | None = None
    deciders: tuple[str, ...] = ()
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A candidate given at once (a fast-forward) makes the delivery READY."""

    id: DeliveryId
    swarm_id: SwarmId
    branch: str
    tip: str
    head: str
    actor: str
    candidate: str | None = None


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
    worker capacity one session takes; `limit` the cap of the session's own account. A task's guidance may name another
    model than `model`, and so may `models`, by its kind or its role. Without `exclusive` no file is claimed and none is looked for.
    """

    model: str
    base_commit: str
    need: Capacity
    least: Amount
    limit: Limit
    exclusive: bool = True
    models: Mapping[str, str] = field(default_factory=dict[str, str])


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
class ReplicaRow:
    """A control plane that has this database open. `beats` counts like a worker's `renewals`."""

    id: ReplicaId
    name: str
    ttl_s: float
    beats: int
    api_url: str
    gateway_url: str


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
class QueueBranch:
    """What the merge queue knows of the branch it lands on. `head`: where it left it, or found it. `pushed`: the commit that
    somebody else moved it to, until a candidate on top of it passed. `frozen`: why nothing lands.
    """

    head: str
    pushed: str | None = None
    frozen: str | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """An account with everything below it, now: `spent` and `held` summed over the subtree. `calls`: those that counted,
    `held_calls` those under way.
    """

    limit: Limit
    spent: Amount
    held: Amount
    calls: int
    held_calls: int = 0


@dataclass(frozen=True, slots=True)
class Near:
    """An account that is nearly used up. `limit` is its own bound."""

    account_id: AccountId
    kind: AccountKind
    subject: str
    limit: Limit
    spent: Amount
    calls: int

    @property
    def percent(self) -> int:
        return used_percent(self.limit, self.spent, self.calls)


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest `spent + held` a subtree ever reached, at any instant of the ledger, and how many calls settled."""

    peak: Amount
    spent: Amount
    calls: int
    estimated_calls: int


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What a model was asked by a session, and booked; tries that cost nothing are none. `model` by its full name."""

    session_id: SessionId
    model: str
    calls: int
    spent: Amount


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
class SealedSecret:
    """`envelope` as `service.secrets` seals it, with the key that `key_id` names."""

    name: str
    key_id: str
    envelope: str = field(repr=False)
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class PriceUse:
    """Settled calls of one model that were priced alike. `price` None: unpriced, or from before it was recorded;
    `subscription`: the provider whose throughput they drew on, if it was one.
    """

    model: str
    price: Price | None
    subscription: str | None
    calls: int
    estimated_calls: int
    spent: Amount
    usage: Usage


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
    def swarms(
        self, project: str | None = None, *, states: Collection[SwarmState] = ()
    ) -> list[Swarm]: ...  # newest first; what runs often names states, and pays for no swarm that ended
    def task(self, swarm_id: SwarmId, task_id: TaskId) -> Task: ...
    def tasks(self, swarm_id: SwarmId, *, states: Collection[TaskState] = ()) -> list[Task]: ...  # in plan order
    def task_counts(self, swarm_id: SwarmId) -> dict[TaskState, int]: ...  # every state, 0 where there is none
    def file_claims(self, swarm_id: SwarmId) -> dict[str, TaskId]: ...  # path to the task that holds it
    def agents(self, project: str) -> list[Agent]: ...  # all in the record, by name
    def active_agents(self, project: str) -> list[Agent]: ...  # those that take tasks, by name
    def agent(self, agent_id: AgentId) -> Agent: ...
    def session(self, session_id: SessionId) -> Session: ...
    def sessions(
        self, swarm_id: SwarmId, *, task_id: TaskId | None = None, states: Sequence[SessionState] = ()
    ) -> list[Session]: ...  # oldest first
    def session_stops(self, session_ids: Sequence[SessionId]) -> dict[SessionId, str]: ...  # those to be ended, and why
    def session_result(self, session_id: SessionId) -> str | None: ...  # wire form; None when it handed in nothing
    def change(self, change_id: ChangeId) -> Change: ...
    def changes(
        self, swarm_id: SwarmId, *, states: Sequence[ChangeState] = (), task_id: TaskId | None = None
    ) -> list[Change]: ...  # in order of submission
    def review(self, review_id: ReviewId) -> Review: ...
    def reviews(
        self, swarm_id: SwarmId, *, states: Sequence[ReviewState] = (), subject_id: str | None = None
    ) -> list[Review]: ...  # in the order they were asked
    def question(self, question_id: QuestionId) -> Question: ...
    def questions(self, swarm_id: SwarmId, *, states: Sequence[QuestionState] = ()) -> list[Question]: ...
    def messages(self, session_id: SessionId) -> list[Message]: ...  # in the order they were sent
    def undelivered_messages(self, session_ids: Sequence[SessionId]) -> list[Message]: ...  # likewise
    def takeover_pending(
        self, session_id: SessionId
    ) -> bool: ...  # it goes on from another one, and has yet to show how
    def unread_mail(self, swarm_id: SwarmId, recipient: AgentId) -> int: ...
    def mail_sent(self, session_id: SessionId) -> int: ...
    def delivery(self, delivery_id: DeliveryId) -> Delivery: ...
    def deliveries(self, swarm_id: SwarmId, *, states: Sequence[DeliveryState] = ()) -> list[Delivery]: ...
    def work(self, work_id: WorkId) -> Work: ...
    def works(
        self, *, swarm_id: SwarmId | None = None, states: Sequence[WorkState] = (), worker_id: WorkerId | None = None
    ) -> list[Work]: ...
    def has_queued(self, kinds: Sequence[WorkKind]) -> bool: ...
    def workers(self) -> list[WorkerRow]: ...
    def replicas(self) -> list[ReplicaRow]: ...  # the oldest first
    def chores(self) -> dict[str, ReplicaId]: ...  # who does which; the replica may be gone
    def open_intents(self) -> list[Intent]: ...
    def open_runs(
        self, swarm_id: SwarmId
    ) -> list[Run]: ...  # of the merge queue: ended ones as they ended, then others
    def open_run(self, work_id: WorkId) -> Run | None: ...
    def run_started_at(self, work_id: WorkId) -> datetime | None: ...
    def run_seconds(self, swarm_id: SwarmId, most: int) -> list[float]: ...  # of those that ended last
    def queue_branch(self, swarm_id: SwarmId) -> QueueBranch | None: ...  # None before anything landed
    def tasks_failing(self, swarm_id: SwarmId, test: str) -> list[TaskId]: ...  # whose changes failed it in the queue
    def tests_failed(self, swarm_id: SwarmId, changes: Collection[ChangeId]) -> dict[ChangeId, tuple[str, ...]]: ...
    def health_tasks(
        self, swarm_id: SwarmId
    ) -> dict[str, TaskId]: ...  # test to the task that was filed to look after it
    def gate_runs(self, change_id: ChangeId) -> list[GateRun]: ...
    def cached_gate(self, key: str) -> GateResult | None: ...
    def events(
        self, swarm_id: SwarmId, *, after: int = 0, limit: int = 1000, session_id: SessionId | None = None
    ) -> list[Event]: ...
    def last_seq(self, swarm_id: SwarmId) -> int: ...  # 0 before the first event
    def archived(self, swarm_id: SwarmId) -> list[ArchivedEvents]: ...  # in order; `events` reads them by itself
    def archive_fault(self, archived: ArchivedEvents) -> str | None: ...  # why the file cannot be read, None if it can
    def logged_swarms(self) -> list[SwarmId]: ...  # oldest first
    def logs(self) -> list[SwarmLog]: ...  # of the swarms with events in the database
    def unanchored(self, limit: int) -> list[Head]: ...  # heads of the chains that grew since they were last anchored
    def anchors(self, *, after: int = 0, limit: int = 1000) -> list[Anchor]: ...
    def last_anchor(self) -> Anchor | None: ...
    def last_event_at(self, session_id: SessionId) -> datetime | None: ...
    def account(self, account_id: AccountId) -> Account: ...
    def account_of(self, kind: AccountKind, subject: str) -> Account: ...
    def totals(self, account_id: AccountId) -> Totals: ...
    def headroom(self, account_id: AccountId) -> Limit:
        """What everything below the account may still hold together, by its own bound and those above it."""
        ...

    def spent_agents(self, swarm_id: SwarmId, agents: Collection[AgentId], least: Amount) -> frozenset[AgentId]:
        """Those of `agents` whose own share of the swarm's budget holds no call for `least` any more."""
        ...

    def near_limits(self, swarm_id: SwarmId, percent: int) -> list[Near]:
        """What the swarm draws on and is used up to `percent` or more: its own account and those above it, the day and the
        month, the tasks, agents and sessions at work.
        """
        ...

    def windows(self, project: str) -> list[Window]: ...  # those with a limit, as they stand at this moment
    def totals_of_session(self, session_id: SessionId) -> list[tuple[AccountId | None, Totals]]:
        """Every account a call of the session is held on now: its own and those above it, then those beside the tree, which
        bound it even where nothing was used of them yet and there is no account.
        """
        ...

    def peak(self, swarm_id: SwarmId) -> Peak: ...
    def model_usage(self, swarm_id: SwarmId) -> list[ModelUsage]: ...
    def answered_calls(self, session_id: SessionId) -> int: ...  # settled; tries that cost nothing are none
    def session_usage(self, swarm_id: SwarmId) -> list[SessionUsage]: ...
    def reservation(self, reservation_id: ReservationId) -> Reservation: ...
    def open_reservations(self, swarm_id: SwarmId | None = None) -> list[Reservation]: ...
    def orphaned_reservations(self) -> list[Reservation]: ...  # open, and the replica that opened them is gone
    def token_session(self, token_sha256: str) -> SessionId | None: ...  # None when unknown or revoked
    def blob(self, key: str) -> bytes | None: ...
    def secrets(self) -> list[SealedSecret]: ...  # by name
    def secret(self, name: str) -> SealedSecret: ...
    def price_lists(self) -> list[PriceList]: ...  # the oldest first
    def price_list(self, list_id: str) -> PriceList: ...
    def price_entries(self, list_id: str) -> list[PriceEntry]: ...  # in the list's order
    def approved_prices(self) -> list[ApprovedPrice]: ...
    def price_version(self) -> int: ...  # grows with every decision about a list that is committed
    def prices_used(self, swarm_id: SwarmId) -> list[PriceUse]: ...
    def drawn(
        self, provider: str, since: datetime
    ) -> Drawn: ...  # by a subscription's calls that are open or ended later
    def oldest_draws(
        self, provider: str, since: datetime, most: int
    ) -> list[PastCall]: ...  # that ended, the first first


class Tx(Reader, Protocol):
    """Reads and conditional writes of one transaction. `at` of rows is the store's clock."""

    # Swarms and tasks
    def hold_project(self, project: str) -> None:
        """Until this transaction ends no other one holds the project: of two that look for an open swarm of it before they
        open one, the second sees the first's. Asked before anything else is written.
        """
        ...

    def insert_swarm(self, new: NewSwarm) -> Swarm:
        """The swarm RUNNING, its tasks WAITING or READY, its account under the project's (made when missing)."""
        ...

    def insert_task(self, swarm_id: SwarmId, planned: PlannedTask, rank: int, *, rejection: str | None = None) -> Task:
        """One more task, last in plan order (a `fix_bug` task, say): WAITING or READY by what it depends on. The swarm's
        plan stays as it was started. `rejection` is what its first attempt is told. ConflictError when the id is taken or
        the swarm has landed.
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
        that satisfies dependents moves those with nothing else to wait for to READY; RETRY resets the attempts; RETRY and
        ANSWER forget the note.
        """
        ...

    def guide_task(self, swarm_id: SwarmId, task_id: TaskId, guidance: Guidance | None) -> Task:
        """What a person decided for the task's next attempts, in place of what was decided before."""
        ...

    def widen_task(self, swarm_id: SwarmId, task_id: TaskId, paths: Sequence[str], *, exclusive: bool) -> Task:
        """The task owns these paths, too; with `exclusive` they are claimed for it while it holds files. ConflictError when
        another task holds what overlaps.
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

    def hold_worker(self, lease: WorkerLease) -> None:
        """Until this transaction ends nobody else gives the worker work. FenceLostError when the lease is gone. Asked first
        by whoever looks at a swarm and then claims from it: a worker is held before a swarm, everywhere.
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

    def open_review_session(
        self, lease: WorkerLease, swarm_id: SwarmId, task_id: TaskId, model: str, base_commit: str, limit: Limit
    ) -> Session:
        """CLAIMED by an idle agent of the role `reviewer`, made when there is none, with an account under the task's. It
        starts no attempt: the task, in REVIEW, stays as it is. ConflictError when it is in another state.
        """
        ...

    def start_session(self, session_id: SessionId, token_sha256: str) -> Session: ...
    def end_session(self, session_id: SessionId, outcome: SessionOutcome, reason: str | None) -> Session:
        """ENDED; its token revoked; its account closed (with its last open reservation, when one is under way)."""
        ...

    def stop_session(self, session_id: SessionId, reason: str) -> None:
        """Its worker is to end it, for this reason; the first one stays."""
        ...

    def enqueue_work(self, new: NewWork) -> Work: ...
    def claim_work(
        self, lease: WorkerLease, free: Capacity, kinds: Sequence[WorkKind]
    ) -> list[Work]: ...  # of open swarms, deliveries of any
    def finish_work(
        self, lease: WorkerLease, work_id: WorkId, fence: int, result: str, *, swarm_id: SwarmId | None = None
    ) -> None:
        """DONE; FenceLostError, at the latest at the commit, unless `lease` still holds it at `fence`. `swarm_id`, where it is
        known, saves a look-up.
        """
        ...

    def expire_work(self, work_id: WorkId, fence: int) -> Work | None:
        """LEASED back to QUEUED (gates, builds) or VOID (sessions: the task is claimed anew); None when it moved on."""
        ...

    def cancel_work(self, work_id: WorkId) -> Work | None: ...  # None when it had already ended

    # Replicas and their chores
    def register_replica(self, new: ReplicaRow) -> None: ...
    def beat_replica(self, replica_id: ReplicaId) -> None: ...  # FenceLostError when it was expired
    def remove_replica(self, replica_id: ReplicaId) -> list[Reservation]:
        """At its orderly end: its chores are free for others, what is still open of it is charged in full and returned.
        Nothing happens when it is gone already.
        """
        ...

    def expire_replica(self, replica_id: ReplicaId, beats: int) -> list[Reservation] | None:
        """As `remove_replica`, if its beats still are what the watcher saw; None when they are not."""
        ...

    def take_chore(self, subject: str, replica_id: ReplicaId) -> ReplicaId:
        """Who does the chore from now on: `replica_id` when nobody did, or the one that did is gone."""
        ...

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

    def insert_run(self, swarm_id: SwarmId, run: Run) -> None: ...  # its id is that of its work
    def end_run(self, work_id: WorkId, verdict: Verdict, *, sure: bool) -> None: ...  # ConflictError unless under way
    def close_runs(self, work_ids: Collection[str]) -> None: ...  # they say nothing about the queue any more
    def record_failures(
        self, swarm_id: SwarmId, task_id: TaskId, change_id: ChangeId, tests: Sequence[str]
    ) -> None: ...
    def insert_health(self, swarm_id: SwarmId, tests: Sequence[str], task_id: TaskId) -> None: ...
    def set_queue_branch(self, swarm_id: SwarmId, branch: QueueBranch) -> None: ...

    # Reviews, questions, messages, deliveries
    def insert_review(self, new: NewReview) -> Review: ...
    def advise_review(self, review_id: ReviewId, advice: str) -> Review: ...  # ConflictError unless OPEN
    def move_review(self, review_id: ReviewId, event: ReviewEvent, *, decided_by: str, reason: str) -> Review: ...
    def insert_question(
        self, question_id: QuestionId, session_id: SessionId, text: str, paths: Sequence[str] = ()
    ) -> Question: ...
    def answer_question(self, question_id: QuestionId, answer: str, answered_by: str) -> Question: ...
    def withdraw_question(self, question_id: QuestionId) -> Question: ...
    def insert_message(self, message_id: MessageId, session_id: SessionId, sender: str, text: str) -> Message:
        """ConflictError when the session has ended."""
        ...

    def mark_delivered(self, message_ids: Sequence[MessageId], session_ids: Sequence[SessionId]) -> list[Message]:
        """Those that were not yet, and are to one of these sessions, in the order given."""
        ...

    def begin_takeover(self, session_id: SessionId, before_id: SessionId) -> None: ...
    def try_takeover(self, session_id: SessionId, *, accepted: bool) -> int:
        """How many tries that makes. ConflictError unless it is pending."""
        ...

    def insert_mail(self, mail_id: MessageId, session_id: SessionId, recipient: AgentId, text: str) -> Mail:
        """From the agent of a session, ConflictError when that has ended."""
        ...

    def read_mail(self, swarm_id: SwarmId, recipient: AgentId, most: int) -> list[Mail]:
        """The oldest that the agent has not read, marked as read."""
        ...

    def insert_delivery(self, new: NewDelivery) -> Delivery: ...
    def move_delivery(
        self, delivery_id: DeliveryId, event: DeliveryEvent, *, candidate: str | None = None, note: str | None = None
    ) -> Delivery: ...

    # Events
    def append(self, swarm_id: SwarmId, *events: NewEvent) -> list[Event]: ...
    def archive_events(self, archived: ArchivedEvents) -> None:
        """The oldest events of a swarm lie in a file: their rows go. ConflictError unless they are the ones in it."""
        ...

    def append_anchor(self, anchor: Anchor) -> None: ...  # ConflictError unless it follows the last one

    # Ledger
    def reserve(
        self,
        reservation_id: ReservationId,
        session_id: SessionId,
        model: str,
        amount: Amount,
        *,
        sent: bool,
        replica_id: ReplicaId | None = None,
        price: str | None = None,
        subscription: str | None = None,
    ) -> Reservation:
        """Hold `amount` on the session's account, topping it up from the accounts above it; BudgetExceededError (which
        names the account that is full) when it does not fit. With `sent`, straight to SENT in this one commit. It is
        `replica_id`'s to end: once that one is gone, it is charged in full. `price` is the digest of what it is priced by,
        `subscription` the provider whose throughput it draws on.
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
        """Of the orphaned ones: HELD freed, SENT settled in full."""
        ...

    def set_windows(self, project: str, zone: str, limits: Mapping[Period, Limit]) -> None:
        """What the project may use in each day and month, counted in the time zone `zone`; a period that is not named has no
        limit. Calls of a window that were made before it had one count in it. A limit below what is used lets nothing
        more through until the window turns.
        """
        ...

    def raise_limit(self, account_id: AccountId, limit: Limit) -> Account:
        """ConflictError when it would be below what is already spent, held and allocated."""
        ...

    def put_blob(self, key: str, data: bytes) -> None: ...

    # Secrets
    def put_secret(
        self, name: str, key_id: str, envelope: str, set_by: str
    ) -> SealedSecret: ...  # in place of one there
    def rewrap_secret(self, name: str, key_id: str, envelope: str, *, expected: str) -> None:
        """The same secret sealed with another key. ConflictError unless its envelope still is `expected`."""
        ...

    def remove_secret(self, name: str) -> None: ...

    # Prices
    def insert_price_list(
        self, list_id: str, source: str, imported_by: str, entries: Sequence[PriceEntry]
    ) -> PriceList:
        """Proposed: nothing is priced by it yet."""
        ...

    def decide_price_list(self, list_id: str, verdict: PriceVerdict, decided_by: str, reason: str) -> PriceList:
        """Once, ConflictError afterwards."""
        ...

    def record_price(self, digest: str, document: str) -> None:
        """What calls are priced by from now on, see `policy.pricing.written`. Nothing happens when it is there."""
        ...

    def hold_subscription(self, provider: str) -> None:
        """Until this transaction ends nobody else counts or adds calls of the subscription. Asked after the session was
        looked at: a swarm is held before a subscription, everywhere.
        """
        ...


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit touched, for those who wait: wake-ups only, never the truth. `unsure`: others may have been touched."""

    swarms: frozenset[SwarmId]
    unsure: bool = False


class Store(Protocol):
    async def transact(self, step: Callable[[Tx], T]) -> T: ...
    async def read(self, look: Callable[[Reader], T]) -> T: ...
    def commits(self) -> AsyncIterator[Committed]:
        """One item after each commit that touched a swarm, coalesced when the listener is slow. Ends when the store closes."""
        ...

    async def close(self) -> None: ...
