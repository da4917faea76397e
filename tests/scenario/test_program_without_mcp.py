"""An agent's program that speaks no MCP: in its sandbox it finds the command `swarm-agent`, or leaves a file."""

from __future__ import annotations

import asyncio
import json
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
from swarmworks.sandbox.none import NoSandbox
from swarmworks.settings import read_run_file
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire.api import PlaneAddress
from swarmworks.wire.session_events import Garbage, Message
from swarmworks.worker.context import Places, WorkerContext
from swarmworks.worker.environment import BuiltEnvironment
from swarmworks.worker.prompt import Prompt
from swarmworks.worker.session import SessionRun
from tests.agent.scripted_model import ScriptedModel
from tests.agent.test_swarm_agent import serving
from tests.api.agents import sites
from tests.scenario.driver import Site, ended, job
from tests.scenario.harness import configuration, plan

pytestmark = [pytest.mark.sandbox]


class Shell:
    """A runtime whose program is a shell script: it knows nothing of the platform but what it finds."""

    name = "shell"
    wires = frozenset({"openai"})
    own_home = True

    def __init__(self, script, output_bytes=None):
        self.script = script
        self.output_bytes = output_bytes

    def launch(self, facts):
        return Launch(
            argv=("/bin/sh", "-c", self.script),
            environment={"SWARM_TOKEN": facts.token},
            first_input=b"\n",
            input_stays_open=False,
            output_bytes=self.output_bytes,
        )

    def reading(self):
        return NormalForm()

    def says(self, _text):
        return None

    def tells(self, _text):
        return None

    def asks_to_hand_over(self, _text):
        return None


@pytest.fixture(params=["best", "none"])
async def played(tmp_path, request):
    """With the machine's best sandbox, and with none, in which paths inside are the host's."""
    async with sites(tmp_path) as (site,), serving(site.server) as url:

        async def config(_swarm_id):
            return configuration(sandbox={"floor": "none"} if request.param == "none" else {})

        async def play(script, output_bytes=None):
            client = SimpleNamespace(url=url, config=config, learn=lambda _urls: None)
            alone = request.param == "none"
            owner = DEFAULT_UID if os.getuid() == 0 and not alone else None
            context = WorkerContext(
                client,  # type: ignore[arg-type]
                site.plane.hub,
                SharedClones(site.plane.hub.path, tmp_path / "worker", owner),
                NoSandbox(tmp_path) if alone else best_sandbox(tmp_path),
                Places(
                    environments=tmp_path / "environments",
                    caches=tmp_path / "caches",
                    scratch=tmp_path / "scratch",
                    package=Path(swarmworks.__file__).parent,
                    interpreter=Path(sys.executable),
                ),
                SystemClock(),
                runtimes={"shell": Shell(script, output_bytes)},  # type: ignore[dict-item]
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


@pytest.mark.parametrize("place", [".swarm-handoff.json", "$SWARM_HANDOFF_FILE"])
async def test_it_leaves_a_file_and_ends_whatever_its_exit_status_is(played, place):
    result = await played(
        f"""echo done > t0.txt; printf '{{"outcome": "submitted", "done": "wrote it"}}' > "{place}"; exit 3"""
    )
    assert result.outcome is SessionOutcome.SUBMITTED, result
    assert handoff_wire.parse(result.handoff).done == "wrote it"
    assert result.changed == ("t0.txt",)


async def test_a_file_that_is_no_handoff_is_a_failure_with_its_reason(played):
    result = await played("""echo done > t0.txt; echo '{"outcome": "done"}' > .swarm-handoff.json""")
    assert result.outcome is SessionOutcome.FAILED
    assert "its handoff file is no handoff: outcome" in result.reason
    assert result.changed == ("t0.txt",), "what it wrote is kept all the same"


LEAVES = """echo done > t0.txt; printf '{"outcome": "submitted", "done": "left it"}' > .swarm-handoff.json; """
ENDS = [
    ({"outcome": "failed", "reason": "model_error: it broke"}, SessionOutcome.SUBMITTED, "left it"),
    (
        {"outcome": "submitted", "reason": "ended by itself", "handoff": {"outcome": "submitted", "done": "so I end"}},
        SessionOutcome.SUBMITTED,
        "left it",
    ),
    (
        {"outcome": "submitted", "reason": "handed in", "handoff": {"outcome": "submitted", "done": "accepted"}},
        SessionOutcome.SUBMITTED,
        "accepted",
    ),
    ({"outcome": "refused", "reason": "HTTP 400: the budget is full"}, SessionOutcome.STOPPED, None),
]


@pytest.mark.parametrize(("end", "outcome", "done"), ENDS, ids=["gives up", "just ends", "handed in", "refused"])
async def test_a_file_counts_for_more_than_the_programs_own_word_on_how_it_ended(played, end, outcome, done):
    line = json.dumps({"type": "end", **end})
    result = await played(f"{LEAVES} echo '{line}'; sleep 600")
    assert result.outcome is outcome, result
    assert (handoff_wire.parse(result.handoff).done if result.handoff else None) == done
    assert result.changed == ("t0.txt",)


async def test_long_lines_are_read_whole(played):
    long = "$(head -c 500000 /dev/zero | tr '\\0' x)"
    await played(f"""printf '{{"type": "message", "text": "whole", "more": "%s"}}\\n' {long}""")
    assert [event.text for event in played.said if isinstance(event, Message)] == ["whole"]
    assert not [event for event in played.said if isinstance(event, Garbage)]


@pytest.mark.parametrize(
    ("output_bytes", "outcome"), [(None, SessionOutcome.STOPPED), (32 << 20, SessionOutcome.SUBMITTED)]
)
async def test_one_that_has_to_print_much_may_where_it_is_known_to(played, output_bytes, outcome):
    result = await played(f"head -c 20000000 /dev/zero >&2; {LEAVES}", output_bytes)
    assert result.outcome is outcome, result


PROGRAM = (
    "swarm-agent task > seen && grep -q '# Task t0' seen && rm seen && swarm-agent progress half way"
    " && ! swarm-agent send all hello && ! swarm-agent request-scope --reason want swarm.toml"
    " && swarm-agent request-scope --reason 'both need it' shared.txt && echo shared > shared.txt"
    " && swarm-agent ask Blue or red? > t0.txt"
    " && swarm-agent handoff --done 'wrote it' --changed t0.txt=new --changed shared.txt=new --note 'mind the gap'"
)


async def begun(site, process):
    """When its swarm is there: no model is called by which that could be told."""
    while process.poll() is None:
        if read_run_file(site.state) is not None:
            async with site.client() as client:
                if await client.swarms():
                    return
        await asyncio.sleep(0.05)
    raise AssertionError(ended(process))


async def test_a_whole_run_of_a_program_of_one_s_own_that_asks_and_is_answered(tmp_path):
    more = f'[runtimes.command]\nrun = "{PROGRAM}"\n'
    with ScriptedModel([]) as model:
        site = Site(tmp_path / "site", model.base_url, plan(job("t0")), agents=1, more=more)
        toml = site.root / "swarm.toml"
        toml.write_text(toml.read_text().replace("count = 1", "count = 1\nanswer_wait_s = 60"))
        try:
            process = site.start_run("--allow-dirty", "--runtime", "command")
            await begun(site, process)
            scope = await site.event(process, lambda row: row.kind == "question.asked" and "paths" in row.data)
            assert site.run("answer", scope.data["question"], "yes").code == 0
            choice = await site.event(process, lambda row: row.kind == "question.asked" and "paths" not in row.data)
            assert site.run("answer", choice.data["question"], "blue").code == 0
            done = ended(process)
            logs = site.run("logs")
        finally:
            site.close()
    assert (done.code, done.json["state"]) == (0, "landed"), done
    truth = await site.truth()
    head = truth.hub.resolve(truth.swarm.integration_ref)
    assert truth.hub.read_file(head, "t0.txt") == b"A person answers: blue\n"
    assert truth.hub.read_file(head, "shared.txt") == b"shared\n"
    assert set(truth.hub.list_files(head)) == {"README.md", "swarm.toml", "t0.txt", "shared.txt"}
    assert [row["paths"] for row in truth.data("scope.refused")] == [["swarm.toml"]]
    assert truth.data("mail.sent") == []
    assert "progress: half way" in logs.out
