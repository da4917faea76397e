"""Two agents change the same lines while both still work: each is told, once, and both go on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from swarmworks.base.errors import GitError
from swarmworks.domain.lease import WorkKind
from swarmworks.domain.refs import work_ref
from swarmworks.git.protocol import Identity
from swarmworks.service.foreseeing import Foreseeing
from swarmworks.wire.work import GatesWork, SessionWork
from tests.scenario.harness import (
    PlayedWorker,
    configuration,
    create,
    plan,
    repository,
    task,
)

AT = datetime(2026, 11, 20, tzinfo=UTC)
LINES = [f"{number}\n" for number in range(40)]
SHARED = {"owns": ("lines.txt",)}


@pytest.fixture
async def at_work(plane, tmp_path):
    """A swarm of three tasks on one file, its sessions by task, and what saves their work in progress."""
    base = repository(tmp_path / "repo", {"lines.txt": "".join(LINES)})
    tasks = plan(*(task(name, title=f"Do {name}", **SHARED) for name in ("one", "two", "three")))
    config = configuration(files={"exclusive": False})
    swarm = await create(plane, tmp_path / "repo", base, tasks, config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    sessions = {work.task.id: work for work in await worker.take(WorkKind.SESSION)}
    assert set(sessions) == {"one", "two", "three"}
    return AtWork(plane, swarm, worker, sessions)


class AtWork:
    def __init__(self, plane, swarm, worker, sessions) -> None:
        self.plane = plane
        self.swarm = swarm
        self.worker = worker
        self.sessions: dict[str, SessionWork] = sessions
        self.copies = {}

    def saves(self, name: str, line: int) -> str:
        """The session of the task has changed a line, and its worker has saved it."""
        work = self.sessions[name]
        copies = self.worker.copies
        if name not in self.copies:
            self.copies[name] = copies.create(f"wip-{name}", work.base)
        text = [*LINES[:line], f"changed by {name}\n", *LINES[line + 1 :]]
        (self.copies[name].path / "lines.txt").write_text("".join(text))
        author = Identity(work.agent.name, work.agent.email)
        ref = work_ref(work.swarm_id, work.task.id, work.fence)
        return copies.snapshot(self.copies[name], ref, "so far\n", author, AT)

    async def told(self) -> dict[str, tuple[str, ...]]:
        """What the worker is handed for its sessions, by task."""
        works = {work.work_id: name for name, work in self.sessions.items()}
        renewed = await self.plane.watching.renew(self.worker.lease, frozenset(works))
        assert not renewed.say
        assert not renewed.hand_over
        return {works[work_id]: texts for work_id, texts in renewed.tell.items()}

    async def events(self):
        found = await self.plane.read(lambda reader: reader.events(self.swarm))
        return [event for event in found if event.kind == "conflict.foreseen"]


async def test_two_who_change_the_same_lines_are_told_once_while_both_work(plane, at_work):
    foreseeing = Foreseeing(plane.store, plane.hub)
    await foreseeing.look()
    assert await at_work.told() == {}
    at_work.saves("one", 5)
    at_work.saves("two", 6)
    at_work.saves("three", 30)
    await foreseeing.look()
    told = await at_work.told()
    assert set(told) == {"one", "two"}
    [words] = told["one"]
    assert words.startswith("The platform says: another agent is at work on task two (Do two)")
    assert "the same lines of lines.txt" in words
    assert {(event.task_id, event.actor) for event in await at_work.events()} == {
        ("one", "platform"),
        ("two", "platform"),
    }
    assert len(await at_work.events()) == 2


async def test_nobody_is_nagged_and_who_comes_into_it_later_is_told_then(plane, at_work):
    foreseeing = Foreseeing(plane.store, plane.hub)
    at_work.saves("one", 5)
    at_work.saves("two", 6)
    await foreseeing.look()
    await at_work.told()
    at_work.saves("one", 7)
    await foreseeing.look()
    await Foreseeing(plane.store, plane.hub).look()  # another control plane takes over
    assert await at_work.told() == {}
    at_work.saves("three", 6)
    await foreseeing.look()
    told = await at_work.told()
    assert {name: len(texts) for name, texts in told.items()} == {"one": 1, "two": 1, "three": 2}


async def test_what_has_moved_apart_is_no_conflict_any_more(plane, at_work):
    foreseeing = Foreseeing(plane.store, plane.hub)
    at_work.saves("one", 5)
    await foreseeing.look()
    at_work.saves("two", 20)
    await foreseeing.look()
    at_work.saves("one", 35)
    at_work.saves("three", 5)
    await foreseeing.look()
    assert await at_work.told() == {}


async def test_a_change_that_waits_to_land_counts_as_well_and_what_landed_does_not(plane, at_work):
    foreseeing = Foreseeing(plane.store, plane.hub)
    worker, work = at_work.worker, at_work.sessions["one"]
    await worker.session(work, {"lines.txt": "".join([*LINES[:5], "done\n", *LINES[6:]])})
    at_work.saves("two", 6)
    await foreseeing.look()
    told = await at_work.told()
    assert set(told) == {"two"}
    assert "a change that waits to land has done task one" in told["two"][0]
    [gates] = [one for one in await worker.take(WorkKind.GATES) if isinstance(one, GatesWork)]
    await worker.gates(gates)
    await worker.run_to_the_end(at_work.swarm)
    assert (await plane.states(at_work.swarm))["one"] == "landed"
    at_work.saves("three", 39)
    await foreseeing.look()
    assert await at_work.told() == {}


async def test_words_that_were_never_handed_over_end_with_their_session(plane, at_work):
    at_work.saves("one", 5)
    at_work.saves("two", 6)
    await Foreseeing(plane.store, plane.hub).look()
    await at_work.worker.session(at_work.sessions["one"], {"lines.txt": "mine\n"})
    found = await plane.read(lambda reader: reader.task(at_work.swarm, at_work.sessions["one"].task.id))
    assert found.guidance is None


async def test_the_work_of_a_session_whose_worker_was_killed_is_shown_to_the_next(plane, at_work, tmp_path):
    saved = at_work.saves("one", 5)
    await plane.watching.expire_all()
    again = await PlayedWorker.register(plane, tmp_path / "again", "w2")
    taken = {work.task.id: work for work in await again.take(WorkKind.SESSION)}
    assert taken["one"].last_head == saved
    assert taken["two"].last_head is None


async def test_a_swarm_that_cannot_be_looked_at_keeps_nobody_else_from_being_told(
    plane, at_work, tmp_path, monkeypatch
):
    config, shared = (
        configuration(files={"exclusive": False}),
        plan(*(task(name, **SHARED) for name in ("four", "five"))),
    )
    base = at_work.sessions["one"].base
    broken = await create(plane, tmp_path / "repo", base, shared, config=config, project="other")
    assert {work.swarm_id for work in await at_work.worker.take(WorkKind.SESSION)} == {broken}
    at_work.saves("one", 7)
    at_work.saves("two", 7)
    real = plane.hub.refs

    def refs(prefix):
        if broken in prefix:
            raise GitError("a broken reference")
        return real(prefix)

    monkeypatch.setattr(plane.hub, "refs", refs)
    await Foreseeing(plane.store, plane.hub).look()
    assert set(await at_work.told()) == {"one", "two"}
