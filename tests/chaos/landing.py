"""A merge queue whose process is killed again and again, and whose branch people push to, run as a program of its own:

    python -m tests.chaos.landing FOLDER SEED KILLS PUSHES CHANGES

One process after the other runs the queue on the same store and repository, each a fork that was not told when it would die: at
the n-th step of a landing, or at any moment. A worker within it judges what it is given, truthfully. In between a person
pushes. Prints, as JSON, what the branch, its record of moves and the database say at the end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from swarmworks.domain.lease import Capacity, WorkKind
from swarmworks.git.hub import BareHub
from swarmworks.store.sqlite import SqliteStore
from swarmworks.wire.work import BuildWork, SessionResult, SessionWork
from tests.scenario.harness import (
    PlayedWorker,
    configuration,
    create,
    failed,
    git,
    passed,
    plan,
    repository,
    start_plane,
    task,
)

WAITING = 16
"""Changes that are kept in the queue, as long as there are any: groups form, and a restart has not much to look at."""

ROOM = Capacity(agents=WAITING, cpu_slots=6, memory_bytes=64 << 30)
MOST_STEPS = 30
"""More than one landing."""

TIMED = 0.3
"""Of the lives, how many end at any moment instead of at a step."""

LONGEST_LIFE_S = 0.3
STUCK_S = 60
"""Within so many seconds, and one for each change, a life ends: everything has landed, or it is killed."""

TOLD = 50
"""Lives, after which is said how far it is."""

LINES = "".join(f"line {number}\n" for number in range(60))
STEPS = ("stack", "update_refs", "update_ref")


@dataclass(frozen=True)
class Proof:
    folder: Path
    seed: int
    kills: int
    pushes: int
    changes: int

    @property
    def judged(self) -> Path:
        return self.folder / "judged.jsonl"

    def fate(self, name: str) -> str:
        """What is true of a task: it is bad at first, it conflicts at first, it breaks together with the one before it."""
        drawn = random.Random(f"{self.seed} {name}").random()
        if drawn < 0.05:
            return "bad"
        if drawn < 0.2:
            return "shares"
        return "half" if drawn < 0.24 else "good"


def is_bad(files: set[str]) -> bool:
    """A bad file, or two halves that nobody has joined."""
    halves = sum(1 for name in files if name.endswith(".half"))
    joined = sum(1 for name in files if name.endswith(".joined"))
    return any(name.endswith(".bad") for name in files) or halves > joined + 1


def written(proof: Proof, work: SessionWork) -> dict[str, str]:
    """What a session of the task writes: mended, once it was told that something is wrong."""
    name, first = work.task.id, work.rejection is None
    match proof.fate(name):
        case "bad":
            return {f"{name}.bad" if first else f"{name}.txt": f"{name}\n"}
        case "half":
            return {f"{name}.half": "x\n"} if first else {f"{name}.half": "x\n", f"{name}.joined": "x\n"}
        case "shares" if first:
            return {f"{name}.txt": f"{name}\n", "shared.txt": f"{name}\n{LINES}"}
        case _:
            return {f"{name}.txt": f"{name}\n"}


def commit(hub: BareHub, base: str, name: str, files: dict[str, str]) -> str:
    """`files` on `base`, by one git process: a working copy for each of thousands would cost minutes."""
    ref = f"refs/swarm/work/{name}"
    who = f"committer Agent <agent@example.invalid> {int(time.time())} +0000"
    parts = [f"commit {ref}\n{who}\ndata 4\nwork\nfrom {base}\n"]
    parts += [f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in files.items()]
    done = subprocess.run(
        ["git", f"--git-dir={hub.path}", "fast-import", "--quiet", "--force"],
        input="".join(parts),
        text=True,
        capture_output=True,
        check=True,
    )
    assert not done.stderr, done.stderr
    return git(hub.path, "rev-parse", ref)


class Life:
    """One run of the queue's process."""

    def __init__(self, proof: Proof, dies_after_s: float | None = None) -> None:
        self._proof = proof
        self.dies_after_s = dies_after_s
        self.queue_at_work = False
        self._clock_runs = False

    async def run(self, name: str) -> None:
        """Handing in is no part of the queue: only what follows counts as steps, and from there on the clock runs."""
        self.plane = await start_plane(self._proof.folder)
        (self.swarm,) = await self.plane.read(lambda reader: [one.id for one in reader.swarms()])
        await self.plane.watching.expire_all()
        lease = await self.plane.watching.register(name, name, ROOM)
        self.worker = PlayedWorker(self.plane, self._proof.folder / name, lease)
        self.queue_at_work = True
        await self.plane.merging.recover()
        while not await self._done():
            self.queue_at_work = False
            await self._hand_in()
            self.queue_at_work = True
            if self.dies_after_s is not None and not self._clock_runs:
                self._clock_runs = True
                threading.Timer(self.dies_after_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
            while await self.plane.merging.advance():
                pass
            for build in await self.plane.leasing.lease(lease, ROOM, (WorkKind.BUILD,)):
                await self._judge(build)

    async def _done(self) -> bool:
        return set((await self.plane.states(self.swarm)).values()) == {"landed"}

    async def _hand_in(self) -> None:
        states = list((await self.plane.states(self.swarm)).values())
        room = WAITING - states.count("queued") - states.count("review")
        free = Capacity(agents=room, cpu_slots=6, memory_bytes=ROOM.memory_bytes)
        taken = await self.plane.leasing.lease(self.worker.lease, free, (WorkKind.SESSION,)) if room > 0 else []
        for work in taken:
            head = commit(self.plane.hub, work.base, f"{work.task.id}/{work.fence}", written(self._proof, work))
            handoff = '{"outcome": "submitted", "done": "written"}'
            result = SessionResult(outcome="submitted", base=work.base, head=head, handoff=handoff)
            await self.plane.finishing.finish(self.worker.lease, work.work_id, work.fence, result)
        for work in await self.plane.leasing.lease(self.worker.lease, ROOM, (WorkKind.GATES,)):
            await self.worker.gates(work)

    async def _judge(self, build: BuildWork) -> None:
        """By the tree, and on record before anybody hears of it."""
        bad = is_bad(set(self.plane.hub.list_files(build.candidate)))
        tree = self.plane.hub.tree_of(build.candidate)
        with self._proof.judged.open("a") as record:
            record.write(json.dumps({"tree": tree, "passed": not bad}) + "\n")
        results = (*passed("scope"), *failed("tests")) if bad else passed("scope", "tests")
        await self.worker.finish_build(build, self.worker.build(build, results))


def die_at(life: Life, step: int) -> None:
    """End this process, as by `kill -9`, before or after the n-th step of what the merge queue does."""
    left = step

    def tick() -> None:
        nonlocal left
        left -= life.queue_at_work
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(real):
        def call(*arguments, **more):
            tick()
            answer = real(*arguments, **more)
            tick()
            return answer

        return call

    def transact(real):
        async def call(*arguments, **more):
            tick()
            answer = await real(*arguments, **more)
            tick()
            return answer

        return call

    for name in STEPS:
        setattr(BareHub, name, counted(getattr(BareHub, name)))
    SqliteStore.transact = transact(SqliteStore.transact)  # type: ignore[method-assign]


def in_a_fork(work) -> int:
    """The child's process id; it ends with 0 when `work` does, with 1 when that fails."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(work())
            code = 0
        except BaseException:  # noqa: BLE001 - told, and the process ends with 1
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child


def waited(child: int) -> int:
    """Its exit status, or the signal it died of as a negative number."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def prepare(proof: Proof) -> None:
    base = repository(proof.folder / "repo", {"README.md": "hello\n", "shared.txt": LINES})
    names = [f"t{number:04d}" for number in range(proof.changes)]

    async def make() -> None:
        plane = await start_plane(proof.folder)
        tasks = plan(*(task(name, owns=(f"{name}.txt",)) for name in names))
        config = configuration(files={"exclusive": False}, limits={"attempts": 20})
        await create(plane, proof.folder / "repo", base, tasks, agents=WAITING, config=config)
        await plane.store.close()

    assert waited(in_a_fork(make)) == 0
    hub = proof.folder / "hub.git"
    git(hub, "config", "--replace-all", "core.logAllRefUpdates", "always")
    git(proof.folder, "clone", "-q", "--no-checkout", str(hub), "person")


def branch(proof: Proof) -> str:
    found = git(proof.folder / "hub.git", "for-each-ref", "--format=%(refname)", "refs/heads/swarm/")
    (name,) = found.splitlines()
    return name


class Person:
    """Commits on what the branch is, and pushes that as anybody does; again when the branch was faster."""

    def __init__(self, proof: Proof) -> None:
        self._clone, self._branch, self.commits = proof.folder / "person", branch(proof), list[str]()

    def push(self) -> bool:
        name = f"person-{len(self.commits)}.txt"
        git(self._clone, "fetch", "-q", "origin", f"+{self._branch}:refs/remotes/origin/it")
        blob = git(self._clone, "hash-object", "-w", "--stdin")
        git(self._clone, "read-tree", "refs/remotes/origin/it")
        git(self._clone, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
        tree = git(self._clone, "write-tree")
        made = git(self._clone, "commit-tree", "-p", "refs/remotes/origin/it", "-m", f"Add {name}", tree)
        sent = ["git", "push", "-q", "origin", f"{made}:{self._branch}"]
        if subprocess.run(sent, cwd=self._clone, capture_output=True, check=False).returncode != 0:
            return False
        self.commits.append(made)
        return True


def prove(proof: Proof) -> dict[str, object]:
    rng = random.Random(proof.seed)
    prepare(proof)
    person, killed, lives, lost_races = Person(proof), 0, 0, 0
    every = max(1, proof.kills // max(1, proof.pushes))
    began = time.monotonic()
    while True:
        lives += 1
        kills = killed < proof.kills
        at_step, name = kills and rng.random() >= TIMED, f"w{lives}"
        step, delay = rng.randint(1, MOST_STEPS), rng.uniform(0.0, LONGEST_LIFE_S)

        async def live(kills=kills, at_step=at_step, step=step, delay=delay, name=name) -> None:
            life = Life(proof, delay if kills and not at_step else None)
            if at_step:
                die_at(life, step)
            signal.alarm(STUCK_S + proof.changes)
            await life.run(name)

        child = in_a_fork(live)
        if len(person.commits) < proof.pushes and (not kills or lives % every == 0):
            lost_races += not person.push()
        ended = waited(child)
        assert ended in {0, -signal.SIGKILL}, ended
        killed += ended == -signal.SIGKILL
        if lives % TOLD == 0:
            at = round(time.monotonic() - began)
            sys.stderr.write(f"{at} s: {killed} killed, {len(person.commits)} pushed, {lost_races} races lost\n")
        if ended == 0:
            break
    while len(person.commits) < proof.pushes:
        assert person.push()
    found = {"killed": killed, "lives": lives, "pushes": len(person.commits), "races_lost": lost_races}
    return {**found, "seconds": round(time.monotonic() - began, 1), **examined(proof, person)}


def examined(proof: Proof, person: Person) -> dict[str, object]:
    """What is wrong, in lists that have to be empty, and how much there was to look at."""
    hub, ref = proof.folder / "hub.git", branch(proof)
    rows = [line.split() for line in (hub / "logs" / ref).read_text().splitlines()]
    moves = [(row[0], row[1]) for row in rows]
    log = git(hub, "log", "--first-parent", "--format=%H %T %(trailers:key=Swarm-Change,valueonly,separator=%x20)", ref)
    commits = [line.split() for line in log.splitlines()]
    trees = {row[0]: row[1] for row in commits}
    landed = [(row[2], row[0]) for row in commits if len(row) > 2]
    verdicts = [json.loads(line) for line in proof.judged.read_text().splitlines()]
    good = {one["tree"] for one in verdicts if one["passed"]}
    by_hand = set(person.commits)
    files = set(git(hub, "ls-tree", "-r", "--name-only", ref).split())
    names = [f"t{number:04d}" for number in range(proof.changes)]
    stored = asyncio.run(_stored(proof))
    return {
        "landed": len(landed),
        "runs": len(verdicts),
        "moves": len(moves),
        "lost": [name for name in names if not {f"{name}.txt", f"{name}.half"} & files],
        "duplicated": sorted({name for name, _ in landed if [one for one, _ in landed].count(name) > 1}),
        "untested": [new for _, new in moves[1:] if new not in by_hand and trees.get(new) not in good],
        "gaps": [new for (_, before), (old, new) in itertools.pairwise(moves) if old != before],
        "pushes_lost": [one for one in person.commits if one not in trees],
        "bad": sorted(name for name in files if name.endswith(".bad")),
        "database": sorted(set(stored["landed"]) ^ set(landed)),
        "tasks": [name for name, commit in stored["tasks"].items() if commit not in trees],
        "open": stored["open"],
    }


async def _stored(proof: Proof):
    plane = await start_plane(proof.folder)
    (swarm,) = await plane.read(lambda reader: reader.swarms())
    changes = await plane.read(lambda reader: reader.changes(swarm.id))
    tasks = await plane.read(lambda reader: reader.tasks(swarm.id))
    intents = await plane.read(lambda reader: reader.open_intents())
    await plane.store.close()
    return {
        "landed": [(one.id, one.landed) for one in changes if one.state == "landed"],
        "tasks": {one.id: one.commit for one in tasks},
        "open": [one.change_id for one in intents],
    }


if __name__ == "__main__":
    folder, *numbers = sys.argv[1:]
    sys.stdout.write(json.dumps(prove(Proof(Path(folder), *(int(number) for number in numbers)))))
