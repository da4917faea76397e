"""Deliveries as the control plane keeps them, with a worker and a user's repository played by the test."""

from __future__ import annotations

import json

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import ConflictError, FenceLostError
from swarmworks.base.ids import RandomIds
from swarmworks.domain.gate import GateOutcome, GateResult
from swarmworks.domain.lease import WorkKind
from swarmworks.domain.swarm import StopReason
from swarmworks.git.delivering import deliver_commit
from swarmworks.git.protocol import Conflicted
from swarmworks.git.user_branch import find_branch
from swarmworks.service import reviews
from swarmworks.service.delivering import Delivering
from swarmworks.store.protocol import QueueBranch
from swarmworks.wire.api import ResumeSwarm
from swarmworks.wire.delivery import RequestDelivery
from swarmworks.wire.work import DeliveryResult
from swarmworks.worker.context import COMMITTER
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
from tests.scenario.queueing import pushed

ANN = "person:Ann"


class Place:
    def __init__(self, plane, worker, root, swarm):
        self.plane, self.worker, self.root, self.swarm = plane, worker, root, swarm
        self.deliveries = Delivering(plane.store, plane.hub, RandomIds(), SystemClock())

    async def request(self, branch="main", *, partial=False):
        tip = find_branch(self.root, branch).tip
        asked = RequestDelivery(branch=branch, tip=tip, repository=str(self.root), partial=partial)
        return await self.deliveries.request(self.swarm, asked, ANN)

    async def view(self, delivery):
        return await self.deliveries.view(delivery.id, ANN)

    async def kinds(self):
        return [event.kind for event in await self.plane.read(lambda reader: reader.events(self.swarm))]

    async def last(self, kind):
        events = await self.plane.read(lambda reader: reader.events(self.swarm))
        return next(event for event in reversed(events) if event.kind == kind)

    def commit(self, files):
        for name, text in files.items():
            (self.root / name).write_text(text)
        git(self.root, "add", "-A")
        git(self.root, "commit", "-qm", "theirs")
        return git(self.root, "rev-parse", "HEAD")

    async def work(self):
        (work,) = await self.worker.take(WorkKind.DELIVERY)
        return work

    def built(self, work, results=None):
        merged = self.plane.hub.merge(work.target, work.head)
        if isinstance(merged, Conflicted):
            return DeliveryResult(status="conflict", conflict_paths=merged.paths)
        candidate = self.plane.hub.commit_tree(
            merged.tree, [work.target, work.head], work.message, COMMITTER, COMMITTER, work.at
        )
        return DeliveryResult(
            status="built", candidate=candidate, tree=merged.tree, results=results or passed(*work.gates)
        )

    async def finish(self, work, result):
        await self.deliveries.finish(self.worker.lease, work.work_id, work.fence, result)


@pytest.fixture
async def place(tmp_path, request):
    """A swarm of two tasks that has landed; as parameter, the review gates of its deliveries."""
    gates = [{"name": name, "on": "delivery", "question": f"{name}?"} for name in getattr(request, "param", ())]
    config = configuration(review={"gates": gates}) if gates else None
    plane = await start_plane(tmp_path)
    worker = await PlayedWorker.register(plane, tmp_path)
    base = repository(tmp_path / "user", {"README.md": "hello\n"})
    swarm = await create(plane, tmp_path / "user", base, plan(task("a"), task("b")), config=config)
    await worker.run_to_the_end(swarm)
    assert await plane.state(swarm) == "landed"
    yield Place(plane, worker, tmp_path / "user", swarm)
    await plane.store.close()


async def test_a_branch_that_stood_still_gets_the_head_itself_and_asks_a_person_first(place):
    delivery = await place.request()
    view = await place.view(delivery)
    assert (view.state, view.candidate, view.merged, view.approved) == (
        "ready",
        await place.plane.head(place.swarm),
        False,
        False,
    )
    assert (view.arriving.commits, view.arriving.files, view.arriving.added) == (2, 2, 2)
    assert view.review.question == "May this go to your branch?"
    await place.deliveries.approve(delivery.id, "fine", ANN)
    assert (await place.view(delivery)).approved
    await place.deliveries.confirm(delivery.id, view.candidate, ANN)
    await place.deliveries.confirm(delivery.id, view.candidate, ANN)
    event = await place.last("delivery.delivered")
    assert (event.actor, json.loads(event.data)["reason"]) == (ANN, "fine")
    assert (await place.kinds()).count("delivery.delivered") == 1
    assert (await place.plane.status.status(place.swarm)).delivered == ("main",)


async def test_asked_twice_it_is_the_same_delivery(place):
    first = await place.request()
    assert (await place.request()).id == first.id
    assert (await place.kinds()).count("review.asked") == 1


async def test_a_branch_that_does_not_exist_yet(place):
    delivery = await place.request("fresh/one")
    view = await place.view(delivery)
    assert (view.tip, view.state, view.arriving.commits) == (None, "ready", 2)


async def test_merged_with_what_the_branch_got_and_judged_by_every_gate_a_task_had_to_pass(place):
    theirs = place.commit({"theirs.txt": "x\n"})
    delivery = await place.request()
    assert delivery.state == "building"
    work = await place.work()
    assert (work.target, work.gates) == (theirs, ("tests",))
    await place.finish(work, place.built(work))
    view = await place.view(delivery)
    assert (view.state, view.merged) == ("ready", True)
    assert place.plane.hub.resolve(f"refs/swarm/delivery/{delivery.id}") == view.candidate
    assert "review.asked" in await place.kinds()


@pytest.mark.parametrize("branch", ["main", "fresh/one"])
async def test_what_somebody_pushed_after_the_last_landing_is_judged_before_it_is_delivered(place, tmp_path, branch):
    commit = await pushed(place.plane, place.swarm, tmp_path, "hand.txt", repository=place.root)
    delivery = await place.request(branch)
    assert (delivery.state, delivery.head) == ("building", commit)
    work = await place.work()
    assert work.gates == ("tests",)
    await place.finish(work, place.built(work, failed("tests")))
    assert (await place.view(delivery)).state == "failed"
    again = await place.request(branch)
    work = await place.work()
    await place.finish(work, place.built(work))
    view = await place.view(again)
    assert view.state == "ready"
    assert "hand.txt" in place.plane.hub.list_files(view.candidate)


async def test_what_froze_the_queue_is_not_delivered_until_it_is_mended(place, tmp_path):
    commit = await pushed(place.plane, place.swarm, tmp_path, "breaks.txt", repository=place.root)
    red = QueueBranch(commit, pushed=commit, frozen="tests fails on the branch: push a commit that mends it")
    await place.plane.store.transact(lambda tx: tx.set_queue_branch(place.swarm, red))
    with pytest.raises(ConflictError, match="tests fails on the branch"):
        await place.request()
    await pushed(place.plane, place.swarm, tmp_path, "mends.txt", repository=place.root)
    assert (await place.request()).state == "building"


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (failed("tests"), "a.txt:3: assert 1 == 2"),
        ((GateResult("tests", GateOutcome.COULD_NOT_RUN, "no such tool"),), "tests could not run: no such tool"),
        ((GateResult("tests", GateOutcome.RAN_NOTHING, "no tests"),), "tests: no tests"),
        (passed("other"), "tests could not run: no worker ran it"),
    ],
)
async def test_only_a_pass_of_every_gate_lets_it_through(place, results, said):
    place.commit({"theirs.txt": "x\n"})
    delivery = await place.request()
    work = await place.work()
    await place.finish(work, place.built(work, results))
    view = await place.view(delivery)
    assert view.state == "failed"
    assert said in view.note
    assert (await place.request()).id != delivery.id


async def test_a_conflict_and_what_cannot_be_merged_at_all(place):
    place.commit({"a.txt": "theirs\n"})
    first = await place.request()
    work = await place.work()
    await place.finish(work, place.built(work))
    assert "same lines of a.txt" in (await place.view(first)).note
    second = await place.request()
    await place.finish(await place.work(), DeliveryResult(status="failed", detail="unrelated histories"))
    assert "unrelated histories" in (await place.view(second)).note


async def test_a_worker_is_not_believed(place):
    theirs = place.commit({"theirs.txt": "x\n"})
    hub = place.plane.hub
    head = await place.plane.head(place.swarm)
    for parents, tree_of in (([head, theirs], head), ([theirs], theirs), ([theirs, head], None)):
        delivery = await place.request()
        work = await place.work()
        good = place.built(work)
        made = hub.commit_tree(good.tree, parents, "m\n", COMMITTER, COMMITTER, work.at)
        tree = good.tree if tree_of is not None else hub.tree_of(head)
        await place.finish(work, good.model_copy(update={"candidate": made, "tree": tree}))
        assert (await place.view(delivery)).state == "failed", parents


async def test_when_the_branch_goes_on_the_delivery_is_void_and_its_question_with_it(place):
    first = await place.request()
    place.commit({"theirs.txt": "x\n"})
    second = await place.request()
    assert (await place.view(first)).state == "void"
    assert (second.id != first.id, second.state) == (True, "building")
    work = await place.work()
    place.commit({"more.txt": "x\n"})
    third = await place.request()
    with pytest.raises(FenceLostError):
        await place.finish(work, place.built(work))
    assert [(await place.view(one)).state for one in (first, second, third)] == ["void", "void", "building"]
    open_ones = await place.plane.read(lambda reader: reviews.open_reviews(reader, place.swarm))
    assert open_ones == []


async def test_a_crash_after_the_branch_moved_is_put_on_record_by_asking_again(place):
    delivery = await place.request()
    await place.deliveries.approve(delivery.id, "fine", ANN)
    branch = find_branch(place.root, "main")
    assert deliver_commit(place.root, branch, place.plane.hub.path, delivery.candidate, "swarm deliver: x", "Ann")
    place.commit({"later.txt": "the person went on\n"})
    again = await place.request()
    assert (again.id, again.state) == (delivery.id, "delivered")


async def test_what_a_person_merged_with_git_is_on_record_too(place):
    git(place.root, "pull", "-q", "--ff-only", str(place.plane.hub.path), f"swarm/{place.swarm}")
    first = await place.request()
    assert first.state == "delivered"
    assert (await place.request()).id == first.id
    assert (await place.kinds()).count("delivery.delivered") == 1


async def test_a_no_ends_the_delivery_and_the_next_one_asks_anew(place):
    delivery = await place.request()
    view = await place.view(delivery)
    await place.plane.store.transact(
        lambda tx: reviews.decide(tx, view.review.id, approve=False, actor="person:Bob", reason="not yet")
    )
    refused = await place.view(delivery)
    assert (refused.approved, refused.review.state, refused.review.reason) == (False, "rejected", "not yet")
    second = await place.request()
    assert second.id != delivery.id
    assert (await place.view(second)).review.state == "open"


async def test_the_delivery_of_a_lost_worker_goes_to_the_next_one(place, tmp_path):
    place.commit({"theirs.txt": "x\n"})
    delivery = await place.request()
    await place.work()
    await place.plane.watching.expire_all()
    place.worker = await PlayedWorker.register(place.plane, tmp_path, "w2")
    work = await place.work()
    await place.finish(work, place.built(work))
    assert (await place.view(delivery)).state == "ready"


async def test_a_swarm_that_is_not_done_is_delivered_only_when_asked(tmp_path):
    plane = await start_plane(tmp_path)
    worker = await PlayedWorker.register(plane, tmp_path)
    base = repository(tmp_path / "user", {"README.md": "hello\n"})
    config = configuration(limits={"attempts": 1})
    swarm = await create(plane, tmp_path / "user", base, plan(task("a"), task("b", after=("a",))), config=config)
    place = Place(plane, worker, tmp_path / "user", swarm)
    with pytest.raises(ConflictError, match="still running"):
        await place.request(partial=True)
    await plane.swarms.stop(swarm, StopReason.PERSON, ANN)
    await plane.settle()
    with pytest.raises(ConflictError, match="landed nothing"):
        await place.request(partial=True)
    await plane.swarms.resume(swarm, ResumeSwarm(), ANN)
    (session,) = await worker.take(WorkKind.SESSION)
    await worker.session(session, {"a.txt": "a\n"})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    await worker.finish_build(build, worker.build(build))
    await plane.swarms.stop(swarm, StopReason.PERSON, ANN)
    await plane.settle()
    with pytest.raises(ConflictError, match=r"1 task is not done \(b\)") as error:
        await place.request()
    assert "--partial" in error.value.mend
    assert (await place.request(partial=True)).state == "ready"
    await plane.store.close()


@pytest.mark.parametrize("place", [("owner", "security")], indirect=True)
async def test_a_yes_to_one_question_is_none_to_the_next_that_another_person_opened(place):
    delivery = await place.request()
    shown = (await place.view(delivery)).review
    await place.deliveries.approve(delivery.id, "mine", "person:Bob", shown=shown.id)
    now = (await place.view(delivery)).review
    with pytest.raises(ConflictError, match="approved by Bob") as refused:
        await place.deliveries.approve(delivery.id, "fine", ANN, shown=shown.id)
    assert f"{now.id}: security?" in refused.value.mend
    assert not (await place.view(delivery)).approved
    await place.deliveries.approve(delivery.id, "fine", ANN, shown=now.id)
    assert (await place.view(delivery)).approved
