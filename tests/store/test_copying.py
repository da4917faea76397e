"""From a file to a server: every row arrives, what was under way can be taken again, and a refusal changes nothing."""

import sqlite3

import psycopg
import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import ConflictError, FenceLostError, NotFoundError, StoreUnavailableError
from swarmworks.base.findings import Finding
from swarmworks.base.ids import RandomIds, ReservationId, TaskId
from swarmworks.domain.budget import Amount, ReservationState
from swarmworks.domain.event import NewEvent, first_break
from swarmworks.domain.lease import WorkerLease, WorkState
from swarmworks.domain.question import QuestionState
from swarmworks.domain.session import SessionOutcome, SessionState
from swarmworks.domain.task import TaskState
from swarmworks.store import copying
from swarmworks.wiring.storekeeping import _put_in_order
from tests.postgres import needs_postgres
from tests.store.databases import OnFile, OnServer
from tests.store.filled import fill, read_back
from tests.store.sample import SWARM, claim, worker

pytestmark = needs_postgres
UNDER_WAY = ("b", "d")
SAME = ("blob", "gates", "cached", "agents", "intents", "swm_1 changes", "swm_1 reviews", "swm_1 deliveries",
        "swm_1 messages", "swm_1 mail", "swm_1 branch", "swm_1 health", "swm_2 tasks", "swm_2 events", "swm_2 accounts")  # fmt: skip


@pytest.fixture
async def source(tmp_path):
    database = OnFile(tmp_path)
    store = await database.open()
    await store.transact(fill)
    await store.close()
    return database


@pytest.fixture
def target(tmp_path):
    return OnServer(tmp_path)


def copy(source, target, put_in_order=_put_in_order):
    return copying.copy(source.path, target.address, source.path.parent, SystemClock(), RandomIds(), put_in_order)


async def all_of(database):
    store = await database.open()
    try:
        return await store.read(read_back)
    finally:
        await store.close()


def rows_in(target):
    with psycopg.connect(target.address) as raw:
        names = raw.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        counts = {name: raw.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name,) in names}
    return {name: count for name, count in counts.items() if count and name not in {"counter", "alembic_version"}}


async def test_every_row_arrives_and_nothing_else_is_changed(source, target):
    before = await all_of(source)
    copied = copy(source, target, lambda _tx: None)
    assert copied.rows["event"] == 4
    assert copied.rows["task"] == 5
    assert await all_of(target) == before
    assert await all_of(source) == before


async def test_what_was_under_way_is_ready_again_at_the_next_fence(source, target):
    before = await all_of(source)
    copy(source, target)
    store = await target.open()
    after = await store.read(read_back)
    assert {name: after[name] for name in SAME} == {name: before[name] for name in SAME}
    assert [each.state for each in before["swm_1 questions"]] == [QuestionState.ANSWERED, QuestionState.OPEN]
    assert [each.state for each in after["swm_1 questions"]] == [QuestionState.ANSWERED, QuestionState.WITHDRAWN]
    tasks = {task.id: task for task in after["swm_1 tasks"]}
    assert [tasks[name].state for name in UNDER_WAY] == [TaskState.READY] * 2
    assert [each.outcome for each in after["swm_1 sessions"] if each.task_id in UNDER_WAY] == [SessionOutcome.LOST] * 2
    assert all(session.state is SessionState.ENDED for session in after["swm_1 sessions"])
    assert {work.state for work in after["works"]} == {WorkState.DONE, WorkState.QUEUED, WorkState.VOID}
    assert [each.state for each in after["reservations"]][2:] == [ReservationState.SETTLED, ReservationState.FREED]
    assert after["swm_1 totals"].held == Amount()
    assert after["workers"] == []
    assert first_break(after["swm_1 events"]) is None
    lost = before["workers"][0]
    [work] = [work for work in before["works"] if work.task_id == "b"]
    with pytest.raises(FenceLostError):
        await store.transact(
            lambda tx: tx.finish_work(WorkerLease(lost.id, lost.fence, lost.ttl_s), work.id, work.fence, "{}")
        )
    again = await store.transact(lambda tx: claim(tx, worker(tx), 2))
    fences = {session.task_id: session.fence for session, _work in again}
    assert fences == {name: tasks[name].fence + 1 for name in UNDER_WAY} == {"b": 2, "d": 2}
    await store.close()


async def test_what_counts_up_goes_on_where_the_file_was(source, target):
    copy(source, target)
    store = await target.open()
    await store.transact(lambda tx: tx.append(SWARM, NewEvent("x.y", "platform", {})))
    [(session, _work), *_] = await store.transact(lambda tx: claim(tx, worker(tx), 1))
    await store.transact(lambda tx: tx.reserve(ReservationId("r9"), session.id, "m", Amount(1, 1), sent=True))
    events = await store.read(lambda r: r.events(SWARM))
    assert first_break(events) is None
    assert [each.id for each in await store.read(lambda r: r.sessions(SWARM))][-1] == session.id
    await store.close()
    assert [check for check in target.check() if check.finding is Finding.LACKING] == []


async def test_a_source_in_use_is_refused(source, target):
    store = await source.open()
    with pytest.raises(StoreUnavailableError, match="another control plane"):
        copy(source, target)
    await store.close()
    assert "swarm" not in rows_in(target)


async def test_a_target_that_holds_something_is_refused(source, target):
    store = await target.open()
    await store.transact(lambda tx: tx.put_blob("mine", b"x"))
    await store.close()
    with pytest.raises(ConflictError, match="not empty: it has rows in blob"):
        copy(source, target)
    assert rows_in(target) == {"blob": 1}


async def test_a_second_copy_is_refused(source, target):
    copy(source, target)
    before = rows_in(target)
    with pytest.raises(ConflictError, match="not empty"):
        copy(source, target)
    assert rows_in(target) == before


async def test_an_older_schema_is_refused(source, target):
    source.execute("UPDATE alembic_version SET version_num = '0002'")
    with pytest.raises(ConflictError, match="lacks") as caught:
        copy(source, target)
    assert "swarm store migrate" in caught.value.mend


def test_a_source_that_is_not_there_is_named(tmp_path, target):
    with pytest.raises(NotFoundError) as caught:
        copy(OnFile(tmp_path), target)
    assert caught.value.where == str(tmp_path / "state.db")
    assert not (tmp_path / "state.db").exists()


async def test_a_source_whose_sums_do_not_hold_is_refused_and_the_target_stays_empty(source, target):
    source.execute("UPDATE account SET spent_tokens = spent_tokens - 1 WHERE kind = 'session' AND spent_tokens > 0")
    with pytest.raises(ConflictError, match="ledger"):
        copy(source, target)
    assert rows_in(target) == {}


async def test_an_interruption_leaves_the_target_empty_and_the_next_copy_works(source, target):
    def interrupted(_tx):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, interrupted)
    assert rows_in(target) == {}
    assert copy(source, target).rows["swarm"] == 2


async def test_a_row_that_arrives_as_another_is_noticed(source, target):
    with target.migrating() as connection:
        copying.schema.upgrade(connection, "test")
    target.execute(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'spoilt'; RETURN NEW; END $$",
        "CREATE TRIGGER spoil BEFORE INSERT ON task FOR EACH ROW EXECUTE FUNCTION spoil()",
    )
    with pytest.raises(ConflictError, match="what arrived in task is not what was sent"):
        copy(source, target)
    assert rows_in(target) == {}


async def test_text_that_the_server_cannot_hold_is_said(source, target):
    raw = sqlite3.connect(source.path)
    raw.execute("UPDATE task SET note = ? WHERE id = ?", ("a\0b", TaskId("a")))
    raw.commit()
    raw.close()
    with pytest.raises(ConflictError, match="cannot be stored there"):
        copy(source, target)
    assert rows_in(target) == {}
