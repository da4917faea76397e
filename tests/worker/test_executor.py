"""What becomes of a session that could not be run to its end: whose fault it is decides what it costs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import GitError, LimitReachedError
from swarmworks.domain.session import SessionOutcome
from swarmworks.git.protocol import WorkingCopy
from swarmworks.wire.config_merge import NO_RULES
from swarmworks.wire.config_reach import RoleReach
from swarmworks.wire.work import SessionWork
from swarmworks.worker import executor
from swarmworks.worker.executor import Executor
from tests.scenario.harness import task

BASE = "b" * 40
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
    assert (found.base, found.head) == (BASE, BASE)


@pytest.mark.parametrize("why", [{"bring": TOO_MUCH}, {"run": GitError("the disk is full")}])
async def test_what_is_no_fault_of_the_agents_costs_it_no_attempt(ended, why):
    found = await ended(**why)
    assert found.outcome is SessionOutcome.INFRASTRUCTURE
    assert found.reason.startswith("the session could not be run: ")


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
