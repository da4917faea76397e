"""An agent's program that speaks no MCP: in its sandbox it finds the command `swarm-agent`, or leaves a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import swarmworks
from swarmworks.base.clock import SystemClock
from swarmworks.domain.session import SessionOutcome
from swarmworks.git.clones import SharedClones
from swarmworks.runtime.builtin import NormalForm
from swarmworks.runtime.protocol import Launch
from swarmworks.sandbox.best import best_sandbox
from swarmworks.sandbox.bubblewrap import DEFAULT_UID
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire.api import PlaneAddress
from swarmworks.worker.context import Places, WorkerContext
from swarmworks.worker.environment import BuiltEnvironment
from swarmworks.worker.prompt import Prompt
from swarmworks.worker.session import SessionRun
from tests.agent.test_swarm_agent import serving
from tests.api.agents import sites
from tests.scenario.harness import configuration

pytestmark = [pytest.mark.sandbox]


class Shell:
    """A runtime whose program is a shell script: it knows nothing of the platform but what it finds."""

    name = "shell"
    wires = frozenset({"openai"})
    own_home = True

    def __init__(self, script):
        self.script = script

    def launch(self, facts):
        return Launch(
            argv=("/bin/sh", "-c", self.script),
            environment={"SWARM_TOKEN": facts.token},
            first_input=b"\n",
            input_stays_open=False,
        )

    def reading(self):
        return NormalForm()

    def says(self, _text):
        return None

    def asks_to_hand_over(self, _text):
        return None


@pytest.fixture
async def played(tmp_path):
    async with sites(tmp_path) as (site,), serving(site.server) as url:

        async def config(_swarm_id):
            return configuration()

        async def play(script):
            client = SimpleNamespace(url=url, config=config, learn=lambda _urls: None)
            owner = DEFAULT_UID if os.getuid() == 0 else None
            context = WorkerContext(
                client,  # type: ignore[arg-type]
                site.plane.hub,
                SharedClones(site.plane.hub.path, tmp_path / "worker", owner),
                best_sandbox(tmp_path),
                Places(
                    environments=tmp_path / "environments",
                    caches=tmp_path / "caches",
                    scratch=tmp_path / "scratch",
                    package=Path(swarmworks.__file__).parent,
                    interpreter=Path(sys.executable),
                ),
                SystemClock(),
                runtimes={"shell": Shell(script)},  # type: ignore[dict-item]
            )
            context.gateways.learn([PlaneAddress(api_url=url, gateway_url=url)])
            work = site.work.model_copy(update={"runtime": "shell"})
            reporter = SimpleNamespace(add=said.append)
            run = SessionRun(context, work, BuiltEnvironment("none", None, (), ()), Prompt("system", "prompt", ""))
            return await run.result(reporter)  # type: ignore[arg-type]

        said = []
        play.site, play.said = site, said
        yield play


async def test_it_hands_in_by_the_command_and_its_session_ends_although_it_goes_on(played):
    result = await played(
        "swarm-agent task > seen.txt && swarm-agent progress half way && echo done > t0.txt"
        " && swarm-agent handoff --done 'wrote it' --changed t0.txt=new --note 'mind the gap' && sleep 600"
    )
    assert result.outcome is SessionOutcome.SUBMITTED, result
    handoff = handoff_wire.parse(result.handoff)
    assert (handoff.done, handoff.notes) == ("wrote it", ("mind the gap",))
    assert [file.path for file in handoff.changed] == ["t0.txt"]
    assert sorted(result.changed) == ["seen.txt", "t0.txt"], "the handoff itself is no part of the work"
    hub = played.site.plane.hub
    assert hub.read_file(result.head, "seen.txt").startswith(b"# Task t0: Do t0")
    assert played.site.handed_in == [played.site.work.session_id]
    assert [row.data["text"] for row in await played.site.events("session.progress")] == ["half way"]


async def test_it_leaves_a_file_and_ends(played):
    result = await played(
        """echo done > t0.txt; printf '{"outcome": "submitted", "done": "wrote it"}' > .swarm-handoff.json"""
    )
    assert result.outcome is SessionOutcome.SUBMITTED, result
    assert handoff_wire.parse(result.handoff).done == "wrote it"
    assert result.changed == ("t0.txt",)


async def test_a_file_that_is_no_handoff_is_a_failure_with_its_reason(played):
    result = await played("""echo done > t0.txt; echo '{"outcome": "done"}' > .swarm-handoff.json""")
    assert result.outcome is SessionOutcome.FAILED
    assert "its handoff file is no handoff: outcome" in result.reason
    assert result.changed == ("t0.txt",), "what it wrote is kept all the same"
