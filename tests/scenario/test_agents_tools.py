"""Whole runs in which agents use what the platform offers them: more files by a person's grant, mail to one another."""

from __future__ import annotations

import json
import threading

import pytest

from tests.agent.scripted_model import ScriptedModel, call, hand_in
from tests.scenario.driver import MOST_S, Site, ended, job
from tests.scenario.harness import git, plan

pytestmark = [pytest.mark.sandbox]


def _prompt(recorded):
    content = recorded.body["messages"][1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _answers(recorded):
    """What its tools told the agent so far."""
    told = [message["content"] for message in recorded.body["messages"] if message["role"] == "tool"]
    return [text if isinstance(text, str) else "".join(part.get("text", "") for part in text) for text in told]


class WantsMore:
    """Writes a file that is not its own, asks for it, and writes it once it is granted."""

    def __init__(self):
        self.seen: list[str] = []

    def __call__(self, recorded):
        self.seen = _answers(recorded)
        return [
            call("write_file", path="shared.txt", content="mine"),
            call("request_scope", paths=["shared.txt"], reason="both need it"),
            call("write_file", path="shared.txt", content="granted"),
            call("write_file", path="t0.txt", content="done"),
            hand_in(changed=[{"path": "shared.txt", "what": "it"}, {"path": "t0.txt", "what": "it"}]),
        ][len(self.seen)]


async def test_a_file_that_a_person_grants_is_written_and_lands(tmp_path):
    script = WantsMore()
    with ScriptedModel(script) as model:
        site = Site(tmp_path / "site", model.base_url, plan(job("t0")), agents=1)
        toml = site.root / "swarm.toml"
        toml.write_text(toml.read_text().replace("count = 1", "count = 1\nanswer_wait_s = 60"))
        try:
            process = site.start_run("--allow-dirty")
            assert model.asked.wait(MOST_S)
            asked = await site.event(process, lambda event: event.kind == "question.asked")
            listed = site.run("inbox", "--json").json["items"]
            said = site.run("answer", asked.data["question"], "yes", environment={"SWARM_PERSON": "Ada"})
            done = ended(process)
        finally:
            site.close()
    assert said.code == 0, said.err
    assert (done.code, done.json["state"]) == (0, "landed"), done
    assert listed[0]["what"] == "May it also write shared.txt? both need it (yes or no)"
    assert "not yours to write" in script.seen[0]
    assert script.seen[1] == "Granted: you may write shared.txt"
    truth = await site.truth()
    head = truth.hub.resolve(truth.swarm.integration_ref)
    assert truth.hub.read_file(head, "shared.txt", limit_bytes=100) == b"granted"
    (granted,) = truth.data("scope.granted")
    assert granted["paths"] == ["shared.txt"]


class Correspond:
    """t0 writes to the agent of t1, which waits for it and does what no message can make it do: its own task."""

    def __init__(self):
        self.sent = threading.Event()
        self.offered: dict[str, set[str]] = {}
        self.read = ""

    def __call__(self, recorded):
        told = _answers(recorded)
        name = "t0" if "# Task t0" in _prompt(recorded) else "t1"
        self.offered[name] = {tool["function"]["name"] for tool in recorded.body["tools"]}
        write = call("write_file", path=f"{name}.txt", content=name)
        if name == "t0":
            self.sent.set() if len(told) > 0 else None
            return [call("send_message", to="all", text="the port is 8080"), write, hand_in()][len(told)]
        assert self.sent.wait(MOST_S)
        if len(told) == 1:
            self.read = told[0]
        return [call("read_messages"), write, hand_in()][len(told)]


@pytest.mark.parametrize("allowed", [True, False])
async def test_agents_write_to_one_another_only_where_the_project_allows_it(tmp_path, allowed):
    script = Correspond()
    more = '[mail]\nallow = [["api", "testing"]]\n' if allowed else ""
    tasks = plan(job("t0"), job("t1", role="testing", kind="write_tests"))
    with ScriptedModel(script) as model:
        site = Site(tmp_path / "site", model.base_url, tasks, agents=2, more=more)
        try:
            done = ended(site.start_run())
            shown = site.run("logs", "--json") if allowed else None
        finally:
            site.close()
    assert (done.code, done.json["state"]) == (0, "landed"), done
    truth = await site.truth()
    offered = {"send_message", "read_messages"} & script.offered["t0"] & script.offered["t1"]
    if not allowed:
        assert not offered
        assert truth.data("mail.sent") == []
        return
    assert offered == {"send_message", "read_messages"}
    assert "The agent api-1 (task t0) wrote" in script.read
    assert "the port is 8080" in script.read
    (sent,) = truth.data("mail.sent")
    assert (sent["to"], sent["text"]) == ("testing-1", "the port is 8080")
    assert shown is not None
    assert "mail.sent" in {json.loads(line)["kind"] for line in shown.out.splitlines()}
    assert git(site.root, "status", "--porcelain") == ""
