"""Whole runs whose tasks are done by commands: mechanical ones without any model, and a program of the user's with one."""

from __future__ import annotations

import json

import pytest

from swarmworks.runtime.command import CommandOutput
from swarmworks.wire.session_events import End, Message
from tests.agent.scripted_model import ScriptedModel, call, hand_in, say
from tests.scenario.driver import Site, ended, job
from tests.scenario.harness import git, plan

pytestmark = [pytest.mark.sandbox]

NOBODY = "http://127.0.0.1:9/v1"


def mechanical(name, run, **more):
    return job(name, kind="command", run=run, **more)


async def ran(site, *arguments):
    try:
        done = ended(site.start_run("--allow-dirty", *arguments))
    finally:
        site.close()
    return done, await site.truth()


async def test_a_plan_of_commands_lands_without_a_model_and_without_a_token(tmp_path):
    tasks = plan(
        mechanical("t0", "sed -i s/hello/goodbye/ README.md; env > t0.txt", owns=("README.md", "t0.txt")),
        mechanical("t1", "tr a-z A-Z < README.md > t1.txt", after=("t0",)),
        mechanical("t2", "grep -q goodbye README.md", after=("t0",)),
    )
    site = Site(tmp_path / "site", NOBODY, tasks, agents=2)
    done, truth = await ran(site, "--budget", "0")
    assert (done.code, done.json["state"]) == (0, "landed"), (done, truth.data("session.ended"))
    truth.assert_sound()
    assert truth.states() == {"t0": "landed", "t1": "landed", "t2": "nothing_to_do"}
    head = truth.landed()[0]["commit"]
    assert truth.hub.read_file(head, "t1.txt", limit_bytes=100) == b"GOODBYE\n"
    seen = truth.hub.read_file(head, "t0.txt", limit_bytes=10_000)
    assert b"SWARM_PROMPT_FILE=" in seen
    assert b"swk_" not in seen
    assert {session.model for session in truth.sessions} == {"none"}
    assert not truth.data("model.call")
    assert truth.totals.spent.tokens == 0


async def test_a_command_that_fails_or_writes_elsewhere_blocks_its_task_and_says_why(tmp_path):
    tasks = plan(
        mechanical("t0", "echo half > t0.txt; echo 'no such rule' >&2; exit 3"),
        mechanical("t1", "echo x > elsewhere.txt"),
    )
    site = Site(tmp_path / "site", NOBODY, tasks, agents=2, more="[limits]\nattempts = 1\n")
    done, truth = await ran(site)
    assert (done.code, done.json["state"]) == (1, "blocked")
    assert set(truth.states().values()) == {"blocked"}
    notes = {row["task_id"]: row["note"] for row in done.json["blocked"]}
    assert "exit status 3: no such rule" in notes["t0"]
    assert "scope" in notes["t1"]
    (kept,) = [row["head"] for row in truth.data("session.ended") if row["outcome"] == "failed"]
    assert "t0.txt" in truth.hub.list_files(kept)


async def test_a_command_is_done_beside_tasks_of_agents_and_asks_nobody(tmp_path):
    answers = [call("run_command", command="echo a > t1.txt"), hand_in(changed=[{"path": "t1.txt", "what": "a"}])]
    with ScriptedModel(answers) as model:
        tasks = plan(mechanical("t0", "echo m > t0.txt"), job("t1", after=("t0",)))
        site = Site(tmp_path / "site", model.base_url, tasks, agents=1)
        done, truth = await ran(site)
    assert (done.code, done.json["state"]) == (0, "landed"), (done, truth.data("session.ended"))
    assert len(model.requests) == 2
    assert {session.task_id: session.model for session in truth.sessions} == {"t0": "none", "t1": "local:writer"}


AGENT = """
import json, os, sys, urllib.request
assert "# Task t0" in sys.stdin.read() and "# Task t0" in open(os.environ["SWARM_PROMPT_FILE"]).read()
print("a line of its own")
body = {"model": os.environ["SWARM_MODEL"], "messages": [{"role": "user", "content": "what is the answer?"}]}
ask = urllib.request.Request(os.environ["SWARM_GATEWAY_URL"] + "/v1/chat/completions", json.dumps(body).encode(),
    {"content-type": "application/json", "authorization": "Bearer " + os.environ["SWARM_TOKEN"]})
try:
    answer = json.load(urllib.request.urlopen(ask))["choices"][0]["message"]["content"]
except urllib.error.HTTPError as error:
    answer = "nobody answered, and I do not care"
open("t0.txt", "w").write(answer)
print(json.dumps({"type": "message", "text": "I wrote: " + answer}))
"""
OWN = """
[runtimes.command]
run = "$SWARM_PYTHON agent.py"
[limits]
attempts = 1
"""


@pytest.mark.parametrize("answers", [[say("forty-two")], []])
async def test_a_program_of_the_users_is_an_agent_and_success_after_a_failed_call_is_none(tmp_path, answers):
    with ScriptedModel(answers) as model:
        site = Site(tmp_path / "site", model.base_url, plan(job("t0")), agents=1, more=OWN)
        (site.root / "agent.py").write_text(AGENT)
        git(site.root, "add", "agent.py")
        git(site.root, "commit", "-qm", "an agent")
        done, truth = await ran(site, "--runtime", "command", "--approve", "a test")
    told = [row["text"] for row in truth.data("session.message")]
    assert told[0] == "a line of its own"
    if answers:
        assert (done.code, done.json["state"]) == (0, "landed"), (done, truth.data("session.ended"))
        assert told[1] == "I wrote: forty-two"
        assert truth.totals.spent.tokens == 120
    else:
        assert (done.code, done.json["state"]) == (1, "blocked")
        assert "provider_418" in done.json["blocked"][0]["note"]


def test_output_without_end_is_put_on_record_in_part_and_its_end_is_told():
    reading = CommandOutput()
    events = [event for number in range(5_000) for event in reading.hear(b"line %d" % number).events]
    assert all(isinstance(event, Message) for event in events)
    assert len(events) == 200
    (end,) = reading.finish(1)
    assert isinstance(end, End)
    assert (end.outcome, "line 4999" in end.reason) == ("failed", True)
    assert json.loads(reading.finish(0)[0].model_dump_json())["outcome"] == "nothing_to_do"
