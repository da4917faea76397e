"""The end of a session whose work is too much to be pushed, or to be committed: its working copy is let go of all the same."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import LimitReachedError
from swarmworks.git.clones import SharedClones
from swarmworks.git.hub import BareHub
from swarmworks.wire.work import SessionWork
from swarmworks.worker.environment import BuiltEnvironment
from swarmworks.worker.prompt import Prompt
from swarmworks.worker.session import SessionRun
from swarmworks.worker.transport import SameHub
from tests.scenario.harness import configuration, repository, task
from tests.worker.test_saving import Transport, Work

REF = "refs/swarm/work/swm_1/t/3"


@pytest.fixture
def ended(tmp_path, monkeypatch):
    """A session that wrote b.txt and ended; `snapshot` is what committing it raises, if anything."""
    hub = BareHub.open_or_create(tmp_path / "hub.git")
    base = repository(tmp_path / "repo", {"a.txt": "one\n"})
    hub.import_commit(tmp_path / "repo", base)
    copies = SharedClones(hub.path, tmp_path / "copies", None)

    async def agent(_run, placed, *_):
        (placed.copy.path / "b.txt").write_text("new\n")

    monkeypatch.setattr(SessionRun, "_agent", agent)

    async def play(transport, kept=100, snapshot=None):
        async def config(_swarm_id):
            return configuration(copies={"kept": kept})

        if snapshot is not None:
            monkeypatch.setattr(copies, "snapshot", snapshot)
        context = SimpleNamespace(
            config=config,
            hub=hub,
            clock=SystemClock(),
            copies=copies,
            transport=transport,
            sandbox=SimpleNamespace(listener_port=lambda: 0),
            places=SimpleNamespace(scratch=tmp_path / "scratch"),
            runtimes={"own": SimpleNamespace(own_home=False)},
            unsaved=[],
        )
        given = Work()
        work = SessionWork.model_construct(
            swarm_id=given.swarm_id,
            session_id=given.session_id,
            fence=given.fence,
            task=task("t"),
            agent=given.agent,
            base=base,
            runtime="own",
        )
        run = SessionRun(context, work, BuiltEnvironment("none", None, (), ()), Prompt("system", "prompt", ""))
        with pytest.raises(LimitReachedError):
            await run.result(SimpleNamespace(add=lambda _event: None))
        assert run.kept == base, "what the next attempt can find"
        assert context.unsaved == []
        return hub, copies

    return play


async def _too_large():
    raise LimitReachedError("the session wrote 90 MiB")


def _too_much(*_arguments):
    raise LimitReachedError("more than 50000 files differ")


@pytest.mark.parametrize(("kept", "retired"), [(100, 1), (0, 0)])
async def test_what_is_too_large_to_be_pushed_is_kept_here_and_its_copy_let_go_of(ended, kept, retired):
    hub, copies = await ended(Transport(_too_large), kept)
    assert hub.read_file(REF, "b.txt") == b"new\n"
    assert (copies.existing(), len(copies.retired())) == ([], retired)


async def test_the_copy_of_what_cannot_be_committed_stays_as_those_of_other_ended_sessions(ended):
    _, copies = await ended(SameHub(), 0, _too_much)
    (copy,) = copies.retired()
    assert (copy.path / "b.txt").read_text() == "new\n"
    assert copies.existing() == []
