"""`swarm revert`: a landed change is taken back by a change that passes the gates and the queue like any other."""

from __future__ import annotations

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import ConflictError, NotFoundError, RejectedError
from swarmworks.domain.lease import WorkKind
from swarmworks.service.inbox.reverting import Reverting
from swarmworks.wire.api import CreateSwarm
from swarmworks.wire.inbox import RevertTask
from swarmworks.wire.work import BuildWork, GatesWork, SessionWork
from tests.scenario.harness import (
    PlayedWorker,
    configuration,
    create,
    failed,
    passed,
    plan,
    repository,
    task,
)
from tests.scenario.queueing import told

ADA = "person:ada"


@pytest.fixture
def base(tmp_path):
    return repository(tmp_path / "repo", {"README.md": "hello\n", "lines.txt": "one\ntwo\nthree\n"})


def reverting(plane):
    return Reverting(plane.store, plane.hub, SystemClock(), working=True)


def asked(tmp_path, reason="it is slow"):
    return RevertTask(reason=reason, repository=str(tmp_path / "repo"))


async def work_until(plane, worker, swarm, *, holding=(), write=None, results=None):
    """Everything that comes, but for the sessions of the tasks that are held back."""
    for _ in range(60):
        await plane.settle()
        taken = [one for one in await worker.take() if one.task.id not in holding]
        if not taken:
            return
        for work in taken:
            match work:
                case SessionWork():
                    files = (
                        {}
                        if work.task.reverts
                        else (write or (lambda name: {f"{name}.txt": f"{name}\n"}))(work.task.id)
                    )
                    await worker.session(work, files)
                case GatesWork():
                    await worker.gates(work)
                case BuildWork():
                    found = (results or (lambda _work: passed("scope", "tests")))(work)
                    await worker.finish_build(work, worker.build(work, found))


async def started(plane, base, tmp_path, *tasks):
    """A swarm of which all has landed but the task `last`, which is at work."""
    swarm = await create(
        plane, tmp_path / "repo", base, plan(*tasks, task("last")), config=configuration(files={"exclusive": False})
    )
    return swarm, await PlayedWorker.register(plane, tmp_path)


async def test_what_a_task_landed_is_taken_back_by_the_gates_and_the_queue(plane, base, tmp_path):
    swarm, worker = await started(plane, base, tmp_path, task("a"), task("b", after=("a",)), task("c"))
    await work_until(plane, worker, swarm, holding=("last",))
    landed = (await plane.read(lambda reader: reader.task(swarm, "a"))).commit
    decided = await reverting(plane).revert("a", asked(tmp_path), ADA)
    assert (decided.task_id, decided.goes_on) == ("revert-a", True)
    assert "landed for these" in decided.said
    assert "b" in decided.said.rpartition(": ")[2]
    with pytest.raises(ConflictError, match="revert-a takes it back"):
        await reverting(plane).revert("a", asked(tmp_path), ADA)
    (session,) = await worker.take(WorkKind.SESSION)
    assert (session.task.id, session.runtime, session.model) == ("revert-a", "command", "none")
    await worker.session(session, {})
    await work_until(plane, worker, swarm)
    assert set((await plane.states(swarm)).values()) == {"landed", "running"}
    files = set(plane.hub.list_files(await plane.head(swarm)))
    assert files == {"README.md", "lines.txt", "b.txt", "c.txt"}
    row = plane.hub.log(base, await plane.head(swarm))[0]
    assert row["subject"] == "Take back a"
    assert f"Swarm-Reverts: a\nSwarm-Reverted: {landed}" in row["body"]
    (event,) = await told(plane, swarm, "task.reverting")
    assert event == {"reverts": "a", "commit": landed, "reason": "it is slow", "builds_on_it": ["b"]}
    with pytest.raises(ConflictError, match="revert-a takes it back, and is landed"):
        await reverting(plane).revert("a", asked(tmp_path), ADA)


async def test_of_two_swarms_that_landed_a_task_of_that_name_the_newest_is_meant(plane, base, tmp_path):
    old, worker = await started(plane, base, tmp_path, task("a"))
    await work_until(plane, worker, old)
    new, worker = await started(plane, base, tmp_path, task("a"))
    await work_until(plane, worker, new)
    assert {await plane.state(old), await plane.state(new)} == {"landed"}
    made = await reverting(plane).revert("a", asked(tmp_path), ADA)
    assert made.base == await plane.head(new)
    made = await reverting(plane).revert(f"{old}:a", asked(tmp_path), ADA)
    assert made.base == await plane.head(old)


async def test_what_was_changed_again_since_is_not_taken_back_and_it_is_said_by_whom(plane, base, tmp_path):
    texts = {"a": "ONE\ntwo\nthree\n", "b": "One\ntwo\nthree\n"}
    swarm, worker = await started(plane, base, tmp_path, task("a"), task("b", after=("a",)))
    await work_until(plane, worker, swarm, holding=("last",), write=lambda name: {"lines.txt": texts[name]})
    with pytest.raises(RejectedError, match=r"changed again since, in lines\.txt") as refused:
        await reverting(plane).revert("a", asked(tmp_path), ADA)
    assert refused.value.mend == "first revert b"
    assert "revert-a" not in await plane.states(swarm)


async def test_a_revert_that_the_gates_refuse_is_for_a_person_and_says_why(plane, base, tmp_path):
    swarm, worker = await started(plane, base, tmp_path, task("a"), task("b", after=("a",)))
    await work_until(plane, worker, swarm, holding=("last",))
    await reverting(plane).revert("a", asked(tmp_path), ADA)
    red = lambda work: (*passed("scope"), *failed("tests")) if work.task.reverts else passed("scope", "tests")  # noqa: E731
    await work_until(plane, worker, swarm, results=red)
    found = await plane.read(lambda reader: reader.task(swarm, "revert-a"))
    assert str(found.state) == "blocked"
    assert found.note.startswith("a cannot be taken back as things are: tests: 1 failed")
    assert "a.txt" in plane.hub.list_files(await plane.head(swarm))


async def test_of_a_swarm_that_has_landed_a_swarm_of_its_own_takes_back(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b")))
    worker = await PlayedWorker.register(plane, tmp_path)
    await worker.run_to_the_end(swarm)
    assert await plane.state(swarm) == "landed"
    request = await reverting(plane).revert("b", asked(tmp_path), ADA)
    assert isinstance(request, CreateSwarm)
    second = (await plane.swarms.create(request, ADA)).id
    with pytest.raises(ConflictError, match="revert-b takes it back, and is ready"):
        await reverting(plane).revert(f"{swarm}:b", asked(tmp_path), ADA)
    await work_until(plane, worker, second)
    assert await plane.state(second) == "landed"
    assert set(plane.hub.list_files(await plane.head(second))) == {"README.md", "lines.txt", "a.txt"}
    assert plane.hub.is_ancestor(await plane.head(swarm), await plane.head(second))


async def test_there_is_nothing_to_take_back_of_what_has_not_landed(plane, base, tmp_path):
    swarm, worker = await started(plane, base, tmp_path, task("a"))
    with pytest.raises(ConflictError, match="it has landed nothing"):
        await reverting(plane).revert("a", asked(tmp_path), ADA)
    with pytest.raises(NotFoundError):
        await reverting(plane).revert("nobody", asked(tmp_path), ADA)
    await work_until(plane, worker, swarm, holding=("last",))
    assert await reverting(plane).revert(f"{swarm}:a", asked(tmp_path), ADA)
