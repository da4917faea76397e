"""A worker that cannot open the project's hub: it fetches what its work names, pushes its sessions' work, and nothing else."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from unittest.mock import sentinel

import httpx
import pytest

from swarmworks.api.app import build_app
from swarmworks.api.control_plane import ControlPlaneServices
from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import FenceLostError, RejectedError
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.lease import WorkKind
from swarmworks.domain.refs import work_ref
from swarmworks.git.clones import SharedClones
from swarmworks.git.hub import BareHub
from swarmworks.git.packs import make_pack, take_pack
from swarmworks.git.protocol import Identity
from swarmworks.service.transporting import Transporting
from swarmworks.wire.work import SessionResult
from swarmworks.worker.saving import Saving
from swarmworks.worker.transport import OwnHub
from tests.scenario.harness import PlayedWorker, create, git, plan, repository, start_plane, task


@pytest.fixture
async def plane(tmp_path):
    made = await start_plane(tmp_path / "plane")
    yield made
    await made.store.close()


@pytest.fixture
async def swarm(plane, tmp_path):
    base = repository(tmp_path / "repo", {"README.md": "hello\n", "lines.txt": "one\ntwo\n"})
    return await create(plane, tmp_path / "repo", base, plan(task("a"), task("b")))


@pytest.fixture
async def client(plane):
    """The real API and client, without a socket between them."""
    unused = {field.name: sentinel.unused for field in dataclasses.fields(ControlPlaneServices)}
    own = {"transporting": Transporting(plane.store, plane.hub), "operator_token": "operator", "worker_token": "worker"}
    app = build_app(ControlPlaneServices(**(unused | own)))
    async with ControlPlaneClient("http://plane", "worker") as made:
        await made._http.aclose()
        headers = {"authorization": "Bearer worker"}
        made._http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), headers=headers)
        yield made


@pytest.fixture
async def away(plane, client, tmp_path):
    return Away(client, await PlayedWorker.register(plane, tmp_path / "away"), tmp_path / "away")


class Away:
    """A worker with a hub of its own, in a folder of its own."""

    def __init__(self, client, played: PlayedWorker, folder) -> None:
        self.played = played
        self.me = SimpleNamespace(worker_id=played.lease.worker_id, fence=played.lease.fence)
        self.hub = BareHub.open_or_create(folder / "own-hub.git")
        self.copies = SharedClones(self.hub.path, folder / "own-copies", None)
        self.transport = OwnHub(client, self.hub)

    async def session(self):
        [work, *_] = await self.played.take(WorkKind.SESSION)
        await self.transport.bring(work, self.me)
        copy = self.copies.create(f"{work.task.id}-{work.fence}", work.base)
        return work, copy, Saving(self.copies, copy, work, SystemClock(), self.transport)


def ref_of(work):
    return work_ref(work.swarm_id, work.task.id, work.fence)


async def test_a_session_is_worked_on_and_handed_in_without_the_projects_hub(plane, swarm, away):
    work, copy, saving = await away.session()
    assert (copy.path / "lines.txt").read_text() == "one\ntwo\n"
    assert away.hub.log(None, work.base)[0]["commit"] == work.base
    (copy.path / "a.txt").write_text("half\n")
    saved = await saving.keep()
    assert plane.hub.resolve(ref_of(work)) == saved
    (copy.path / "a.txt").write_text("done\n")
    head = await saving.keep()
    assert plane.hub.read_file(head, "a.txt") == b"done\n"
    handoff = '{"outcome": "submitted", "done": "did it"}'
    result = SessionResult(outcome="submitted", base=work.base, head=head, handoff=handoff)
    await plane.finishing.finish(away.played.lease, work.work_id, work.fence, result)
    [gates] = [one for one in await away.played.take(WorkKind.GATES) if one.head == head]
    other = BareHub.open_or_create(away.hub.path.parent / "a-third-machine.git")
    third = OwnHub(away.transport._client, other)
    await third.bring(gates, away.me)
    assert other.read_file(head, "a.txt") == b"done\n"
    await away.played.gates(gates)
    await away.played.run_to_the_end(swarm)
    assert (await plane.states(swarm))[work.task.id] == "landed"


async def test_what_is_there_is_not_fetched_again(plane, swarm, away, monkeypatch):
    work, _, _ = await away.session()
    monkeypatch.setattr(away.transport._client, "fetch_commits", None)
    await away.transport.bring(work, away.me)


async def test_nothing_can_be_pushed_for_a_session_that_somebody_else_holds(plane, swarm, away, tmp_path):
    work, copy, saving = await away.session()
    (copy.path / "a.txt").write_text("mine\n")
    other = await PlayedWorker.register(plane, tmp_path / "other", "w2")
    away.me.worker_id, away.me.fence = other.lease.worker_id, other.lease.fence
    with pytest.raises(FenceLostError):
        await saving.keep()
    assert plane.hub.resolve(ref_of(work)) is None


async def test_a_worker_that_was_given_up_can_neither_fetch_nor_push(plane, swarm, away):
    work, copy, saving = await away.session()
    await plane.watching.expire_all()
    (copy.path / "a.txt").write_text("late\n")
    with pytest.raises(FenceLostError):
        await saving.keep()
    elsewhere = OwnHub(away.transport._client, BareHub.open_or_create(away.hub.path.parent / "fresh.git"))
    with pytest.raises(FenceLostError):
        await elsewhere.bring(work, away.me)
    assert plane.hub.refs("refs/swarm/work/") == {}


async def test_only_what_continues_the_sessions_own_base_is_taken(plane, swarm, away):
    work, _, _ = await away.session()
    before = plane.hub.refs("refs/")
    tree = away.hub.tree_of(work.base)
    identity, at = Identity("Ada", "ada@example.invalid"), SystemClock().now()
    rootless = away.hub.commit_tree(tree, [], "unrelated\n", identity, identity, at)
    with pytest.raises(RejectedError, match="does not continue"):
        await away.transport.push(work, rootless)
    assert plane.hub.refs("refs/") == before


async def test_a_pack_that_lacks_something_or_is_none_is_refused(hub_pair):
    here, there, base, commit = hub_pair
    whole = make_pack(here, [commit], [base])
    for broken in (b"", b"no pack at all", whole[:-30], whole[:40] + b"\0" * 20 + whole[60:]):
        with pytest.raises(RejectedError):
            take_pack(there, broken, [commit], base)
    with pytest.raises(RejectedError, match="does not hold"):
        take_pack(there, make_pack(here, [base], [base]), [commit], base)
    take_pack(there, whole, [commit], base)
    assert there.read_file(commit, "new.txt") == b"new\n"
    with pytest.raises(RejectedError, match="there is no commit"):
        make_pack(here, ["f" * 40], [])


async def test_an_old_history_is_brought_although_nobody_would_write_it_so_today(plane, swarm, away, tmp_path):
    [work, *_] = await away.played.take(WorkKind.SESSION)
    odd = odd_commit(plane.hub, work.base)
    old = work.model_copy(update={"base": odd})
    await away.transport.bring(old, away.me)
    assert away.hub.read_file(odd, "lines.txt") == b"one\ntwo\n"
    there = BareHub.open_or_create(tmp_path / "there.git")
    with pytest.raises(RejectedError, match="cannot be taken"):
        take_pack(there, make_pack(plane.hub, [odd], []), [odd])


def odd_commit(hub, base):
    """On `base`, with an author as some tools once wrote them; a reference holds it."""
    raw = f"tree {hub.tree_of(base)}\nparent {base}\nauthor Ada<ada@x> 1 +0000\ncommitter Ada <a@x> 1 +0000\n\nodd\n"
    arguments = ["hash-object", "-t", "commit", "-w", "--stdin", "--literally"]
    commit = hub.git.run(hub.path, arguments, given=raw.encode()).out.decode().strip()
    hub.update_refs({"refs/swarm/odd": commit})
    return commit


@pytest.fixture
def hub_pair(tmp_path):
    """Two hubs that have a base in common, and a commit on it that only the first one has."""
    base = repository(tmp_path / "repo", {"a.txt": "a\n"})
    here, there = (BareHub.open_or_create(tmp_path / name) for name in ("here.git", "there.git"))
    (tmp_path / "repo/new.txt").write_text("new\n")
    git(tmp_path / "repo", "add", "-A")
    git(tmp_path / "repo", "commit", "-qm", "second")
    commit = git(tmp_path / "repo", "rev-parse", "HEAD")
    here.import_commit(tmp_path / "repo", commit)
    there.import_commit(tmp_path / "repo", base)
    return here, there, base, commit
