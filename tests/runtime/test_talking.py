"""A person looks into a running session and speaks to its agent, through the real commands."""

from __future__ import annotations

import json
import os
import pty
import re
import threading

import pytest

from tests.agent.scripted_model import ScriptedModel, call, hand_in
from tests.scenario.driver import MOST_S, Site, ended, job
from tests.scenario.harness import plan

pytestmark = [pytest.mark.sandbox]


class Listening:
    """The first answer waits until the test lets it go; the work is handed in once a person's word was heard: between two turns, or
    in place of the first handing in when it comes as late as that.
    """

    def __init__(self) -> None:
        self.go = threading.Event()
        self.heard: list[str] = []

    def __call__(self, recorded):
        texts = [text for message in recorded.body["messages"] for text in _texts(message)]
        self.heard = re.findall("A person says: .*", "\n".join(texts))
        turn = sum(message["role"] == "tool" for message in recorded.body["messages"])
        if turn == 0:
            assert self.go.wait(MOST_S)
            return call("run_command", command="echo blue > t0.txt")
        return hand_in(changed=[{"path": "t0.txt", "what": "blue"}])


def _texts(message):
    content = message["content"]
    return [content] if isinstance(content, str) else [part.get("text", "") for part in content or []]


@pytest.fixture
def listening(tmp_path):
    script = Listening()
    with ScriptedModel(script) as model:
        site = Site(tmp_path / "site", model.base_url, plan(job("t0")), agents=1)
        try:
            process = site.start_run()
            assert model.asked.wait(MOST_S)
            yield site, process, script
        finally:
            script.go.set()
            site.close()


async def test_what_is_said_reaches_the_agent_and_is_on_record(listening):
    site, process, script = listening
    attached = site.start("attach", "t0", "--json")
    said = site.run("say", "t0", "make", "it", "blue", environment={"SWARM_PERSON": "Ada"})
    assert said.code == 0, said.err
    assert "at work on t0" in said.out
    row = await site.event(process, lambda event: event.kind == "message.delivered")
    assert row.task_id == "t0"
    script.go.set()
    assert ended(process).code == 0
    assert script.heard == ["A person says: make it blue"]
    shown = ended(attached)
    assert shown.code == 0, shown.err
    events = [json.loads(line) for line in shown.out.splitlines()]
    assert events[0]["kind"] == "session.started"
    assert events[-1]["kind"] == "session.ended"
    (sent,) = [event for event in events if event["kind"] == "message.sent"]
    assert (sent["actor"], sent["data"]["text"]) == ("person:Ada", "make it blue")


async def test_a_line_typed_at_the_terminal_is_said_and_leaving_does_not_end_the_session(listening):
    site, process, script = listening
    outer, inner = pty.openpty()
    attached = site.start_at(inner, "attach", "t0")
    os.close(inner)
    os.write(outer, b"use blue\n")
    await site.event(process, lambda event: event.kind == "message.delivered")
    os.write(outer, b"\x04")
    shown = _read_to_end(outer)
    assert attached.wait(30) == 0
    assert "use blue" in shown
    script.go.set()
    assert ended(process).code == 0
    assert script.heard == ["A person says: use blue"]


async def test_nobody_hears_what_is_said_to_a_session_that_has_ended(listening):
    site, process, script = listening
    script.go.set()
    assert ended(process).code == 0
    refused = site.run("say", "t0", "too late")
    assert refused.code == 2
    assert "mend" in refused.err
    shown = site.run("attach", "t0")
    assert shown.code == 0
    assert "> run_command" in shown.out
    assert "session ended: submitted" in shown.out
    assert len(site.run("attach", "t0", "--tail", "2", "--json").out.splitlines()) == 2
    assert "running now" in site.run("attach", "nobody").err or "nothing runs now" in site.run("attach", "nobody").err


class Asking:
    """Asks, waits in vain and ends with its question; told the answer, it hands in."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, recorded):
        messages = recorded.body["messages"]
        self.prompts.append(_texts(messages[1])[0])
        turn = sum(message["role"] == "tool" for message in messages)
        if "The answer of Ada: blue" in self.prompts[-1]:
            return [call("run_command", command="echo blue > t0.txt"), hand_in()][turn]
        return [
            call("run_command", command="echo half > t0.txt"),
            call("progress", text="half of it is written"),
            call("ask_person", question="Blue or red?"),
            hand_in("needs_answer", done="half", question="Blue or red?"),
        ][turn]


async def test_who_cannot_go_on_without_an_answer_is_blocked_with_its_question_and_goes_on_with_the_answer(tmp_path):
    script = Asking()
    with ScriptedModel(script) as model:
        site = Site(tmp_path / "site", model.base_url, plan(job("t0")), agents=1)
        toml = site.root / "swarm.toml"
        toml.write_text(toml.read_text().replace("count = 1", "count = 1\nanswer_wait_s = 0.1"))
        try:
            done = ended(site.start_run("--allow-dirty"))
            shown = site.run("attach", "t0")
            answered = site.run("answer", "t0", "blue", environment={"SWARM_PERSON": "Ada"})
            again = site.run("resume", "--json")
        finally:
            site.close()
    assert (done.code, done.json["state"]) == (1, "blocked"), done
    (blocked,) = done.json["blocked"]
    assert blocked["note"] == "asks: Blue or red?"
    assert shown.code == 1
    for line in ("progress: half of it is written", "asks a person: Blue or red?", "No answer yet"):
        assert line in shown.out, shown.out
    assert answered.code == 0, answered.err
    assert again.code == 0, again
    truth = await site.truth()
    (task,) = truth.tasks
    assert task.attempts == 0
    first, _second = truth.data("session.ended")
    assert "t0.txt" in truth.hub.list_files(first["head"])


def _read_to_end(descriptor: int) -> str:
    read = b""
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # the other side is closed
            break
        if not chunk:
            break
        read += chunk
    os.close(descriptor)
    return read.decode(errors="replace")
