"""The account tree under random calls, closings, raises and crashes, checked against an independent model; and mutants of
the ledger, each of which this test must catch.
"""

import asyncio
import shutil
import sqlite3
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from swarmworks.base.clock import ManualClock
from swarmworks.base.errors import BudgetExceededError, ConflictError, SwarmworksError
from swarmworks.base.ids import ReservationId, SwarmId, TaskId
from swarmworks.domain.budget import AccountKind, Amount, Limit, ReservationState
from swarmworks.domain.session import SessionOutcome
from swarmworks.domain.task import TaskEvent
from swarmworks.policy import ledger as policy
from swarmworks.policy.admit import Choice
from swarmworks.store.ledger import LedgerWrites, task_subject
from swarmworks.store.sqlite import open_store
from tests.store.ledger_model import OPEN, Account, Hold, Model
from tests.store.sample import agents_of, planned, swarm_of, terms_of, worker

units = st.integers(0, 60)
amounts = st.tuples(units, units) | st.sampled_from([(1, 1), (1, 1), (19_996, 60), (60, 19_996)])
bounds = st.none() | st.integers(20, 300) | st.just(20_000)
limits = st.tuples(bounds, bounds)
pick = st.integers(0, 30)
CALLS = ["reserve", "reserve", "reserve", "send", "free", "settle", "settle", "settle", "end", "raise"]


class Ids:
    """Numbers that go on after a crash."""

    def __init__(self):
        self.number = 0

    def new(self, prefix):
        self.number += 1
        return f"{prefix}_{self.number}"


class Ledger(RuleBasedStateMachine):
    template: Path

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-", dir=self.template.parent))
        self.runner, self.ids, self.model, self.sessions = asyncio.Runner(), Ids(), Model(), {}
        self.generation = 0
        shutil.copy(self.template, self.path)
        self.open()

    @property
    def path(self):
        return self.folder / f"{self.generation}.db"

    def open(self):
        self.store = self.runner.run(open_store(self.path, ManualClock(), self.ids))

    def do(self, step):
        return self.runner.run(self.store.transact(step))

    def teardown(self):
        self.runner.run(self.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    @initialize(caps=st.just((None, None)) | limits, swarms=st.lists(st.tuples(limits, limits), min_size=1, max_size=2))
    def begin(self, caps, swarms):
        self.model.accounts["project shop"] = Account(None, caps)

        def step(tx):
            tx.set_agents("shop", agents_of(12))
            project = tx.open_account(None, AccountKind.PROJECT, "shop", Limit())
            tx.raise_limit(project, Limit(*caps))
            return worker(tx)

        self.lease = self.do(step)
        for swarm_caps, task_caps in swarms:
            self.swarm(swarm_caps, task_caps)
        for number in range(len(self.sessions) - 1):
            self.claim(number, (None, None))

    def swarm(self, caps, task_caps):
        project_caps = self.model.accounts["project shop"].caps
        name = f"s{len(self.model.peaks)}"
        tasks = [planned(f"{name}-{n}") for n in range(2)]
        new = swarm_of(*tasks, swarm_id=SwarmId(name), limit=Limit(*caps), task_limit=Limit(*task_caps))
        taken = [self.model.committed("project shop", d) + (caps[d] or 0) for d in (0, 1)]
        fits = all(project_caps[d] is None or not caps[d] or taken[d] <= project_caps[d] for d in (0, 1))
        if not fits:
            with pytest.raises(BudgetExceededError):
                self.do(lambda tx: tx.insert_swarm(new))
            return
        self.do(lambda tx: tx.insert_swarm(new))
        self.model.accounts[f"swarm {name}"] = Account("project shop", caps)
        self.model.peaks[f"swarm {name}"] = (0, 0)
        self.task_caps = {**getattr(self, "task_caps", {}), name: task_caps}
        for task in tasks:
            self.sessions[task.id] = None

    def some(self, choices, number):
        choices = list(choices)
        return choices[number % len(choices)] if choices else None

    @rule(
        call=st.sampled_from(CALLS),
        number=pick,
        asked=amounts,
        sent=st.booleans(),
        how=st.sampled_from(["part", "part", "exact", "lost", "over"]),
        caps=limits,
    )
    def act(self, call, number, asked, sent, how, caps):
        """One rule for all, so that every run has its share of each."""
        match call:
            case "reserve":
                self.reserve(number, asked, sent)
            case "send":
                self.send(number)
            case "free":
                self.free(number)
            case "settle":
                self.settle(number, how, 1 + asked[0])
            case "end":
                self.end(number, sent)
                self.claim(number, caps)
            case _:
                self.raise_limit(number, caps)

    def claim(self, number, caps):
        task_id = self.some((t for t, s in self.sessions.items() if s is None), number)
        if task_id is None:
            return
        swarm = task_id.split("-")[0]
        claimed = self.do(
            lambda tx: tx.claim_sessions(
                self.lease,
                SwarmId(swarm),
                terms_of(limit=Limit(*caps)),
                1,
                lambda f: [Choice(TaskId(task_id), f.idle[0].id)][: f.affordable],
            )
        )
        chain = self.model.chain(f"swarm {swarm}")
        if not claimed:
            assert any(self.model.accounts[key].state != "open" for key in chain)
            return
        session, work = claimed[0]
        self.sessions[task_id] = session.id
        self.do(lambda tx: tx.cancel_work(work.id))
        subject = task_subject(SwarmId(swarm), task_id)
        self.model.accounts.setdefault(f"task {subject}", Account(f"swarm {swarm}", self.task_caps[swarm]))
        self.model.accounts[f"session {session.id}"] = Account(f"task {subject}", caps)

    def live(self, also_ended):
        """Sessions that run, now and then one that has ended."""
        sessions = [key for key in self.model.accounts if key.startswith("session")]
        running = [f"session {each}" for each in self.sessions.values() if each not in {None, "landed"}]
        return running if also_ended and running else sessions

    def reserve(self, number, asked, sent):
        key = self.some(self.live(number % 8), number)
        if key is None:
            return
        name = ReservationId(self.ids.new("res"))

        def step(tx):
            return tx.reserve(name, key.split()[1], "m", Amount(*asked), sent=sent)

        refusal = self.model.refusal(key, asked)
        if refusal is not None:
            with pytest.raises(BudgetExceededError if refusal == "budget" else ConflictError):
                self.do(step)
            return
        self.do(step)
        self.model.holds[name] = Hold(key, asked, "sent" if sent else "held")
        self.model.note_peak()

    def holds(self, number):
        """Mostly one that is still open."""
        still_open = [name for name, hold in self.model.holds.items() if hold.state in OPEN]
        return self.some(still_open if number % 4 else self.model.holds, number)

    def send(self, number):
        name = self.holds(number)
        if name and self.expect(name, "held", lambda tx: tx.send(name)):
            self.model.holds[name].state = "sent"

    def free(self, number):
        name = self.holds(number)
        if name and self.expect(name, "held", lambda tx: tx.free(name)):
            self.model.holds[name].state = "freed"
            self.model.settle_closings()

    def settle(self, number, how, extra):
        name = self.holds(number)
        if name is None:
            return
        reserved = self.model.holds[name].reserved
        booked = {
            "part": (reserved[0] // 2, reserved[1] // 3),
            "exact": reserved,
            "over": (reserved[0] + extra, reserved[1]),
            "lost": reserved,
        }[how]
        told = None if how == "lost" else Amount(*booked)
        if self.expect(name, "sent", lambda tx: tx.settle(name, told)):
            self.model.book(name, booked, estimated=how == "lost")

    def expect(self, name, state, step):
        if self.model.holds[name].state == state:
            self.do(step)
            return True
        with pytest.raises(ConflictError):
            self.do(step)
        return False

    def end(self, number, land):
        task_id = self.some((t for t, s in self.sessions.items() if s not in {None, "landed"}), number)
        if task_id is None:
            return
        session, swarm = self.sessions[task_id], SwarmId(task_id.split("-")[0])

        def step(tx):
            tx.end_session(session, SessionOutcome.SUBMITTED, None)
            moves = [TaskEvent.SUBMIT, TaskEvent.APPROVE, TaskEvent.LAND] if land else [TaskEvent.REWORK]
            for event in moves:
                tx.move_task(swarm, TaskId(task_id), event)

        self.do(step)
        self.sessions[task_id] = "landed" if land else None
        self.model.accounts[f"session {session}"].closing = True
        self.model.accounts[f"task {task_subject(swarm, task_id)}"].closing = land
        self.model.settle_closings()

    def raise_limit(self, number, caps):
        key = self.some((k for k, a in self.model.accounts.items() if a.state != "closed"), number)
        kind, subject = key.split()
        account = self.model.accounts[key]

        def step(tx):
            return tx.raise_limit(tx.account_of(AccountKind(kind), subject).id, Limit(*caps))

        if not self.may_raise(key, kind, caps):
            with pytest.raises((ConflictError, BudgetExceededError)):
                self.do(step)
            return
        self.do(step)
        account.caps, account.state = caps, "open"

    def may_raise(self, key, kind, caps):
        for d in (0, 1):
            if caps[d] is None:
                continue
            if caps[d] < self.model.committed(key, d):
                return False
            above = self.model.accounts["project shop"].caps[d]
            if kind == "swarm" and above is not None:
                grown = caps[d] - self.model.taken(key, d)
                if grown > 0 and self.model.committed("project shop", d) + grown > above:
                    return False
        return True

    @precondition(lambda self: len(self.model.holds) >= 3 * (self.generation + 1))
    @rule()
    def crash(self):
        """What is on the disk, without what the process still knew."""
        before = self.path
        self.generation += 1
        for suffix in ("", "-wal"):
            source = before.with_name(before.name + suffix)
            if source.exists():
                shutil.copy(source, self.path.with_name(self.path.name + suffix))
        self.runner.run(self.store.close())
        self.open()
        self.do(lambda tx: tx.recover_reservations())
        self.model.recover()

    @invariant()
    def the_store_agrees_with_the_model(self):
        self.runner.run(self.store.read(self.compare))

    def compare(self, reader):
        for key, wanted in self.model.accounts.items():
            kind, subject = key.split()
            account = reader.account_of(AccountKind(kind), subject)
            totals = reader.totals(account.id)
            assert (totals.spent, totals.held) == (Amount(*self.model.spent(key)), Amount(*self.model.held(key))), key
            assert totals.limit == Limit(*wanted.caps)
            assert account.state == wanted.state, key
            check_invariants(account)
        check_carving(reader)
        for key, peak in self.model.peaks.items():
            found = reader.peak(SwarmId(key.split()[1]))
            assert found.peak == Amount(*peak)
            assert found.spent == Amount(*self.model.spent(key))
        for name, hold in self.model.holds.items():
            found = reader.reservation(name)
            assert (found.state, found.estimated) == (hold.state, hold.estimated)
        assert {r.id for r in reader.open_reservations()} == {n for n, h in self.model.holds.items() if h.state in OPEN}


def check_invariants(account):
    for d in ("nano_usd", "tokens"):
        parts = [getattr(each, d) for each in (account.spent, account.held, account.allocated)]
        assert min(parts) >= 0
        limit = getattr(account.limit, d)
        assert limit is None or sum(parts) <= limit or account.state == "frozen"


def check_carving(reader):
    """What an account has allocated is what its open children have, to the last unit."""
    for unit in ("nano_usd", "tokens"):
        wrong = reader.db.rows(
            f"""SELECT a.kind, a.subject FROM account a WHERE a.allocated_{unit} <> (
                SELECT coalesce(sum(coalesce(c.limit_{unit}, 0) + c.overrun_{unit}), 0)
                FROM account c WHERE c.parent_id = a.id AND c.state <> 'closed')"""
        )
        assert [tuple(row) for row in wrong] == []


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """In memory where the system has a file system there: the durability of a disk is tested elsewhere."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else tmp_path_factory.mktemp("ledger")))
    path = folder / "template.db"

    async def make():
        await (await open_store(path, ManualClock(), Ids())).close()

    asyncio.run(make())
    yield type("LedgerMachine", (Ledger,), {"template": path})
    shutil.rmtree(folder)


def run(machine, examples, phases):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            database=None,
            derandomize=True,
            report_multiple_bugs=False,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_account_tree_agrees_with_an_independent_model(machine):
    run(machine, 30, [Phase.generate, Phase.shrink])


def lenient(allowed):
    """`_move` of a ledger that looks away when a reservation in state `allowed` is moved again."""
    move = LedgerWrites._move

    def mutant(self, present, event, **more):
        if present.state is allowed:
            return present
        return move(self, present, event, **more)

    return mutant


def free_sent(self, reservation_id):
    present = self.reservation(reservation_id)
    if present.state is not ReservationState.SENT:
        return FREE(self, reservation_id)
    self.db.change("UPDATE reservation SET state = 'freed' WHERE id = :id", id=reservation_id)
    self._release(present)
    self._enter(present.swarm_id, present.id, Amount(), present.reserved)
    return self.reservation(reservation_id)


def settle_half(self, reservation_id, amount, *more):
    if amount is None:
        reserved = self.reservation(reservation_id).reserved
        amount = Amount(reserved.nano_usd // 2, reserved.tokens // 2)
    return SETTLE(self, reservation_id, amount, *more)


def recover_by_freeing(self):
    return [free_sent(self, each.id) for each in self.open_reservations()]


def reserve_unchecked(self, chain, unit, asked):
    """Look only afterwards whether it was too much, and let it pass."""


FREE, SETTLE, ENTER = LedgerWrites.free, LedgerWrites.settle, LedgerWrites._enter


def enter_settlements_only(self, swarm_id, reservation_id, plus, minus):
    if minus != Amount():
        ENTER(self, swarm_id, reservation_id, plus, Amount())


MUTANTS = {
    "check after": (LedgerWrites, "_make_room", reserve_unchecked),
    "ignore allocated": (
        policy,
        "room",
        lambda limit, spent, held, _a: None if limit is None else limit - spent - held,
    ),
    "free sent on recovery": (LedgerWrites, "recover_reservations", recover_by_freeing),
    "charge half of a lost stream": (LedgerWrites, "settle", settle_half),
    "settle twice": (LedgerWrites, "_move", lenient(ReservationState.SETTLED)),
    "free after send": (LedgerWrites, "free", free_sent),
    "close with open holds": (LedgerWrites, "_may_close", lambda _self, _node: True),
    "starve on unused chunks": (LedgerWrites, "_reclaim", lambda _self, _id, _unit: False),
    "forget the peak between settlements": (LedgerWrites, "_enter", enter_settlements_only),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_of_the_ledger_is_caught(machine, name):
    owner, attribute, mutant = MUTANTS[name]
    with (
        patch.object(owner, attribute, mutant),
        pytest.raises((AssertionError, pytest.fail.Exception, sqlite3.Error, SwarmworksError)),
    ):
        run(machine, 60, [Phase.generate])
