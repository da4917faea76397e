"""How many sessions the control plane's own worker has at once."""

from __future__ import annotations

from types import SimpleNamespace

from swarmworks.domain.swarm import SwarmState
from swarmworks.wiring import plane


class FakeReader:
    def __init__(self, **agents: int) -> None:
        self._agents = agents

    def swarms(self, *, states):
        return [SimpleNamespace(options=count) for name, count in self._agents.items() if SwarmState(name) in states]


def test_a_swarm_that_may_go_on_keeps_the_places_it_was_started_with(monkeypatch):
    monkeypatch.setattr(plane, "from_json", lambda count: SimpleNamespace(agents=count))
    assert plane._most_agents(FakeReader(stopped=30, running=4, landed=99)) == 30
    assert plane._most_agents(FakeReader(landed=99)) == 0
