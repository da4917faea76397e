"""How many sessions the control plane's own worker has at once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from swarmworks.domain.swarm import SwarmState
from swarmworks.wiring import plane


class FakeReader:
    def __init__(self, **agents: int) -> None:
        self._agents = agents

    def swarms(self, *, states):
        return [SimpleNamespace(options=count) for name, count in self._agents.items() if SwarmState(name) in states]


@pytest.fixture(autouse=True)
def options(monkeypatch):
    """Swarms that were started where the configuration had twelve agents."""
    config = SimpleNamespace(agents=SimpleNamespace(count=12))
    monkeypatch.setattr(plane, "from_json", lambda count: SimpleNamespace(agents=count, config=config))


def test_what_the_configuration_had_then_is_what_it_has_now():
    assert plane._most_agents(FakeReader(stopped=12, running=4)) == 0


def test_a_swarm_that_may_go_on_keeps_the_places_it_was_started_with():
    assert plane._most_agents(FakeReader(stopped=30, running=4, landed=99)) == 30
    assert plane._most_agents(FakeReader(landed=99)) == 0
