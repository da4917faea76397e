"""One run in which every agent misbehaves in a way of its own: each is stopped or sent back, and says why."""

from __future__ import annotations

import json
import re

import pytest

from tests.agent.scripted_model import Raw, Refuse, ScriptedModel, Stall, call, hand_in
from tests.scenario.driver import Site, ended, job
from tests.scenario.harness import git, plan

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

IDLE_S = 6
COMMAND_S = 12
MEMORY_MB = 256
LIMITS = f"""
[limits]
session_idle_s = {IDLE_S}
command_timeout_s = {COMMAND_S}
[sandbox]
memory_mb = {MEMORY_MB}
"""
HUNGRY = "python3 -c 'b = bytearray(150 << 20); import time; time.sleep(60)'"
COMMANDS = {
    "hangs": "sleep 60",
    "hungry": f"{HUNGRY} & {HUNGRY} & {HUNGRY} & wait",
    "outside": "echo mine > elsewhere.txt; echo ok > outside.txt",
    "meddler": "echo '[gates]' >> swarm.toml; echo '[tool.x]' > pyproject.toml; echo ok > meddler.txt",
    "flood": "yes | head -c 40000000; echo ok > flood.txt",
}
ANSWERS = {"garbage": Raw(b"<html>bad gateway</html>"), "refused": Refuse(500), "never": Stall()}
ALWAYS = frozenset({"outside"})


class Play:
    """Misbehaves once (the first call of the first attempt), or always, and then writes the file and hands in."""

    def __init__(self) -> None:
        self.answered: set[str] = set()

    def __call__(self, recorded):
        messages = recorded.body["messages"]
        prompt = next(_text(message) for message in messages if message["role"] == "user")
        name = re.search(r"^## Files you own\n+- (\w+)\.txt", prompt, re.MULTILINE).group(1)
        turn = sum(message["role"] == "tool" for message in messages)
        again = "## Why the last attempt was rejected" in prompt and name not in ALWAYS
        if turn == 0 and name in ANSWERS and name not in self.answered:
            self.answered.add(name)
            return ANSWERS[name]
        if turn == 0 or (turn == 1 and "still running" in _text(messages[-1])):
            again = again or turn == 1
            command = "" if again else COMMANDS.get(name, "")
            return call("run_command", command=command or f"echo ok > {name}.txt")
        return hand_in(changed=[{"path": f"{name}.txt", "what": "written"}])


def _text(message: dict) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    names = [*COMMANDS, *ANSWERS, "good"]
    with ScriptedModel(Play()) as model:
        site = Site(
            tmp_path_factory.mktemp("play") / "site",
            model.base_url,
            plan(*map(job, names)),
            more=LIMITS,
            agents=len(names),
        )
        try:
            yield site, ended(site.start_run())
        finally:
            site.close()


async def test_all_but_the_hopeless_land_and_the_run_says_that_one_is_blocked(run):
    site, done = run
    assert (done.code, done.json["state"]) == (1, "blocked"), done
    truth = await site.truth()
    truth.assert_sound()
    states = truth.states()
    assert states.pop("outside") == "blocked"
    assert set(states.values()) == {"landed"}, (states, truth.data("session.ended"))
    assert site.left_behind() == []


@pytest.mark.parametrize(
    ("name", "outcome", "word"),
    [("never", "stopped", "stalled"), ("hungry", "stopped", "memory limit")],
)
async def test_a_session_over_a_limit_is_stopped_and_says_which(run, name, outcome, word):
    truth = await run[0].truth()
    first = next(session for session in truth.sessions if session.task_id == name)
    assert (str(first.outcome), word in first.reason) == (outcome, True), first.reason


async def test_a_command_that_hangs_is_ended_its_agent_is_told_and_its_session_goes_on(run):
    truth = await run[0].truth()
    assert [(one.outcome, one.reason) for one in truth.sessions if one.task_id == "hangs"] == [
        ("submitted", "handed in")
    ]


async def test_who_writes_outside_its_scope_is_sent_back_and_blocked_after_three_attempts(run):
    truth = await run[0].truth()
    (task,) = [one for one in truth.tasks if one.id == "outside"]
    assert task.attempts == 3
    assert "elsewhere.txt" in json.dumps([task.note, task.rejection])
    assert "elsewhere.txt" not in truth.hub.list_files(truth.swarm.integration_ref)


async def test_who_edits_protected_files_is_sent_back_and_the_files_stay_as_they_are(run):
    site, _ = run
    truth = await site.truth()
    rejected = [e for e in truth.events if e.kind == "change.rejected" and e.task_id == "meddler"]
    assert len(rejected) == 1
    files = truth.hub.list_files(truth.swarm.integration_ref)
    assert "pyproject.toml" not in files
    assert "swarm.toml" in files
    assert (
        git(truth.hub.path, "diff", "--name-only", truth.swarm.base, truth.swarm.integration_ref, "--", "swarm.toml")
        == ""
    )


@pytest.mark.parametrize("name", ["flood", "garbage", "refused"])
async def test_a_flood_of_output_or_a_faulty_answer_costs_at_most_one_attempt(run, name):
    truth = await run[0].truth()
    (task,) = [one for one in truth.tasks if one.id == name]
    assert task.attempts <= 1
