"""The account tree under random calls, closings, raises and crashes, checked against an independent model; and mutants of
the ledger, each of which this test must catch.
"""

import asyncio
import shutil
import sqlite3
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import psycopg
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
from swarmworks.domain.budget import AccountKind, Amount, Limit, Period, ReservationState
from swarmworks.domain.session import SessionOutcome
from swarmworks.domain.task import TaskEvent
from swarmworks.policy import ledger as policy
from swarmworks.policy import windows
from swarmworks.policy.admit import Choice
from swarmworks.store.ledger import LedgerWrites, task_subject
from swarmworks.store.postgres import open_postgres
from swarmworks.store.sqlite import open_store
from tests.postgres import a_store, needs_postgres
from tests.store.ledger_model import NOTHING, OPEN, PERIODS, UNITS, Account, Model
from tests.store.sample import agents_of, planned, swarm_of, terms_of, worker

units = st.integers(0, 60)
amounts = st.tuples(units, units) | st.sampled_from([(1, 1), (1, 1), (19_996, 60), (60, 19_996)])
bounds = st.none() | st.integers(20, 300) | st.just(20_000)
counts = st.none() | st.none() | st.integers(2, 12)
limits = st.tuples(bounds, bounds, counts)
beside = st.just(NOTHING) | st.tuples(st.none() | st.integers(40, 400), st.none() | st.integers(40, 400), counts)
pick = st.integers(0, 30)
CALLS = [
    "reserve",
    "reserve",
    "reserve",
    "send",
    "free",
    "settle",
    "settle",
    "settle",
    "end",
    "raise",
    "windows",
    "clock",
]
HOURS = [1, 13, 25, -1, -25, 24 * 40]


ERRORS = {"budget": BudgetExceededError, "conflict": ConflictError}


class Ids:
    """Numbers that go on after a crash."""

    def __init__(self):
        self.number = 0

    def new(self, prefix):
        self.number += 1
        return f"{prefix}_{self.number}"


class SettableClock(ManualClock):
    def jump(self, hours):
        """Wall time only, forwards or backwards."""
        self._now += timedelta(hours=hours)


class Ledger(RuleBasedStateMachine):
    template: Path

    def __init__(self):
        super().__init__()
        self.runner, self.ids, self.model, self.sessions = asyncio.Runner(), Ids(), Model(), {}
        self.generation, self.clock = 0, SettableClock()
        self.make()
        self.open()

    @property
    def path(self):
        return self.folder / f"{self.generation}.db"

    def make(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-", dir=self.template.parent))
        shutil.copy(self.template, self.path)

    def open(self):
        self.store = self.runner.run(open_store(self.path, self.clock, self.ids))

    @property
    def now(self):
        return self.clock.now().isoformat()

    def do(self, step):
        return self.runner.run(self.store.transact(step))

    def teardown(self):
        self.runner.run(self.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    @initialize(
        caps=st.just(NOTHING) | limits,
        swarms=st.lists(st.tuples(limits, limits, beside), min_size=1, max_size=2),
        windows=st.tuples(beside, beside),
    )
    def begin(self, caps, swarms, windows):
        self.model.accounts["project shop"] = Account(None, caps)

        def step(tx):
            tx.set_agents("shop", agents_of(12))
            project = tx.open_account(None, AccountKind.PROJECT, "shop", Limit())
            tx.raise_limit(project, Limit(*caps))
            return worker(tx)

        self.lease = self.do(step)
        self.set_windows(*windows)
        for each in swarms:
            self.swarm(*each)
        for number in range(len(self.sessions) - 1):
            self.claim(number, NOTHING)

    def set_windows(self, day, month):
        self.do(lambda tx: tx.set_windows("shop", "UTC", {Period.DAY: Limit(*day), Period.MONTH: Limit(*month)}))
        self.model.set_windows({"day": day, "month": month})

    def swarm(self, caps, task_caps, agent_caps):
        project_caps = self.model.accounts["project shop"].caps
        name = f"s{len(self.model.peaks)}"
        tasks = [planned(f"{name}-{n}") for n in range(2)]
        new = swarm_of(*tasks, swarm_id=SwarmId(name), limit=Limit(*caps), task_limit=Limit(*task_caps))
        new = replace(new, agent_limit=Limit(*agent_caps))
        taken = [self.model.committed("project shop", d) + (caps[d] or 0) for d in UNITS]
        fits = all(project_caps[d] is None or not caps[d] or taken[d] <= project_caps[d] for d in UNITS)
        if not fits:
            with pytest.raises(BudgetExceededError):
                self.do(lambda tx: tx.insert_swarm(new))
            return
        self.do(lambda tx: tx.insert_swarm(new))
        self.model.accounts[f"swarm {name}"] = Account("project shop", caps)
        self.model.peaks[f"swarm {name}"] = (0, 0)
        self.task_caps = {**getattr(self, "task_caps", {}), name: task_caps}
        self.agent_caps = {**getattr(self, "agent_caps", {}), name: agent_caps}
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
        how=st.sampled_from(["part", "part", "exact", "lost", "over", "nothing"]),
        caps=limits,
        windows=st.tuples(beside, beside),
    )
    def act(self, call, number, asked, sent, how, caps, windows):
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
            case "windows":
                self.set_windows(*windows)
            case "clock":
                self.clock.jump(HOURS[number % len(HOURS)])
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
            assert any(self.model.accounts[key].state != "open" or self.no_call_left(key) for key in chain)
            return
        session, work = claimed[0]
        self.sessions[task_id] = session.id
        self.do(lambda tx: tx.cancel_work(work.id))
        subject = task_subject(SwarmId(swarm), task_id)
        self.model.accounts.setdefault(f"task {subject}", Account(f"swarm {swarm}", self.task_caps[swarm]))
        self.model.accounts[f"session {session.id}"] = Account(f"task {subject}", caps)
        if self.agent_caps[swarm] != NOTHING:
            self.model.agents[f"session {session.id}"] = (f"agent {swarm}/{session.agent_id}", self.agent_caps[swarm])

    def no_call_left(self, key):
        most = self.model.accounts[key].caps[2]
        return most is not None and self.model.spent(key)[2] + self.model.held(key)[2] >= most

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

        wanted = (*asked, 1)
        refusal = self.model.refusal(key, wanted)
        refusals = {refusal} if refusal is not None else self.model.refusals_beside(key, wanted, self.now)
        if refusals:
            with pytest.raises(tuple(ERRORS[each] for each in refusals)):
                self.do(step)
            return
        self.do(step)
        self.model.hold(name, key, wanted, "sent" if sent else "held", self.now)

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
            "exact": reserved[:2],
            "over": (reserved[0] + extra, reserved[1]),
            "lost": reserved[:2],
            "nothing": (0, 0),
        }[how]
        told = None if how == "lost" else Amount(*booked)
        counted = 1 if how == "lost" or any(booked) else 0
        if self.expect(name, "sent", lambda tx: tx.settle(name, told)):
            self.model.book(name, (*booked, counted), estimated=how == "lost")

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
        for d in UNITS:
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
        self.crash_now()
        self.open()
        self.do(lambda tx: tx.recover_reservations())
        self.model.recover()

    def crash_now(self):
        """What is on the disk, without what the process still knew."""
        before = self.path
        self.generation += 1
        for suffix in ("", "-wal"):
            source = before.with_name(before.name + suffix)
            if source.exists():
                shutil.copy(source, self.path.with_name(self.path.name + suffix))
        self.runner.run(self.store.close())

    @invariant()
    def the_store_agrees_with_the_model(self):
        self.runner.run(self.store.read(self.compare))

    def compare(self, reader):
        for key, wanted in self.model.accounts.items():
            kind, subject = key.split()
            account = reader.account_of(AccountKind(kind), subject)
            totals = reader.totals(account.id)
            assert used_in(totals) == (self.model.spent(key), self.model.held(key)), key
            assert totals.limit == Limit(*wanted.caps)
            assert account.state == wanted.state, key
            check_invariants(account)
        check_carving(reader)
        self.compare_beside(reader)
        for key, peak in self.model.peaks.items():
            found = reader.peak(SwarmId(key.split()[1]))
            assert found.peak == Amount(*peak)
            assert (found.spent.nano_usd, found.spent.tokens, found.calls) == self.model.spent(key)
        for name, hold in self.model.holds.items():
            found = reader.reservation(name)
            assert (found.state, found.estimated) == (hold.state, hold.estimated)
        assert {r.id for r in reader.open_reservations()} == {n for n, h in self.model.holds.items() if h.state in OPEN}

    def compare_beside(self, reader):
        for key, wanted in self.model.beside.items():
            kind, subject = key.split()
            account = reader.account_of(AccountKind(kind), subject)
            spent, held = used_in(reader.totals(account.id))
            assert held == self.model.held_beside(key), key
            assert tuple(map(sum, zip(spent, held, strict=True))) == tuple(
                self.model.used_beside(key, d) for d in UNITS
            ), key
            assert (account.state == "frozen") == wanted.frozen, key
            for d in UNITS:
                most = None if wanted.caps[d] is None else max(wanted.caps[d], wanted.floor[d])
                assert most is None or wanted.frozen or spent[d] + held[d] <= most, key
        windows = {str(each.period): each for each in reader.windows("shop")}
        for period in PERIODS:
            key = self.model.window(period, self.now)
            assert (period in windows) == (key is not None)
            if key is not None:
                assert key.endswith(f"/{windows[period].key}")


def used_in(totals):
    return (
        (totals.spent.nano_usd, totals.spent.tokens, totals.calls),
        (totals.held.nano_usd, totals.held.tokens, totals.held_calls),
    )


def check_invariants(account):
    for d in ("nano_usd", "tokens"):
        parts = [getattr(each, d) for each in (account.spent, account.held, account.allocated)]
        assert min(parts) >= 0
        limit = getattr(account.limit, d)
        assert limit is None or sum(parts) <= limit or account.state == "frozen"


def check_carving(reader):
    """What an account has allocated is what its open children have, to the last unit."""
    for unit in ("nano_usd", "tokens", "calls"):
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


class OnPostgres(Ledger):
    """A database for each example, copied from one with the tables in it."""

    template: str

    def __init__(self):
        self.server, _, self.origin = self.template.rpartition("/")
        self.name = f"{self.origin}_{id(self)}"
        super().__init__()

    def make(self):
        with psycopg.connect(f"{self.server}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.name} TEMPLATE {self.origin}")

    def open(self):
        self.store = self.runner.run(open_postgres(f"{self.server}/{self.name}", self.clock, self.ids))

    def crash_now(self):
        self.generation += 1
        self.runner.run(self.store.close())

    def teardown(self):
        self.runner.run(self.store.close())
        self.runner.close()
        with psycopg.connect(f"{self.server}/postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {self.name} WITH (FORCE)")


@needs_postgres
def test_the_account_tree_agrees_with_it_on_postgresql_too():
    address = a_store()

    async def make():
        await (await open_postgres(address, ManualClock(), Ids())).close()

    asyncio.run(make())
    run(type("LedgerOnPostgres", (OnPostgres,), {"template": address}), 6, [Phase.generate])


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


def end_in_the_present_window(self, ids, reserved, booked, calls):
    """Settles in the window of now what was reserved in another."""
    newest = [
        row["account_id"] for row in self.db.rows("SELECT account_id FROM budget_window WHERE account_id IS NOT NULL")
    ]
    kept = [each for each in ids if self.account(each).kind == "agent"]
    END_BESIDE(self, [*kept, *(newest if len(ids) > len(kept) else [])], reserved, booked, calls)


def hold_unchecked(self, ids, amount):
    if ids:
        values = {"ids": ids, "n": amount.nano_usd, "t": amount.tokens}
        self.db.change(
            "UPDATE account SET limit_nano_usd = NULL, limit_tokens = NULL, limit_calls = NULL, held_calls = held_calls + 1,"
            " held_nano_usd = held_nano_usd + :n, held_tokens = held_tokens + :t WHERE id IN :ids",
            **values,
        )


def recover_by_freeing(self):
    return [free_sent(self, each.id) for each in self.open_reservations()]


def reserve_unchecked(self, chain, unit, asked):
    """Look only afterwards whether it was too much, and let it pass."""


FREE, SETTLE, ENTER = LedgerWrites.free, LedgerWrites.settle, LedgerWrites._enter
END_BESIDE = LedgerWrites._end_beside


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
    "settle in the present window": (LedgerWrites, "_end_beside", end_in_the_present_window),
    "ignore what stands beside the tree": (LedgerWrites, "_hold_beside", hold_unchecked),
    "keep what stands beside the tree held": (LedgerWrites, "_end_beside", lambda *_more: None),
    "bound no agent": (LedgerWrites, "_agent_account", lambda _self, _drawing: None),
    "begin a window again when the clock goes back": (
        windows,
        "present",
        lambda period, now, zone, _newest: windows.span_at(period, now, zone),
    ),
    "forget what a window used before it had a limit": (LedgerWrites, "_attach", lambda *_more: None),
    "count what cost nothing": (policy, "calls_booked", lambda _amount: 1),
    "count no requests": (policy, "calls_booked", lambda _amount: 0),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_of_the_ledger_is_caught(machine, name):
    owner, attribute, mutant = MUTANTS[name]
    with (
        patch.object(owner, attribute, mutant),
        pytest.raises((AssertionError, pytest.fail.Exception, sqlite3.Error, SwarmworksError)),
    ):
        run(machine, 300, [Phase.generate])
