"""The log is anchored, archived and checked; whatever is changed behind the platform's back is found and named."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
import logging
import sqlite3
from datetime import timedelta

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.base.errors import NotFoundError
from swarmworks.base.ids import SequentialIds, SwarmId
from swarmworks.domain.anchor import Head, key_id, sign
from swarmworks.domain.event import NewEvent, first_break
from swarmworks.domain.swarm import SwarmEvent
from swarmworks.policy.retention import Retention
from swarmworks.service import archiving as archiving_module
from swarmworks.service.anchoring import Anchoring
from swarmworks.service.archiving import Archiving
from swarmworks.service.verifying import Verifying
from swarmworks.store.anchor_file import AnchorFile
from swarmworks.store.archive import Archives
from swarmworks.store.sqlite import ARCHIVE_NAME, open_store
from swarmworks.wire.audit import CheckedAnchors, CheckedSwarm
from swarmworks.wire.eventlog import parse_event
from tests.store.sample import planned, swarm_of

KEY = b"k" * 32
ONE, TWO = SwarmId("swm_1"), SwarmId("swm_2")


class Plant:
    """Two swarms: ONE with fifty events, TWO with five."""

    def __init__(self, folder, store, clock):
        self.folder, self.store, self.clock = folder, store, clock
        self.file = AnchorFile(folder / "anchors.jsonl")
        self.anchoring = Anchoring(store, clock, KEY, self.file)
        retention = Retention(timedelta(days=90), 10_000)
        self.archiving = Archiving(store, clock, Archives(folder / ARCHIVE_NAME), retention)
        self.verifying = Verifying(store, {key_id(KEY): KEY}, self.file)

    async def append(self, swarm_id, count):
        new = [NewEvent("task.noted", "platform", {"n": n}) for n in range(count)]
        await self.store.transact(lambda tx: tx.append(swarm_id, *new))

    async def end(self, swarm_id, *, days_ago):
        await self.store.transact(lambda tx: tx.move_swarm(swarm_id, SwarmEvent.LAND))
        self.clock.advance(days_ago * 86_400)

    async def check(self, swarm_id=None):
        """What is wrong, by what it is wrong with; and the checked swarms."""
        wrong, swarms = {}, {}
        async for line in self.verifying.verify(await self.verifying.swarms(swarm_id)):
            if isinstance(line, CheckedAnchors):
                self.anchors = line
                wrong["anchors"] = line.problems
            elif isinstance(line, CheckedSwarm):
                swarms[line.swarm_id] = line
                wrong[line.swarm_id] = line.problems
        return {name: problems for name, problems in wrong.items() if problems}, swarms

    def tamper(self, *statements):
        raw = sqlite3.connect(self.folder / "state.db")
        for sql in statements:
            assert raw.execute(sql).rowcount > 0
        raw.commit()
        raw.close()

    def rows(self, sql):
        raw = sqlite3.connect(self.folder / "state.db")
        found = raw.execute(sql).fetchall()
        raw.close()
        return found


@pytest.fixture
async def plant(tmp_path):
    clock = ManualClock()
    store = await open_store(tmp_path / "state.db", clock, SequentialIds())
    made = Plant(tmp_path, store, clock)
    for swarm_id, count in ((ONE, 50), (TWO, 5)):
        await store.transact(lambda tx, s=swarm_id: tx.insert_swarm(swarm_of(planned("a"), swarm_id=s)))
        await made.append(swarm_id, count)
    yield made
    await store.close()


async def test_what_is_as_it_was_written_is_intact_and_anchored(plant):
    await plant.anchoring.once()
    await plant.append(ONE, 3)
    wrong, swarms = await plant.check()
    assert wrong == {}
    assert (swarms[ONE].events, swarms[ONE].anchored, swarms[ONE].archived) == (53, 50, 0)
    assert (swarms[TWO].events, swarms[TWO].anchored) == (5, 5)
    assert (plant.anchors.anchors, plant.anchors.newest_at, plant.anchors.notes) == (1, plant.clock.now(), ())
    assert list((await plant.check(TWO))[1]) == [TWO]
    with pytest.raises(NotFoundError):
        await plant.verifying.swarms(SwarmId("nobody"))


async def test_while_no_chain_grows_nothing_is_written(plant):
    await plant.anchoring.once()
    before = plant.file.path.read_bytes()
    for _ in range(3):
        assert await plant.anchoring.once() is False
    assert plant.file.path.read_bytes() == before
    assert plant.rows("SELECT count(*) FROM anchor") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE event SET data = '{\"n\":99}' WHERE swarm_id = 'swm_1' AND seq = 30", "breaks at event 30"),
        ("UPDATE event SET actor = 'person:eve' WHERE swarm_id = 'swm_1' AND seq = 1", "breaks at event 1"),
        ("DELETE FROM event WHERE swarm_id = 'swm_1' AND seq = 7", "breaks at event 8"),
        ("DELETE FROM event WHERE swarm_id = 'swm_1' AND seq > 40", "events 41-50 are missing"),
        ("DELETE FROM event WHERE swarm_id = 'swm_1'", "events 1-50 are missing"),
    ],
)
async def test_a_change_of_the_rows_is_found(plant, sql, said):
    await plant.anchoring.once()
    plant.tamper(sql)
    wrong, _swarms = await plant.check()
    assert list(wrong) == [ONE]
    assert said in wrong[ONE][0]


async def test_a_swarm_that_was_removed_with_all_its_rows_is_missed(plant):
    await plant.anchoring.once()
    plant.tamper(
        "DELETE FROM event WHERE swarm_id = 'swm_2'",
        "DELETE FROM anchored WHERE swarm_id = 'swm_2'",
        "DELETE FROM swarm WHERE id = 'swm_2'",
    )
    for asked in (None, ONE):
        wrong, swarms = await plant.check(asked)
        assert wrong == {"anchors": ("swarm swm_2 is missing: its events 1-5 were anchored",)}
        assert list(swarms) == [ONE]


async def test_a_chain_written_anew_is_found_by_its_anchor(plant):
    await plant.anchoring.once()
    plant.tamper("DELETE FROM event WHERE swarm_id = 'swm_2'")
    plant.clock.advance(60)
    await plant.append(TWO, 6)
    assert first_break(await plant.store.read(lambda r: r.events(TWO))) is None
    wrong, swarms = await plant.check()
    assert "event 5 is not the one that was anchored" in wrong[TWO][0]
    assert swarms[TWO].anchored == 0


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "UPDATE anchor SET statement = replace(statement, 'swm_1', 'swm_3') WHERE number = 1",
            "anchor 1: its signature",
        ),
        ("DELETE FROM anchor WHERE number = 1", "anchor 2: it does not follow"),
        ("DELETE FROM anchor WHERE number = 2", "the database lacks anchor 2"),
        ("DELETE FROM anchor", "the database lacks anchor 1"),
    ],
)
async def test_a_change_of_the_anchors_is_found(plant, sql, said):
    for _ in range(2):
        await plant.anchoring.once()
        await plant.append(ONE, 1)
    plant.tamper(sql)
    wrong, _swarms = await plant.check()
    assert any(said in problem for problem in wrong["anchors"]), wrong


async def test_an_anchor_that_somebody_without_the_key_made_is_none(plant):
    eve = b"e" * 32
    await Anchoring(plant.store, plant.clock, eve, plant.file).once()
    wrong, swarms = await plant.check()
    assert f"signed with the key {key_id(eve)}, which is not here" in wrong["anchors"][0]
    assert swarms[ONE].anchored == 0


async def test_a_forged_anchor_appended_to_the_file_is_not_believed(plant):
    await plant.anchoring.once()
    genuine = plant.file.path.read_bytes()
    plant.file.path.write_bytes(genuine * 2)  # what an earlier version wrote again, word for word, is no forgery
    assert (await plant.check())[0] == {}
    forged = sign(KEY, None, plant.clock.now(), [Head(ONE, 1, "f" * 64)])
    AnchorFile(plant.folder / "forged").append([forged])
    plant.file.path.write_bytes(genuine + (plant.folder / "forged").read_bytes())
    plant.tamper(f"UPDATE anchor SET statement = '{forged.statement}', signature = '{forged.signature}'")
    wrong, _swarms = await plant.check()
    assert f"{plant.file.path} holds different anchors 1" in wrong["anchors"]
    assert f"anchor 1 is not the one in {plant.file.path}" in wrong["anchors"]


async def test_a_torn_line_in_the_file_of_anchors_is_noted_and_closed_where_it_cannot_be_cut_off(plant, monkeypatch):
    await plant.anchoring.once()
    await plant.append(ONE, 1)
    await plant.anchoring.once()
    whole = plant.file.path.read_bytes()
    torn = whole[:-30]
    plant.file.path.write_bytes(torn)
    assert (await plant.check())[0] == {}
    assert "left half-written: line 2" in plant.anchors.notes[0]

    def refused(_descriptor, _length):
        raise PermissionError(errno.EPERM, "Operation not permitted")  # as of a file that can only be appended to

    monkeypatch.setattr("os.ftruncate", refused)
    assert plant.file.last_number() == 1
    assert plant.file.path.read_bytes() == torn + b"\n"
    assert (await plant.check())[0] == {}
    await plant.anchoring.once()
    assert plant.file.path.read_bytes() == torn + b"\n" + whole.splitlines(keepends=True)[1]
    assert plant.file.last_number() == 2
    assert (await plant.check())[0] == {}
    assert len(plant.anchors.notes) == 1


async def test_the_file_of_anchors_catches_up_after_a_crash_and_shows_what_was_taken_out_of_it(plant):
    for number in range(3):
        await plant.append(ONE, 1)
        await plant.anchoring.once()
        if number == 1:
            whole = plant.file.path.read_bytes()
            plant.file.path.write_bytes(whole[:-30])  # a crash in the middle of the line
    assert plant.file.last_number() == 3
    assert (await plant.check())[0] == {}
    lines = plant.file.path.read_text().splitlines(keepends=True)
    plant.file.path.write_text("".join([lines[0], lines[2]]))
    assert "anchor 2 is missing in" in (await plant.check())[0]["anchors"][0]
    plant.file.path.write_text("".join([lines[0], "x\n", lines[2]]))
    assert any("a line that is no anchor" in one for one in (await plant.check())[0]["anchors"])
    plant.file.path.unlink()
    assert (await plant.check())[0] == {}
    assert "holds anchors up to 0 of 3" in plant.anchors.notes[0]
    await plant.anchoring.once()
    assert plant.file.path.read_text() == "".join(lines)


async def test_two_control_planes_that_anchor_at_once_make_one_chain_of_anchors(plant):
    other = Anchoring(plant.store, plant.clock, KEY, plant.file)
    for _ in range(5):
        await asyncio.gather(plant.append(ONE, 1), plant.append(TWO, 1), plant.anchoring.once(), other.once())
    while await plant.anchoring.once():
        pass
    wrong, swarms = await plant.check()
    assert wrong == {}
    assert (swarms[ONE].anchored, swarms[TWO].anchored) == (55, 10)


async def test_events_of_swarms_long_ended_move_to_files_and_are_still_verified_and_exported(plant, monkeypatch):
    monkeypatch.setattr(archiving_module, "MOST_EVENTS", 20)
    before = await exported(plant)
    await plant.end(ONE, days_ago=91)
    await plant.anchoring.once()
    await plant.archiving.once()
    assert plant.rows("SELECT swarm_id, count(*) FROM event GROUP BY swarm_id") == [("swm_2", 5)]
    assert len(list((plant.folder / ARCHIVE_NAME / ONE).iterdir())) == 3
    wrong, swarms = await plant.check()
    assert wrong == {}
    assert (swarms[ONE].events, swarms[ONE].archived, swarms[ONE].anchored) == (50, 50, 50)
    assert await exported(plant) == before
    await plant.archiving.once()
    assert await exported(plant) == before
    file = sorted((plant.folder / ARCHIVE_NAME / ONE).iterdir())[1]
    file.unlink()
    wrong, swarms = await plant.check()
    assert list(wrong) == [ONE]
    assert wrong[ONE][0].startswith("events 21-40: archived events cannot be read: No such file")
    assert str(file) in wrong[ONE][0]
    assert swarms[ONE].events == 50


async def test_a_chain_that_is_broken_stays_in_the_database_as_evidence(plant):
    await plant.end(ONE, days_ago=91)
    await plant.anchoring.once()
    plant.tamper("UPDATE event SET data = '{}' WHERE swarm_id = 'swm_1' AND seq = 30")
    await plant.archiving.once()
    assert plant.rows("SELECT count(*) FROM event WHERE swarm_id = 'swm_1'") == [(50,)]
    assert not (plant.folder / ARCHIVE_NAME).exists()


async def test_only_what_is_anchored_is_archived(plant):
    await plant.archiving.once()
    await plant.end(ONE, days_ago=91)
    await plant.archiving.once()
    assert not (plant.folder / ARCHIVE_NAME).exists()
    await plant.anchoring.once()
    await plant.append(ONE, 2)  # between the anchor and the archiving
    await plant.archiving.once()
    assert plant.rows("SELECT min(seq), max(seq) FROM event WHERE swarm_id = 'swm_1'") == [(51, 52)]
    await plant.anchoring.once()
    await plant.archiving.once()
    wrong, swarms = await plant.check()
    assert wrong == {}
    assert (swarms[ONE].archived, swarms[ONE].anchored) == (52, 52)


async def test_an_archive_file_of_other_events_is_never_written_over(plant, caplog):
    path = plant.folder / ARCHIVE_NAME / ONE / "000000000001-000000000050.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b"{}\n"))
    await plant.end(ONE, days_ago=91)
    await plant.end(TWO, days_ago=91)
    await plant.anchoring.once()
    with caplog.at_level(logging.ERROR):
        await plant.archiving.once()
    assert gzip.decompress(path.read_bytes()) == b"{}\n"
    assert plant.rows("SELECT swarm_id, count(*) FROM event GROUP BY swarm_id") == [("swm_1", 50)]
    assert str(path) in caplog.text
    path.unlink()
    piece = Archives(plant.folder / ARCHIVE_NAME).write(await plant.store.read(lambda r: r.events(ONE)))
    assert path == plant.folder / ARCHIVE_NAME / piece.file  # written, and then the control plane was killed
    await plant.archiving.once()
    assert plant.rows("SELECT count(*) FROM event") == [(0,)]
    assert (await plant.check())[0] == {}


async def test_the_export_has_all_that_the_chain_is_made_of(plant):
    plant.clock.advance(3_600)
    await plant.append(TWO, 2)
    lines = await exported(plant)
    rows = [json.loads(line) for line in lines]
    assert [(row["swarm_id"], row["seq"]) for row in rows] == [
        *((ONE, n) for n in range(1, 51)),
        *((TWO, n) for n in range(1, 8)),
    ]
    assert rows[0]["data"] == {"n": 0}
    assert first_break(parse_event(line) for line in lines[50:]) is None
    since = plant.clock.now() - timedelta(minutes=1)
    assert await exported(plant, since=since) == lines[-2:]
    assert await exported(plant, swarm_id=TWO) == lines[50:]


async def exported(plant, swarm_id=None, since=None):
    swarms = await plant.verifying.swarms(swarm_id)
    return [line for page in [one async for one in plant.verifying.export(swarms, since)] for line in page.splitlines()]
