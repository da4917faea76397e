"""Projects whose files are not exclusive: tasks write the same file at once, and the merge queue finds out who was second."""

from __future__ import annotations

import json

import pytest

from swarmworks.base.errors import RejectedError
from swarmworks.domain.lease import WorkKind
from tests.scenario.harness import PlayedWorker, configuration, create, plan, repository, task

SHARED = ("shared.txt",)


@pytest.fixture
def base(tmp_path):
    return repository(tmp_path / "repo", {"shared.txt": "first\n", "README.md": "hello\n"})


def two_tasks():
    return plan(task("one", owns=SHARED), task("two", owns=SHARED))


async def test_a_plan_whose_tasks_share_a_file_is_refused_where_files_are_exclusive(plane, base, tmp_path):
    with pytest.raises(RejectedError, match="both may write"):
        await create(plane, tmp_path / "repo", base, two_tasks())


async def test_the_second_of_two_that_wrote_the_same_line_is_told_of_the_conflict_and_lands_again(
    plane, base, tmp_path
):
    config = configuration(files={"exclusive": False})
    swarm = await create(plane, tmp_path / "repo", base, two_tasks(), config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    sessions = await worker.take(WorkKind.SESSION)
    assert {work.task.id for work in sessions} == {"one", "two"}
    assert await plane.read(lambda reader: reader.file_claims(swarm)) == {}

    def write(work):
        if work.rejection is None:
            return {"shared.txt": f"{work.task.id}\n"}
        written = plane.hub.read_file(work.base, "shared.txt").decode()
        return {"shared.txt": written + f"{work.task.id}\n"}

    for work in sessions:
        await worker.session(work, write(work))
    await worker.run_to_the_end(swarm, write)

    assert await plane.state(swarm) == "landed"
    head = await plane.head(swarm)
    assert sorted(plane.hub.read_file(head, "shared.txt").decode().split()) == ["one", "two"]
    (again,) = [work for work in worker.seen if work.rejection is not None]
    told = json.loads(again.rejection)
    assert told["kind"] == "conflict"
    assert told["findings"][0]["file"] == "shared.txt"
    assert told["attempts_left"] == 3, "who came second has done nothing wrong"
    assert again.attempt == 1
    assert again.base != base, "the next attempt starts from what landed meanwhile"
    assert again.last_head is not None
