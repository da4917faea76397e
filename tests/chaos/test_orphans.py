"""Workers without a control plane, control planes without a worker."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.agent.scripted_model import ScriptedModel, call, hand_in
from tests.scenario.driver import MOST_S, ended, kill, twelve
from tests.scenario.harness import git

pytestmark = [pytest.mark.chaos, pytest.mark.sandbox]

LEASE_S = 3.0
LATE = "sleep 2; echo late > t0.txt"


def test_a_worker_whose_control_plane_vanished_keeps_the_work_and_ends_within_its_lease(build, model):
    site = build(twelve(2))
    model.hold()
    process = site.start_run()
    assert model.reached(2)
    (worker,) = site.workers()
    copies = site.copies()
    assert len(copies) == 2
    for path in copies.values():
        (path / "half.txt").write_text("half a thought\n")
    kill(process)
    _, alive = psutil.wait_procs([worker], timeout=LEASE_S + 5)
    assert not alive
    assert site.left_behind() == []
    assert not site.copies()
    for session in copies:
        assert (
            git(site.state / "hub.git", "show", f"{site.kept(session, left_over=False)}:half.txt") == "half a thought"
        )
    model.release()
    again = site.run("resume", "--json")
    assert (again.code, again.json["state"]) == (0, "landed"), again


async def test_work_of_a_killed_worker_is_kept_and_given_to_the_one_started_in_its_place(build, model):
    site = build(twelve(2))
    model.hold()
    process = site.start_run()
    assert model.reached(2)
    (worker,) = site.workers()
    copies = site.copies()
    for path in copies.values():
        (path / "half.txt").write_text("half a thought\n")
    inside = worker.children(recursive=True)
    assert len(inside) >= 2 * len(["launcher", "bubblewrap", "anchor", "program"])
    kill(worker)
    assert psutil.wait_procs(inside, timeout=10)[1] == []
    model.release()
    done = ended(process)
    assert (done.code, done.json["state"]) == (0, "landed"), done
    truth = await site.truth()
    truth.assert_sound()
    assert [row["outcome"] for row in truth.data("session.ended")].count("lost") == 2
    assert all(task.attempts == 0 for task in truth.tasks)
    for session in copies:
        assert git(truth.hub.path, "show", f"{site.kept(session, left_over=False)}:half.txt") == "half a thought"
    assert str(site.root) not in _mounts()


def _mounts() -> str:
    return Path("/proc/self/mountinfo").read_text(encoding="utf-8")


async def test_a_new_worker_does_not_take_the_working_copies_of_one_that_is_still_ending(build):
    """Found by reading logs of killed runs: the new worker swept copies in which sessions of the old one still wrote."""

    def script(recorded):
        messages = recorded.body["messages"]
        done = [message for message in messages if message["role"] == "tool"]
        if done:
            return hand_in(changed=[{"path": "t0.txt", "what": "written"}])
        first = len(model.requests) == 1
        return call("run_command", command=LATE) if first else call("write_file", path="t0.txt", content="soon\n")

    with ScriptedModel(script) as model:
        site = build(twelve(1), url=model.base_url)
        process = site.start_run()
        assert model.asked.wait(MOST_S)
        await site.event(process, lambda event: event.kind == "session.tool_call")
        kill(process)
        done = ended(site.start("resume", "--json"))
    assert (done.code, done.json["state"]) == (0, "landed"), done
    assert git(site.state / "hub.git", "show", f"{site.kept('t0/1', left_over=False)}:t0.txt") == "late"
    truth = await site.truth()
    truth.assert_sound()
    assert site.kept("t0/1", left_over=True) is None
