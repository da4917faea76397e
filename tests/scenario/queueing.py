"""What tests of the merge queue have in common: changes that wait in it, builds done truthfully, a person who pushes."""

from __future__ import annotations

import json

from swarmworks.domain.lease import Capacity, WorkKind
from swarmworks.wire.work import SessionWork
from tests.scenario.harness import PlayedWorker, create, failed, git, passed, plan, task

MANY = 24
PLACES = Capacity(agents=MANY, cpu_slots=4, memory_bytes=64 << 30)


async def handed_in(plane, base, tmp_path, count=MANY, write=None, **more):
    """A swarm of `count` tasks whose changes all wait in the queue, nothing built yet."""
    names = [f"t{number:02d}" for number in range(count)]
    tasks = plan(*(task(name) for name in names))
    swarm = await create(plane, tmp_path / "repo", base, tasks, agents=count, **more)
    worker = await PlayedWorker.register(plane, tmp_path)
    lease = plane.leasing.lease
    while taken := await lease(worker.lease, PLACES, (WorkKind.SESSION, WorkKind.GATES)):
        for work in taken:
            if isinstance(work, SessionWork):
                files = (write or (lambda name: {f"{name}.txt": f"{name}\n"}))(work.task.id)
                await worker.session(work, files)
            else:
                await worker.gates(work)
    return swarm, worker


async def build_all(plane, swarm, worker, is_bad=lambda files: False):
    """Every build, truthfully; how many they were. The head of the branch is never a tree that fails."""
    builds = 0
    while True:
        await plane.settle()
        taken = await worker.take(WorkKind.BUILD)
        if not taken:
            return builds
        for build in taken:
            bad = is_bad(set(plane.hub.list_files(build.candidate)))
            results = (*passed("scope"), *failed("tests")) if bad else passed("scope", "tests")
            await worker.finish_build(build, worker.build(build, results))
            builds += 1
            assert not is_bad(set(plane.hub.list_files(await plane.head(swarm))))


async def told(plane, swarm, kind):
    events = await plane.read(lambda reader: reader.events(swarm))
    return [json.loads(event.data) for event in events if event.kind == kind]


async def pushed(plane, swarm, tmp_path, name, *, on=None, text="by hand\n", repository=None):
    """A person commits `name` on what the branch is (or on `on`) and moves the branch there."""
    repo, head = repository or tmp_path / "repo", await plane.head(swarm)
    git(repo, "fetch", "-q", str(plane.hub.path), head)
    git(repo, "checkout", "-q", "--detach", on or head)
    (repo / name).write_text(text)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", f"Add {name}")
    commit = git(repo, "rev-parse", "HEAD")
    plane.hub.import_commit(repo, commit)
    ref = (await plane.read(lambda reader: reader.swarm(swarm))).integration_ref
    assert plane.hub.update_ref(ref, commit, head)
    return commit
