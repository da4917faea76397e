"""`swarm audit` on a project whose log is written: the real control plane, started by the command for itself."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest

from swarmworks.base.clock import ManualClock, SystemClock
from swarmworks.base.errors import SwarmworksError
from swarmworks.base.ids import RandomIds, ReplicaId, SequentialIds, SwarmId
from swarmworks.domain.event import NewEvent, first_break
from swarmworks.domain.swarm import SwarmEvent
from swarmworks.service.electing import Electing
from swarmworks.settings import load_project, made_audit_key
from swarmworks.store.protocol import ReplicaRow
from swarmworks.store.sqlite import open_store
from swarmworks.wire.eventlog import parse_event
from swarmworks.wiring.auditing import start_auditing, verifying
from tests.cli.conftest import Ran
from tests.scenario.driver import SOURCE
from tests.scenario.harness import repository
from tests.store.sample import planned, swarm_of

SWARM, EVENTS = SwarmId("swm_abc"), 5_000
CONFIG = 'gates = "none"\n[project]\nname = "shop"\n'
START = datetime(2026, 11, 1, tzinfo=UTC)


async def fill(path):
    clock = ManualClock(START)
    store = await open_store(path, clock, SequentialIds())
    await store.transact(lambda tx: tx.insert_swarm(swarm_of(planned("a"), swarm_id=SWARM)))
    for part in range(2):
        new = [NewEvent("task.noted", "platform", {"n": n, "part": part, "ü": "\u2028"}) for n in range(EVENTS // 2)]
        await store.transact(lambda tx, new=new: tx.append(SWARM, *new))
        clock.advance(86_400)
    await store.close()


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "repo"
    repository(root, {"swarm.toml": CONFIG})
    state = root / ".swarm"
    state.mkdir()
    asyncio.run(fill(state / "state.db"))

    def call(*arguments):
        ran = subprocess.run(
            [sys.executable, "-m", "swarmworks", "audit", *map(str, arguments)],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    call.state = state
    return call


def test_an_intact_log_is_said_to_be_and_a_changed_one_is_not(project):
    ran = project("verify")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "0 anchors",
        "swm_abc  5,000 events; not anchored",
        "intact: 5,000 events of 1 swarm",
    ]
    raw = sqlite3.connect(project.state / "state.db")
    raw.execute("UPDATE event SET actor = 'person:eve' WHERE seq = 4000")
    raw.commit()
    raw.close()
    ran = project("verify", "abc")
    assert ran.code == 1
    assert "  WRONG: the chain breaks at event 4000: it, or one before it, is not what was written" in ran.out
    assert ran.out.splitlines()[-1].startswith("NOT INTACT")
    found = json.loads(project("verify", "--json").out)
    assert (found["intact"], found["anchors"]["anchors"], len(found["swarms"][0]["problems"])) == (False, 0, 1)


def test_the_log_is_exported_whole_or_from_a_time_on(project, tmp_path):
    ran = project("export")
    lines = ran.out.splitlines()
    assert (ran.code, len(lines)) == (0, EVENTS)
    assert first_break(parse_event(line) for line in lines) is None
    output = tmp_path / "log.jsonl"
    ran = project("export", "--swarm", "abc", "--since", "2026-11-02", "--format", "jsonl", "-o", output)
    assert ran.out == f"wrote 2,500 events to {output}\n"
    assert output.read_text().splitlines() == lines[EVENTS // 2 :]


def test_what_cannot_be_done_is_said(project, tmp_path):
    assert "there is no swarm 'nobody'" in project("verify", "nobody").err
    assert "'yesterday' is no time" in project("export", "--since", "yesterday").err
    ran = project("export", "--since", "999999d")
    assert (ran.code, "'999999d' is before the first year" in ran.err, "Traceback" in ran.err) == (2, True, False)
    ran = project("export", "-o", tmp_path / "missing" / "log.jsonl")
    assert (ran.code, "cannot be written: No such file" in ran.err) == (2, True)
    assert project("export", "--since", "20d", "-o", tmp_path / "log").out.startswith("wrote ")
    (project.state / "audit.key").write_text("short\n")
    ran = project("verify")
    assert (ran.code, "64 hexadecimal digits" in ran.err) == (2, True)


def test_the_key_is_made_once_for_its_owner_alone_and_another_can_follow_it(project):
    opened = load_project(project.state.parent)
    key = made_audit_key(opened)
    path = project.state / "audit.key"
    assert (made_audit_key(opened), path.stat().st_mode & 0o777, len(key)) == (key, 0o600, 32)
    with path.open("a") as stream:
        stream.write("ab" * 32 + "\n")
    assert made_audit_key(opened) == b"\xab" * 32


async def test_a_control_plane_archives_anchors_and_signs_at_its_end_what_came_last(tmp_path):
    repository(tmp_path, {"swarm.toml": CONFIG + "[audit]\nkeep_days = 0\nanchor_file = 'kept/anchors'\n"})
    opened, clock = load_project(tmp_path), SystemClock()
    opened.state.mkdir()
    (tmp_path / "kept").mkdir()
    await fill(opened.state / "state.db")
    store = await open_store(opened.state / "state.db", clock, RandomIds())
    await store.transact(lambda tx: tx.move_swarm(SWARM, SwarmEvent.LAND))
    commits, me = store.commits(), ReplicaId("rep_1")
    await store.transact(lambda tx: tx.register_replica(ReplicaRow(me, "one", 3.0, 0, "http://a", "http://b")))
    async with AsyncExitStack() as stack:
        await start_auditing(stack, opened, store, Electing(store, me))
        async with asyncio.timeout(60):
            while await store.read(lambda reader: reader.logs()):
                await anext(commits)
        await store.transact(lambda tx: tx.append(SWARM, NewEvent("task.noted", "platform", {})))
    checked = [line async for line in verifying(opened, store).verify([SWARM])]
    assert (checked[0].anchors, checked[0].problems, checked[0].notes) == (2, (), ())
    assert (checked[-1].events, checked[-1].archived, checked[-1].anchored) == (EVENTS + 1, EVENTS, EVENTS + 1)
    assert len((tmp_path / "kept" / "anchors").read_text().splitlines()) == 2
    await store.close()


async def test_the_file_of_anchors_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    root, home = tmp_path / "repo", tmp_path / "home"
    repository(root, {"swarm.toml": CONFIG + "[audit]\nanchor_file = '~/anchors'\n"})
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    opened = load_project(root)
    opened.state.mkdir()
    await fill(opened.state / "state.db")
    store = await open_store(opened.state / "state.db", SystemClock(), RandomIds())
    async with AsyncExitStack() as stack:
        await start_auditing(stack, opened, store, Electing(store, ReplicaId("rep_1")))
    assert len((home / "anchors").read_text().splitlines()) == 1
    await store.close()


@pytest.mark.parametrize("key", ["anchor_file", "key_file"])
async def test_a_file_that_cannot_be_written_is_said_at_the_start(tmp_path, key):
    repository(tmp_path, {"swarm.toml": CONFIG + f"[audit]\n{key} = 'missing/file'\n"})
    opened = load_project(tmp_path)
    opened.state.mkdir()
    store = await open_store(opened.state / "state.db", SystemClock(), RandomIds())
    async with AsyncExitStack() as stack:
        with pytest.raises(SwarmworksError, match="No such file") as caught:
            await start_auditing(stack, opened, store, Electing(store, ReplicaId("rep_1")))
    assert f"audit.{key}" in caught.value.mend
    assert str(tmp_path / "missing" / "file") in caught.value.where
    await store.close()
