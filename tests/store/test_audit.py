"""Archived events and anchors, on every store."""

import asyncio
import gzip
import json
import random
import re
from dataclasses import replace

import psycopg
import pytest

from swarmworks.base.errors import ConflictError, StoreUnavailableError
from swarmworks.base.ids import SequentialIds, SwarmId
from swarmworks.domain.anchor import fault, key_id, sign
from swarmworks.domain.event import NewEvent, first_break
from swarmworks.domain.swarm import SwarmEvent
from swarmworks.store.archive import Archives
from swarmworks.store.connection import load
from swarmworks.store.postgres import open_postgres
from swarmworks.store.postgres_statements import translated
from tests.postgres import a_store, needs_postgres
from tests.store.sample import SWARM, planned, swarm_of

KEY = b"k" * 32
KEYS = {key_id(KEY): KEY}
TRICKY = {"a": 'end\u2028of "lines"\r\n\x85', "b": [1.5, None, True, {"ü": "\x00"}], "c": 10**30}


@pytest.fixture
def archives(tmp_path):
    return Archives(tmp_path / "state" / "archive")


FILL = """
INSERT INTO event (swarm_id, seq, at, kind, actor, session_id, data, previous_hash, hash)
SELECT 'swm_1', n, '', 'a.b', 'p', CASE WHEN n % 5000 = 0 THEN 'ses_rare' ELSE 'ses_1' END, '{}', '', ''
FROM generate_series(11, 20000) AS n
"""


async def filled(store, count=10, swarm_id=SWARM):
    await store.transact(lambda tx: tx.insert_swarm(swarm_of(planned("a"), swarm_id=swarm_id)))
    new = [
        NewEvent("task.noted", "platform", {**TRICKY, "n": n}, "a", "ses_2" if n % 3 == 0 else "ses_1")
        for n in range(1, count + 1)
    ]
    await store.transact(lambda tx: tx.append(swarm_id, *new))
    return await store.read(lambda r: r.events(swarm_id))


async def archive(store, archives, first, last, swarm_id=SWARM):
    events = await store.read(lambda r: r.events(swarm_id, after=first - 1, limit=last - first + 1))
    piece = archives.write(events)
    await store.transact(lambda tx: tx.archive_events(piece))
    return piece


async def rows_in_the_database(store):
    return {log.swarm_id: (log.first_seq, log.last_seq) for log in await store.read(lambda r: r.logs())}


class TestArchive:
    async def test_archived_events_are_read_as_if_they_were_still_in_the_database(self, store, archives):
        before = await filled(store)
        await archive(store, archives, 1, 4)
        await archive(store, archives, 5, 7)
        assert await rows_in_the_database(store) == {SWARM: (8, 10)}
        assert await store.read(lambda r: r.events(SWARM)) == before
        assert first_break(before) is None
        for after in range(11):
            for limit in (1, 3, 20):
                page = await store.read(lambda r, a=after, m=limit: r.events(SWARM, after=a, limit=m))
                assert page == before[after : after + limit]
                of_session = await store.read(
                    lambda r, a=after, m=limit: r.events(SWARM, after=a, limit=m, session_id="ses_2")
                )
                assert of_session == [e for e in before if e.session_id == "ses_2" and e.seq > after][:limit]

    async def test_a_chain_goes_on_from_an_archive_that_holds_all_of_it(self, store_factory, archives):
        store = await store_factory()
        await filled(store)
        await archive(store, archives, 1, 10)
        assert await rows_in_the_database(store) == {}
        assert await store.read(lambda r: r.last_seq(SWARM)) == 10
        await store.close()
        store = await store_factory()
        await store.transact(lambda tx: tx.append(SWARM, NewEvent("x.y", "p", {})))
        events = await store.read(lambda r: r.events(SWARM))
        assert [event.seq for event in events] == list(range(1, 12))
        assert first_break(events) is None
        await store.close()

    async def test_only_what_is_in_the_file_goes_and_only_once(self, store, archives):
        await filled(store)
        events = await store.read(lambda r: r.events(SWARM, limit=4))
        piece = archives.write(events)
        later = archives.write(await store.read(lambda r: r.events(SWARM, after=5, limit=2)))
        results = await asyncio.gather(
            *(store.transact(lambda tx: tx.archive_events(piece)) for _ in range(3)), return_exceptions=True
        )
        assert [type(result) for result in results].count(ConflictError) == 2
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.archive_events(later))
        events = await store.read(lambda r: r.events(SWARM, after=4, limit=2))
        other = replace(archives.write(events), last_hash="f" * 64)
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.archive_events(other))
        assert await rows_in_the_database(store) == {SWARM: (5, 10)}

    async def test_a_missing_or_altered_file_is_said_with_its_name_and_found_by_the_check(
        self, store, archives, tmp_path
    ):
        await filled(store)
        piece = await archive(store, archives, 1, 4)
        path = tmp_path / "state" / "archive" / piece.file
        whole = path.read_bytes()
        assert await store.read(lambda r: r.archive_fault(piece)) is None
        row = json.loads(gzip.decompress(whole).splitlines()[2])
        assert (row["seq"], row["data"]["n"]) == (3, 3)
        for damaged in (whole[:-20], b"x", gzip.compress(gzip.decompress(whole).replace(b'"n":3', b'"n":4')), None):
            path.unlink()
            if damaged is not None:
                path.write_bytes(damaged)
            with pytest.raises(StoreUnavailableError) as caught:
                await store.read(lambda r: r.events(SWARM))
            assert str(path) in str(caught.value)
            assert str(path) in await store.read(lambda r: r.archive_fault(piece))
        path.write_bytes(gzip.compress(gzip.decompress(whole), 1))  # compressed anew, by whoever kept it
        assert len(await store.read(lambda r: r.events(SWARM))) == 10

    async def test_a_broken_chain_is_not_archived(self, store, archives, tmp_path):
        await filled(store)
        events = await store.read(lambda r: r.events(SWARM))
        with pytest.raises(ValueError, match="broken at event 4"):
            archives.write([*events[:2], *events[3:]])
        assert not (tmp_path / "state" / "archive").exists()

    async def test_logs_name_every_swarm_with_events_in_the_database_and_no_other(self, store, archives, clock):
        names = [SwarmId(f"swm_{n}") for n in random.Random(1).sample(range(100), 7)]
        for name in names:
            await filled(store, 3, name)
        await store.transact(lambda tx: tx.insert_swarm(swarm_of(planned("a"), swarm_id=SwarmId("empty"))))
        await store.transact(lambda tx: (tx.move_swarm(names[1], SwarmEvent.LAND), archive_none(tx)))
        await archive(store, archives, 1, 3, names[0])
        found = await store.read(lambda r: r.logs())
        assert [log.swarm_id for log in found] == sorted(names[1:])
        assert {log.swarm_id: log.ended_at for log in found}[names[1]] == clock.now()
        assert {log.ended_at for log in found if log.swarm_id != names[1]} == {None}
        assert await store.read(lambda r: r.logged_swarms()) == [*names, "empty"]


def archive_none(tx):
    assert tx.archived(SWARM) == []


class TestAnchors:
    async def test_anchors_follow_one_another_and_name_the_chains_that_grew(self, store, clock):
        other = SwarmId("swm_0")
        for name in (SWARM, other):
            await filled(store, 2, name)
        heads = await store.read(lambda r: r.unanchored(10))
        assert [(head.swarm_id, head.seq) for head in heads] == [(other, 2), (SWARM, 2)]
        assert len(await store.read(lambda r: r.unanchored(1))) == 1
        assert [log.anchored_seq for log in await store.read(lambda r: r.logs())] == [0, 0]
        first = sign(KEY, await store.read(lambda r: r.last_anchor()), clock.now(), heads)
        await store.transact(lambda tx: tx.append_anchor(first))
        assert await store.read(lambda r: r.unanchored(10)) == []
        assert [log.anchored_seq for log in await store.read(lambda r: r.logs())] == [2, 2]
        await store.transact(lambda tx: tx.append(other, NewEvent("x.y", "p", {})))
        heads = await store.read(lambda r: r.unanchored(10))
        assert [(head.swarm_id, head.seq) for head in heads] == [(other, 3)]
        second = sign(KEY, first, clock.now(), heads)
        rival = sign(KEY, first, clock.now(), [])
        results = await asyncio.gather(
            *(store.transact(lambda tx, a=anchor: tx.append_anchor(a)) for anchor in (second, rival)),
            return_exceptions=True,
        )
        assert isinstance(results[1], ConflictError)
        assert await store.read(lambda r: r.anchors()) == [first, second]
        assert await store.read(lambda r: r.anchors(after=1)) == [second]
        assert fault(first, None, KEYS) is None
        assert fault(second, first, KEYS) is None


@needs_postgres
async def test_a_page_is_found_by_an_index_on_postgres_however_rare_its_events_are(clock):
    address = a_store()
    store = await open_postgres(address, clock, SequentialIds())
    await filled(store)
    await store.close()
    with psycopg.connect(address, autocommit=True) as raw:
        raw.execute(FILL)
        raw.execute("ANALYZE event")
        wanted = {
            "events": ("pk_event", {}),
            "events_of_session": ("ix_event_session", {"session_id": "ses_rare"}),
            "last": ("pk_event", {}),
            "last_of_session": ("ix_event_session", {"session_id": "ses_rare"}),
        }
        for name, (index, values) in wanted.items():
            sql = translated(load("events")[name])
            plan = raw.execute(b"EXPLAIN " + sql, {"swarm_id": SWARM, "after": 0, "most": 1000, **values}).fetchall()
            steps = "\n".join(row[0] for row in plan)
            assert index in steps, steps
            assert "Seq Scan" not in steps, steps
            assert "Sort" not in steps, steps
        for name, read_to in (("logs", 100), ("unanchored", 100)):
            plan = raw.execute(b"EXPLAIN (ANALYZE) " + translated(load("events")[name]), {"most": 10}).fetchall()
            scanned = [int(rows) for row in plan for rows in re.findall(r"on event.*actual.*rows=(\d+)", row[0])]
            assert max(scanned) < read_to, plan
