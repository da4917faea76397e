"""Whole runs whose agents are the real programs, with a scripted model behind the real gateway: the part of the conformance
suite that needs them installed (make test-agents).
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter

import pytest

from tests.agent.scripted_model import ScriptedModel, Stall
from tests.runtime.agents import program
from tests.runtime.drives import DRIVES, MODEL, Play, task_of
from tests.scenario.driver import Site, ended, job
from tests.scenario.harness import plan

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


@pytest.fixture(params=DRIVES)
def drive(request):
    return DRIVES[request.param]


async def played(tmp_path, drive, script, *arguments, tasks=("t0",), agents=1, more=""):
    """The run as it ended, what is stored of it, and the requests that reached the model: each is answered by `script`."""
    found = program(drive.name)
    with ScriptedModel(script) as model:
        site = Site(tmp_path / "site", model.base_url, plan(*(job(name) for name in tasks)), agents=agents)
        drive.configure(site, found, more)
        try:
            done = ended(site.start_run("--allow-dirty", *arguments))
        finally:
            site.close()
    assert done.code != 2, done
    return done, await site.truth(), model.requests


async def test_what_it_does_lands_and_what_it_only_says_does_not(tmp_path, drive):
    scripts = {"t0": drive.lands, "t1": drive.lands, "t2": drive.only_speaks, "t3": drive.fails}
    answers = {task: script(task) for task, script in scripts.items()}
    once = "[limits]\nattempts = 1\n"
    done, truth, requests = await played(
        tmp_path, drive, Play(answers), "--budget", "5", tasks=(*answers,), agents=2, more=once
    )
    told = {session.task_id: (str(session.outcome), session.reason) for session in truth.sessions}
    assert done.json["state"] == "blocked", (done, told)
    truth.assert_sound()
    states = truth.states()
    assert (states["t0"], states["t1"], states["t3"]) == ("landed", "landed", "blocked"), told
    assert "the model has no such thing" in told["t3"][1] or "provider_400" in told["t3"][1], told
    calls = Counter(row["tool"] for row in truth.data("session.tool_call"))
    if drive.ours is not None:
        assert (states["t2"], told["t2"][1]) == ("blocked", drive.unsaid)
        assert {row["text"] for row in truth.data("session.progress")} == {"half way"}
        assert calls["hand_in"] == 4
    for row in ended_sessions(truth):
        assert (
            row["task"] == "t3" or f"{row['task']}.txt" in truth.hub.list_files(row["head"]) or not drive.works_in_turns
        )
    assert calls.total() > 0
    assert truth.data("session.message") or truth.data("session.usage")
    assert {session.model for session in truth.sessions} == {MODEL}
    assert len(requests) == sum(map(len, answers.values()))  # not one more after it has handed in
    assert all("swk_" not in json.dumps(json.loads(event.data)) for event in truth.events)


def ended_sessions(truth):
    return [
        {"task": event.task_id, **json.loads(event.data)} for event in truth.events if event.kind == "session.ended"
    ]


async def test_a_budget_ends_it_within_seconds_with_its_work_kept_and_nothing_sent_upstream_any_more(tmp_path, drive):
    done, truth, requests = await played(tmp_path, drive, drive.spends, "--budget", drive.budget)
    (session,) = truth.sessions
    assert (done.code, str(session.outcome)) == (3, "stopped"), (done, session)
    assert f"the budget of swarm {truth.swarm.id} is full" in session.reason
    assert len(requests) == sum(row.calls for row in truth.usage) <= 4
    assert truth.totals.spent.nano_usd <= truth.peak.peak.nano_usd <= float(drive.budget) * 1e9
    (row,) = ended_sessions(truth)
    assert not drive.works_in_turns or "t0.txt" in truth.hub.list_files(row["head"])
    at = {event.kind: event.at for event in truth.events}
    assert (at["session.ended"] - at["session.stopping"]).total_seconds() < 10


async def test_stopped_in_the_middle_it_is_gone_with_all_it_started_and_its_work_is_kept(tmp_path, drive):
    found = program(drive.name)
    waits = threading.Event()

    def answer(recorded):
        if drive.turns(recorded) or not drive.works_in_turns:
            waits.set()
            return Stall()
        return drive.write(task_of(recorded))

    with ScriptedModel(answer) as model:
        site = Site(tmp_path / "site", model.base_url, plan(job("t0")), agents=1)
        drive.configure(site, found)
        try:
            process = site.start_run("--allow-dirty")
            assert waits.wait(240), process.poll()
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            ended(process)
            took_s = time.monotonic() - began
            left = site.left_behind()
        finally:
            site.close()
    assert left == []
    assert took_s < 20
    truth = await site.truth()
    (row,) = ended_sessions(truth)
    assert row["outcome"] == "killed"
    assert not drive.works_in_turns or "t0.txt" in truth.hub.list_files(row["head"])
