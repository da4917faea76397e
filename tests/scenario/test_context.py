"""A whole run in which the model's window fills up: the rehearsal model hands over, takes over, and ends what was begun."""

from __future__ import annotations

import json
import threading

import pytest

from swarmworks.domain.plan import Acceptance, PlannedTask
from swarmworks.provider.rehearsal import openai_wire
from swarmworks.provider.rehearsal.coder import Coder
from swarmworks.provider.rehearsal.conversation import Usage
from swarmworks.provider.rehearsal.faults import Behaviour
from tests.agent.scripted_model import Raw, ScriptedModel
from tests.scenario.driver import MOST_S, Site, ended
from tests.scenario.harness import plan

pytestmark = [pytest.mark.sandbox]

MODULE = "app/middleware/rate_limit.py"
TASK = PlannedTask(
    id="limits",
    kind="implement_feature",
    title="Limit requests",
    role="api",
    instructions="Follow the specification.",
    output="A module.",
    owns=(MODULE,),
    gates=("scope", "tests"),
    acceptance=(Acceptance("It is written.", "tests"),),
    specification="about: rate_limit\nrequirement: {kind: rate_limit, text: x, requests: 5, seconds: 10}\n",
)
WINDOW = '[context.windows]\n"local:writer" = 10000\n'
FULL, ROOM = 8_200, 2_000


class Rehearsing:
    """The rehearsal model, told how many tokens its requests are. Once its window is full it answers only when the test lets
    it, so that the platform's word comes in between. `confused`: how often it says wrongly what it took over.
    """

    def __init__(self, *, confused=0):
        self.go = threading.Event()
        self.full = threading.Event()
        self.prompts: list[str] = []
        self.steps: list[list[str]] = []
        self._confused = confused

    def __call__(self, recorded):
        conversation = openai_wire.parse(recorded.body, len(json.dumps(recorded.body)))
        if conversation.prompt not in self.prompts:
            self.prompts.append(conversation.prompt)
            self.steps.append([])
        first = len(self.prompts) == 1
        if first and conversation.turns == 2:  # the answer before this request said that the window is full
            self.full.set()
            assert self.go.wait(MOST_S)
        answer, _ = Coder().answer(conversation, Behaviour())
        if self._confused and answer.calls and answer.calls[0].name == "take_over":
            self._confused -= 1
            answer.calls[0].arguments["owns"] = ["everything/"]  # type: ignore[index]
        self.steps[-1] += [call.name for call in answer.calls] or [answer.text]
        usage = Usage(FULL if first and conversation.turns == 1 else ROOM, 50)
        lines = openai_wire.stream(conversation, answer, usage, "writer", f"chatcmpl-{len(self.steps[-1])}")
        return Raw(b"".join(lines), "text/event-stream")


@pytest.fixture
def played(tmp_path, request):
    script = Rehearsing(confused=getattr(request, "param", 0))
    with ScriptedModel(script) as model:
        more = WINDOW + "[limits]\nattempts = 1\n"
        site = Site(tmp_path / "site", model.base_url, plan(TASK), agents=1, more=more)
        try:
            yield site, script
        finally:
            script.go.set()
            site.close()


async def run(site, script):
    process = site.start_run()
    assert script.full.wait(MOST_S)
    await site.event(process, lambda event: event.kind == "message.delivered")
    script.go.set()
    return ended(process)


async def test_a_session_whose_window_is_full_hands_over_and_a_fresh_one_ends_the_task(played):
    site, script = played
    done = await run(site, script)
    assert (done.code, done.json["state"]) == (0, "landed"), done
    truth = await site.truth()
    (task,) = truth.tasks
    assert task.attempts == 0
    first, second = truth.sessions
    assert (str(first.outcome), str(second.outcome)) == ("handed_off", "submitted")
    (full,) = truth.data("session.context_full")
    assert (full["tokens"], full["window"]) == (FULL + 50, 10_000)

    assert script.steps[0][-1] == "hand_in"
    assert script.steps[1][0] == "take_over"
    assert "write_file" not in script.steps[1], "what the first one wrote is there already"
    (taken,) = truth.data("session.took_over")
    assert "1 files are written" in taken["left"]

    fresh = script.prompts[1]
    assert "## What the session before you handed over" in fresh
    assert MODULE in fresh
    assert "1 files are written; nothing is handed in." in fresh
    for left_out in ("## Last attempt's diff", "## Neighbouring files", "## Recent changes"):
        assert left_out not in fresh
    head = truth.hub.resolve(truth.swarm.integration_ref)
    assert truth.hub.read_file(head, MODULE, limit_bytes=100_000)
    truth.assert_sound()


async def test_both_sessions_are_on_record_with_their_agent_and_their_cost(played):
    site, script = played
    await run(site, script)
    shown, report = site.run("logs"), site.run("report", "--format", "json").json
    truth = await site.truth()
    ended_rows = [row for row in truth.events if row.kind == "session.ended"]
    assert [row.session_id for row in ended_rows] == [one.id for one in truth.sessions]
    assert [row.actor for row in ended_rows] == [f"agent:{name(one)}" for one in truth.sessions]
    costs = [data["cost_nano_usd"] for data in truth.data("session.ended")]
    assert costs == [one.spent.nano_usd for one in truth.usage]
    assert min(costs) > 0
    assert sum(costs) == truth.totals.spent.nano_usd
    spans = [(row["agent"], row["outcome"], row["cost_nano_usd"]) for row in report["timeline"]]
    outcomes = ("handed_off", "submitted")
    assert spans == [(name(one), *more) for one, *more in zip(truth.sessions, outcomes, costs, strict=True)]
    assert "fills its window: 8250 of 10000 tokens" in shown.out
    assert "goes on where the one before it was" in shown.out


def name(session):
    return session.agent_id.rpartition("/")[2]


@pytest.mark.parametrize("played", [1], indirect=True)
async def test_what_is_said_wrongly_is_not_accepted_and_may_be_said_again(played):
    site, script = played
    done = await run(site, script)
    assert (done.code, done.json["state"]) == (0, "landed"), done
    assert script.steps[1][:2] == ["take_over", "take_over"]
    truth = await site.truth()
    (wrong,) = truth.data("session.misunderstood")
    assert "you do not own everything/" in wrong["problems"]
    assert len(truth.data("session.took_over")) == 1


@pytest.mark.parametrize("played", [99], indirect=True)
async def test_a_fresh_session_that_does_not_know_its_task_hands_nothing_in(played):
    site, script = played
    done = await run(site, script)
    assert (done.code, done.json["state"]) == (1, "blocked"), done
    truth = await site.truth()
    assert [str(one.outcome) for one in truth.sessions] == ["handed_off", "failed"]
    wrong = truth.data("session.misunderstood")
    assert len(wrong) == 2
    assert wrong[0]["problems"] == ["you do not own everything/", "you left out 1 of the files you own"]
    assert truth.data("session.took_over") == []
    assert truth.landed() == []
    kept = truth.data("session.ended")[0]["head"]
    assert truth.hub.read_file(kept, MODULE, limit_bytes=100_000), "what the first one wrote is not lost"
