"""Whole runs whose agents are the real Claude Code, with a scripted model behind the real gateway."""

from __future__ import annotations

import json
import threading

import pytest

from tests.agent.scripted_model import Answer, Call, ScriptedModel
from tests.runtime.agents import program
from tests.scenario.driver import Site, ended, job
from tests.scenario.harness import plan

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

MODEL = "local:claude-scripted"
USAGE = {"input_tokens": 30, "output_tokens": 20, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 10}
CALL_TOKENS = 120
INPUT_USD_PER_MTOK, OUTPUT_USD_PER_MTOK = 1, 10


def use(tool, **arguments):
    return Answer(calls=(Call(tool, arguments),), usage=USAGE)


def write(name):
    return use("Write", file_path=f"/work/copy/{name}.txt", content=f"{name}\n")


def hand_in(name, **changes):
    arguments = {"outcome": "submitted", "done": "did it", "changed": [{"path": f"{name}.txt", "what": "written"}]}
    return use("mcp__swarm__hand_in", **{**arguments, **changes})


def configure(site, program, more=""):
    """The same site, with the provider and the runtime that Claude Code wants."""
    file = site.root / "swarm.toml"
    text = file.read_text().replace('kind = "openai"', 'kind = "anthropic"\nkey_env = "OPENAI_API_KEY"')
    text = text.replace('/v1"', '"').replace("local:writer", MODEL).replace("count = ", f"{AGENTS}\ncount = ")
    file.write_text(f'{text}\n[runtimes.claude]\nprogram = "{program}"\n{more}')


AGENTS = 'runtime = "claude"\nanswer_wait_s = 0.5'


class Play:
    """`t0` reports, asks, hands in wrongly once and then well; `t1` waits until the test lets it go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.waits = threading.Event()
        self.heard: list[str] = []
        self.answers: list[str] = []

    def __call__(self, recorded):
        texts = [text for message in recorded.body["messages"] for text in _texts(message)]
        name = "t0" if any("# Task t0" in text for text in texts) else "t1"
        results = [block for message in recorded.body["messages"] for block in _results(message)]
        if name == "t1":
            return self._second(texts, len(results))
        self.answers = [json.dumps(result["content"]) for result in results]
        return [
            write("t0"),
            use("mcp__swarm__progress", text="half way"),
            use("mcp__swarm__ask_person", question="Blue or red?"),
            hand_in("t0", outcome="done"),
            hand_in("t0"),
        ][len(results)]

    def _second(self, texts, turn):
        if turn == 0:
            self.waits.set()
            assert self.go.wait(60)
            return use("Bash", command="echo t1 > t1.txt", description="write it")
        self.heard = [text for text in texts if "A person says" in text]
        return hand_in("t1")


def _texts(message):
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [block["text"] for block in blocks if block["type"] == "text"]


def _results(message):
    content = message["content"]
    return [] if isinstance(content, str) else [block for block in content if block["type"] == "tool_result"]


async def test_it_does_the_tasks_of_a_swarm_heard_metered_and_on_record(tmp_path):
    found = program("claude")
    play = Play()
    with ScriptedModel(play) as model:
        site = Site(tmp_path / "site", model.base_url, plan(job("t0"), job("t1")), agents=2)
        configure(site, found)
        try:
            process = site.start_run("--allow-dirty", "--budget", "5")
            assert play.waits.wait(60), process.poll()
            attached = site.start("attach", "t1", "--json")
            said = site.run("say", "t1", "make it blue")
            assert said.code == 0, said.err
            await site.event(process, lambda event: event.kind == "message.delivered")
            play.go.set()
            done = ended(process)
            shown = ended(attached)
        finally:
            play.go.set()
            site.close()
    truth = await site.truth()
    assert (done.code, done.json["state"]) == (0, "landed"), (done, truth.data("session.ended"))
    truth.assert_sound()
    assert all("A person says: make it blue" in text for text in play.heard)
    assert play.heard
    assert "No answer yet" in play.answers[2]
    assert "not handed in: outcome" in play.answers[3]
    assert [row["text"] for row in truth.data("session.progress")] == ["half way"]
    assert [row["text"] for row in truth.data("question.asked")] == ["Blue or red?"]
    calls = [row["tool"] for row in truth.data("session.tool_call")]
    assert {"Write", "Bash", "progress", "ask_person", "hand_in"} == set(calls)
    usage = {row.session_id: row for row in truth.usage}
    for session in truth.sessions:
        assert session.model == MODEL
        assert usage[session.id].calls > 0
    assert len(model.requests) == 7  # what an agent would say after it has handed in is not paid for
    assert truth.totals.spent.tokens == len(model.requests) * CALL_TOKENS
    events = [json.loads(line) for line in shown.out.splitlines()]
    assert (events[0]["kind"], events[-1]["kind"]) == ("session.started", "session.ended")
    assert all("swk_" not in json.dumps(json.loads(event.data)) for event in truth.events)


async def test_a_budget_ends_it_within_seconds_with_its_work_kept_and_nothing_spent_above(tmp_path):
    found = program("claude")
    dear = {"input_tokens": 100_000, "output_tokens": 20}
    answers = iter([Answer(calls=write("t0").calls, usage=dear)])
    with ScriptedModel(lambda _recorded: next(answers)) as model:
        site = Site(tmp_path / "site", model.base_url, plan(job("t0")), agents=1)
        configure(site, found)
        try:
            done = ended(site.start_run("--allow-dirty", "--budget", "0.2"))
        finally:
            site.close()
    truth = await site.truth()
    (session,) = truth.sessions
    assert (done.code, str(session.outcome)) == (3, "stopped"), (done, session)
    assert "budget" in session.reason
    assert len(model.requests) == 1
    assert truth.totals.spent.nano_usd <= truth.peak.peak.nano_usd <= 200_000_000
    (row,) = truth.data("session.ended")
    assert "t0.txt" in truth.hub.list_files(row["head"])
    at = {event.kind: event.at for event in truth.events}
    assert (at["session.ended"] - at["session.tool_result"]).total_seconds() < 15
