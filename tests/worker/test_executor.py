"""What becomes of a session that could not be run to its end: whose fault it is decides what it costs."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import GitError, LimitReachedError, UnavailableError
from swarmworks.domain.gate import GateOutcome, GateStage
from swarmworks.domain.lease import WorkKind
from swarmworks.domain.session import SessionOutcome
from swarmworks.git.protocol import WorkingCopy
from swarmworks.wire.config_merge import NO_RULES
from swarmworks.wire.config_reach import RoleReach
from swarmworks.wire.work import BuildWork, GatesWork, SessionWork
from swarmworks.worker import executor
from swarmworks.worker.executor import Executor
from tests.scenario.harness import task

BASE, KEPT = "b" * 40, "c" * 40
WORK = SessionWork.model_construct(
    work_id="wrk_1", session_id="ses_1", swarm_id="swm_1", fence=1, task=task("t0"), base=BASE
)
TOO_MUCH = LimitReachedError("the session wrote 90 MiB", mend="name what is generated in .gitignore")


@pytest.fixture
def ended(monkeypatch):
    """The result of a session in which `bring` or the run itself fails."""

    async def play(bring=None, run=None):
        async def result(_run, _reporter):
            raise run

        async def brought(_work, _me):
            if bring is not None:
                raise bring

        async def anything(*_arguments):
            return SimpleNamespace(role=lambda _name: RoleReach(), merge=NO_RULES)

        monkeypatch.setattr(executor.SessionRun, "__init__", lambda *_arguments: None)
        monkeypatch.setattr(executor.SessionRun, "kept", KEPT)
        monkeypatch.setattr(executor.SessionRun, "say", lambda *_arguments: None)
        monkeypatch.setattr(executor.SessionRun, "result", result)
        monkeypatch.setattr(executor, "brief", lambda *_arguments: None)
        context = SimpleNamespace(
            client=None, hub=None, config=anything, transport=SimpleNamespace(bring=brought), runtimes={}
        )
        working = Executor(context, SimpleNamespace(environment=anything))
        return await working.run(WORK, SimpleNamespace(worker_id="w1", fence=1))

    return play


async def test_a_session_that_wrote_too_much_has_failed_and_its_next_attempt_reads_how_to_mend_it(ended):
    found = await ended(run=TOO_MUCH)
    assert found.outcome is SessionOutcome.FAILED
    assert found.reason == "the session wrote 90 MiB, name what is generated in .gitignore"
    assert (found.base, found.head) == (BASE, KEPT)


@pytest.mark.parametrize(("why", "head"), [({"bring": TOO_MUCH}, BASE), ({"run": GitError("the disk is full")}, KEPT)])
async def test_what_is_no_fault_of_the_agents_costs_it_no_attempt_and_keeps_what_was_saved(ended, why, head):
    found = await ended(**why)
    assert found.outcome is SessionOutcome.INFRASTRUCTURE
    assert found.reason.startswith("the session could not be run: ")
    assert found.head == head


async def test_an_error_of_the_workers_own_ends_a_session_with_what_was_saved(ended):
    found = await ended(run=ZeroDivisionError())
    assert (found.outcome, found.head) == (SessionOutcome.INFRASTRUCTURE, KEPT)
    assert "ZeroDivisionError" in found.reason


async def test_a_session_that_is_stopped_does_not_wait_for_the_tools_it_would_have_needed():
    building, given_up = asyncio.Event(), []

    async def environment(*_arguments):
        building.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            given_up.append("set-up")
            raise

    async def brought(*_arguments):
        return None

    context = SimpleNamespace(client=None, transport=SimpleNamespace(bring=brought))
    working = Executor(context, SimpleNamespace(environment=environment))
    async with asyncio.timeout(10):
        running = asyncio.create_task(working.run(WORK, SimpleNamespace(worker_id="w1", fence=1)))
        await building.wait()
        working.stop(WORK.work_id, SessionOutcome.STOPPED, "by ada")
        found = await running
    assert (found.outcome, found.reason, found.head) == (SessionOutcome.STOPPED, "by ada", BASE)
    assert given_up == ["set-up"]


@pytest.mark.parametrize(
    "work",
    [
        GatesWork.model_construct(
            kind=WorkKind.GATES, work_id="wrk_2", head="h", base=BASE, task=task("t0"), stage=GateStage.CHANGE
        ),
        BuildWork.model_construct(
            kind=WorkKind.BUILD, work_id="wrk_3", candidate="c", target="t", since=BASE, task=task("t0")
        ),
    ],
    ids=["gates", "build"],
)
async def test_an_error_of_the_workers_own_is_no_verdict_and_is_heard_of(work):
    async def required(*_arguments):
        return frozenset({"tests"})

    def broken(*_arguments):
        raise ZeroDivisionError

    async def brought(*_arguments):
        return None

    context = SimpleNamespace(hub=SimpleNamespace(tree_of=broken), transport=SimpleNamespace(bring=brought))
    found = await Executor(context, SimpleNamespace(required=required)).run(work, None)
    assert [(one.gate, one.outcome) for one in found.results] == [("tests", GateOutcome.COULD_NOT_RUN)]
    assert "ZeroDivisionError" in found.results[0].summary


def test_one_copy_that_cannot_be_let_go_of_keeps_nobody_from_working(tmp_path):
    kept, let_go = [], []

    def retire(copy):
        if copy.name == "t-1":
            raise GitError("its mount is busy")
        let_go.append(copy.name)

    copies = SimpleNamespace(
        existing=lambda: [
            WorkingCopy(tmp_path / name, BASE, name, f"refs/swarm/work/{name}") for name in ("t-1", "t-2")
        ],
        snapshot=lambda copy, ref, *_arguments: kept.append((copy.name, ref)),
        retire=retire,
    )
    places = SimpleNamespace(scratch=tmp_path / "scratch")
    context = SimpleNamespace(copies=copies, clock=SystemClock(), places=places)
    Executor(context, SimpleNamespace()).keep_leftovers()
    assert kept == [(name, f"refs/swarm/work/{name}") for name in ("t-1", "t-2")]
    assert let_go == ["t-2"]


async def test_a_control_plane_that_is_away_is_no_error_of_the_workers_own(caplog):
    async def away(*_arguments):
        raise UnavailableError("no control plane answers")

    def missing(*_arguments):
        raise GitError("no such commit")

    context = SimpleNamespace(hub=SimpleNamespace(tree_of=missing), transport=SimpleNamespace(bring=away))
    gates = GatesWork.model_construct(
        kind=WorkKind.GATES, work_id="wrk_2", head="h", base=BASE, task=task("t0"), stage=GateStage.CHANGE
    )
    with pytest.raises(UnavailableError):
        await Executor(context, SimpleNamespace(required=away)).run(gates, None)
    assert "error of ours" not in caplog.text
