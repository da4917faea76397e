"""What is asked all day costs the same whatever has finished: counted in rows (PostgreSQL) and machine steps (SQLite)."""

from collections import Counter

from bench.filling import finished

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import ChangeId, RandomIds, ReservationId, WorkId
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.change import ChangeState
from swarmworks.domain.event import NewEvent
from swarmworks.domain.lease import Capacity, WorkKind, WorkState
from swarmworks.domain.session import SessionOutcome, SessionState
from swarmworks.domain.swarm import OPEN, SwarmState
from swarmworks.domain.task import TaskEvent, TaskState
from swarmworks.service.merging import _buildable
from swarmworks.service.scheduling.leasing import _with_ready_tasks
from swarmworks.service.scheduling.swarms import _open_swarms
from swarmworks.store.connection import expand, sequences
from swarmworks.store.postgres import open_postgres
from swarmworks.store.postgres_statements import translated
from swarmworks.store.protocol import NewWork
from swarmworks.store.sqlite import open_store
from tests.postgres import a_database, needs_postgres
from tests.store.sample import ROOMY, SWARM, agents_of, change_of, claim, planned, swarm_of, worker

FEW, MANY = 1_000, 12_000
GATES = Capacity(0, 1, 1 << 20)


class Steps:
    """Counts what SQLite's machine does for each statement."""

    def __init__(self, inner, seen):
        self._inner, self._seen = inner, seen

    def _count(self, sql, call):
        steps = 0

        def step():
            nonlocal steps
            steps += 1

        self._inner._raw.set_progress_handler(step, 1)
        try:
            return call()
        finally:
            self._inner._raw.set_progress_handler(None, 0)
            self._seen[sql] = max(self._seen[sql], steps)

    def rows(self, sql, **values):
        return self._count(sql, lambda: self._inner.rows(sql, **values))

    def row(self, sql, **values):
        return self._count(sql, lambda: self._inner.row(sql, **values))

    def several(self, *asked):
        return [self.rows(sql, **values) for sql, values in asked]

    def change(self, sql, **values):
        return self._count(sql, lambda: self._inner.change(sql, **values))

    def change_many(self, sql, values):
        return sum(self.change(sql, **each) for each in values)

    def post(self, sql, values, missed=None):
        self.change_many(sql, values)

    def hold(self, swarm_id, *, wait):
        return self._inner.hold(swarm_id, wait=wait)


class Examined(Steps):
    """Counts the rows that PostgreSQL looks at for each statement."""

    def _count(self, sql, call):
        return call()

    def rows(self, sql, **values):
        self._examine(sql, values)
        return self._inner.rows(sql, **values)

    def row(self, sql, **values):
        self._examine(sql, values)
        return self._inner.row(sql, **values)

    def change(self, sql, **values):
        self._examine(sql, values)
        return self._inner.change(sql, **values)

    def _examine(self, sql, values):
        text, flat = expand(sql, values) if sequences(sql) else (sql, values)
        raw = self._inner.raw
        raw.execute("SAVEPOINT examined")
        [found] = raw.execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + translated(text), flat).fetchall()
        raw.execute("ROLLBACK TO examined")
        [top] = found["QUERY PLAN"]
        self._seen[sql] = max(self._seen[sql], looked_at(top["Plan"]))


def looked_at(plan):
    mine = sum(plan.get(key, 0) for key in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"))
    return mine * plan["Actual Loops"] + sum(looked_at(below) for below in plan.get("Plans", ()))


class Plant:
    """A swarm in the middle of its work, and everything that is asked of it all day."""

    def __init__(self, store, proxy):
        self.store, self.proxy = store, proxy

    async def begin(self):
        tasks = [planned("first"), planned("next", "first"), *(planned(f"t{n}") for n in range(30))]

        def step(tx):
            tx.set_agents("shop", agents_of(20))
            tx.insert_swarm(swarm_of(*tasks, limit=Limit(10**12, None)))
            return worker(tx)

        self.lease = await self.store.transact(step)

    async def fill(self, first, last):
        await self.store.transact(lambda tx: finished(tx.db, SWARM, self.lease.worker_id, first, last, whole=True))

    async def day(self):
        seen = Counter()
        await self.store.transact(lambda tx: self._writes(self._counted(tx, seen)))
        await self.store.read(lambda reader: self._reads(self._counted(reader, seen)))
        return seen

    def _counted(self, tx, seen):
        tx.db = self.proxy(tx.db, seen)
        return tx

    def _writes(self, tx):
        [(session, work)] = claim(tx, self.lease, 1)
        tx.start_session(session.id, f"sha-{session.id}")
        tx.append(SWARM, NewEvent("a.b", "x", {}, session_id=session.id))
        call = ReservationId(f"r-{session.id}")
        tx.reserve(call, session.id, "m", Amount(100, 10), sent=True)
        tx.settle(call, Amount(50, 5))
        tx.renew_worker(self.lease, frozenset({work.id}))
        tx.finish_work(self.lease, work.id, work.fence, "{}")
        tx.end_session(session.id, SessionOutcome.SUBMITTED, None)
        change = tx.insert_change(change_of(session, ChangeId(f"c-{session.id}")))
        gates = WorkId(f"g-{session.id}")
        tx.enqueue_work(NewWork(gates, WorkKind.GATES, SWARM, session.task_id, change.id, GATES, "{}"))
        [mine] = tx.claim_work(self.lease, ROOMY, (WorkKind.GATES,))
        tx.finish_work(self.lease, mine.id, mine.fence, "{}")
        for event in (TaskEvent.SUBMIT, TaskEvent.APPROVE, TaskEvent.LAND):
            tx.move_task(SWARM, session.task_id, event)

    def _reads(self, reader):
        assert reader.has_queued((WorkKind.GATES,)) is False
        assert [one.id for one in _with_ready_tasks(reader)] == [SWARM]
        assert _open_swarms(reader) == [SWARM]
        assert _buildable(reader) == []
        assert [one.id for one in reader.swarms("shop", states=OPEN)] == [SWARM]
        assert reader.swarms(states=(SwarmState.STOPPING,)) == []
        reader.task_counts(SWARM)
        reader.totals(reader.swarm(SWARM).account_id)
        reader.file_claims(SWARM)
        reader.open_intents()
        reader.open_reservations()
        reader.last_seq(SWARM)
        reader.events(SWARM, after=reader.last_seq(SWARM) - 5)
        assert reader.sessions(SWARM, states=(SessionState.CLAIMED, SessionState.RUNNING)) == []
        assert reader.changes(SWARM, states=(ChangeState.APPROVED, ChangeState.BUILDING)) == []
        reader.works(swarm_id=SWARM, states=(WorkState.QUEUED, WorkState.LEASED))
        assert reader.works(worker_id=self.lease.worker_id, states=(WorkState.LEASED,)) == []
        assert reader.tasks(SWARM, states=(TaskState.BLOCKED,)) == []


async def same_work_whatever_has_finished(store, proxy, settle, allowed):
    plant = Plant(store, proxy)
    await plant.begin()
    await plant.fill(1, FEW)
    await settle()
    await plant.day()  # the first day reads what is then remembered
    few = await plant.day()
    await plant.fill(FEW + 1, MANY)
    await settle()
    many = await plant.day()
    grown = {sql: (few[sql], many[sql]) for sql in many if many[sql] > few[sql] + allowed}
    assert len(many) > 50
    assert not grown
    await store.close()


async def test_on_sqlite_no_statement_takes_more_steps_with_twelve_times_the_finished_work(tmp_path):
    store = await open_store(tmp_path / "state.db", SystemClock(), RandomIds())

    async def nothing():
        pass

    await same_work_whatever_has_finished(store, Steps, nothing, 40)


@needs_postgres
async def test_on_postgres_no_statement_looks_at_more_rows_with_twelve_times_the_finished_work():
    store = await open_postgres(a_database(), SystemClock(), RandomIds())

    async def analyze():
        await store.transact(lambda tx: tx.db._raw.execute("ANALYZE"))

    await same_work_whatever_has_finished(store, Examined, analyze, 10)
