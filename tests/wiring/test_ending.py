"""The orderly end of a control plane: what ends when, while requests are still being answered."""

from __future__ import annotations

import logging

import pytest

from swarmworks.base.chores import Chore
from swarmworks.settings import load_project
from swarmworks.wiring import auditing, plane, replicas, telling
from tests.scenario.harness import repository

CONFIG = 'gates = "none"\n[project]\nname = "shop"\n[models]\ndefault = "rehearsal"\n'
LISTENERS = ["listener", "listener"]
ELECTED = {
    *("settle swarms", "advance the merge queue", "foresee conflicts", "keep the hub in order"),
    *("anchor and archive events", "tell people"),
}


@pytest.fixture
def ended(monkeypatch):
    """The names of what ended, in order. No worker and no model is started: who would be, is told when to stop."""
    seen: list[str] = []

    class SeenChore(Chore):
        async def run(self):
            try:
                await super().run()
            finally:
                seen.append(self.name)

    class SeenServer(plane._Server):
        async def shutdown(self, sockets=None):
            await super().shutdown(sockets)
            seen.append("listener")

    async def leave(self):
        seen.append("left the list")

    async def rehearse(stack, *_):
        stack.callback(seen.append, "the rehearsal model")

    async def no_worker(*_):
        return

    for module in (plane, auditing, telling, replicas):
        monkeypatch.setattr(module, "Chore", SeenChore)
    monkeypatch.setattr(plane, "_Server", SeenServer)
    monkeypatch.setattr(plane.Replicas, "leave", leave)
    monkeypatch.setattr(plane, "_check_sandbox", lambda _project: None)
    monkeypatch.setattr(plane, "_start_rehearsal", rehearse)
    monkeypatch.setattr(plane, "_start_worker", no_worker)
    monkeypatch.setattr(logging, "raiseExceptions", True)
    return seen


async def test_what_is_elected_and_the_model_end_when_the_listeners_have_drained_and_before_it_leaves(tmp_path, ended):
    repository(tmp_path, {"swarm.toml": CONFIG})
    async with plane.running(load_project(tmp_path), work=True) as live:
        await live.client.swarms()
        assert ended == []
    assert [one for one in ended if one in ("listener", "watch the workers")] == ["watch the workers", *LISTENERS]
    drained = len(ended) - ended[::-1].index("listener")
    assert ended[-1] == "left the list"
    assert {*ELECTED, "the rehearsal model"} == set(ended[drained:-1])
