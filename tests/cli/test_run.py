from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from swarmworks.base.errors import EXIT_INFRASTRUCTURE, NotFoundError, RejectedError
from tests.cli import sample
from tests.cli.conftest import Swarm
from tests.cli.fakes import FakeLauncher, FakePlane

STOPPED_BY_CALLS = sample.status(
    "stopped", reason="budget", money=sample.money(calls_limit=412, limit_nano_usd=sample.NANO)
)
STOPPED_BY_BUDGET = sample.status(
    "stopped", reason="budget", money=sample.money(limit_nano_usd=sample.NANO, spent_nano_usd=990_000_000)
)


@pytest.mark.parametrize(
    ("last", "code", "said"),
    [
        (sample.status("landed"), 0, f"next: swarm deliver {sample.SWARM}"),
        (sample.status("blocked", blocked=(sample.blocked(),)), 1, "--retry-blocked"),
        (STOPPED_BY_CALLS, 3, f"swarm resume {sample.SWARM} --calls 824"),
        (STOPPED_BY_BUDGET, 3, f"swarm resume {sample.SWARM} --budget 2"),
        (sample.status("stopped", reason="deadline"), 3, f"swarm resume {sample.SWARM}"),
        (sample.status("stopped", reason="person"), 130, f"swarm resume {sample.SWARM}"),
    ],
)
def test_each_end_has_its_exit_code_and_says_what_to_do_next(tmp_path, swarm: Swarm, plan, last, code, said):
    launcher = FakeLauncher(tmp_path, FakePlane([sample.status(), last]))
    ran = swarm(launcher, "run", plan)
    assert ran.code == code
    assert said in ran.out
    assert ran.err == ""


def test_what_is_not_said_comes_from_the_configuration(tmp_path, swarm: Swarm, plan):
    plane = FakePlane([sample.status("landed")])
    launcher = FakeLauncher(tmp_path, plane)
    launcher.config += "[budget]\nswarm_usd = 12.5\n[agents]\ncount = 7\n"
    swarm(launcher, "run", plan)
    [body] = plane.bodies("/swarms")
    assert (body["agents"], body["model"]) == (7, "rehearsal:rehearsal")
    assert (body["budget_nano_usd"], body["budget_tokens"]) == (12_500_000_000, None)
    assert body["plan"]["tasks"][0]["id"] == "scaffold"
    assert body["config"]["gates"]["commands"]["tests"]["run"] == "pytest"


def test_a_plan_that_needs_a_gate_the_project_has_not_is_refused_before_anything_starts(tmp_path, swarm: Swarm, plan):
    plane = FakePlane([sample.status("landed")])
    launcher = FakeLauncher(tmp_path, plane)
    plan.write_text(plan.read_text().replace("tests", "test"))
    ran = swarm(launcher, "run", plan)
    assert ran.code == 2
    assert "`test` is no gate of this project" in ran.err
    assert "did you mean `tests`?" in ran.err
    assert plane.bodies("/swarms") == []
    launcher.config = 'gates = "none"\n[project]\nname = "p"\n'
    assert swarm(launcher, "run", plan).code == 0


def test_options_win_over_the_configuration(tmp_path, swarm: Swarm, plan):
    plane = FakePlane([sample.status("landed")])
    launcher = FakeLauncher(tmp_path, plane)
    swarm(
        launcher, "run", plan, "--agents", 3, "--budget", "$0.000000001", "--tokens", "1.5M", "--model", "openai:gpt-5"
    )
    [body] = plane.bodies("/swarms")
    assert (body["agents"], body["model"]) == (3, "openai:gpt-5")
    assert (body["budget_nano_usd"], body["budget_tokens"]) == (1, 1_500_000)
    assert launcher.started == [{"work": True, "port": 0, "model": "openai:gpt-5"}]


@pytest.mark.parametrize(("asked", "places"), [(30, 30), (3, 12)])
def test_the_worker_of_the_run_has_a_place_for_every_agent_asked_for(tmp_path, swarm: Swarm, plan, asked, places):
    launcher = FakeLauncher(tmp_path, FakePlane([sample.status("landed")]))
    swarm(launcher, "run", plan, "--agents", asked)
    assert launcher.counts == [places]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--budget", "lots", "is not an amount of dollars"),
        ("--budget", "-1", "is not between 0 and 1,000,000 dollars"),
        ("--budget", "NaN", "is not between"),
        ("--budget", "0.0000000001", "more than nine decimal places"),
        ("--tokens", "few", "is not a number of tokens"),
        ("--tokens", "0", "above 0"),
        ("--tokens", "k", "is not a number of tokens"),
        ("--agents", "0", "1<=x<=1000"),
        ("--model", "gpt-5", "neither rehearsal nor provider:model"),
    ],
)
def test_a_bad_value_is_a_usage_error_and_nothing_starts(tmp_path, swarm: Swarm, plan, option, value, said):
    launcher = FakeLauncher(tmp_path, FakePlane([sample.status("landed")]))
    ran = swarm(launcher, "run", plan, option, value)
    assert ran.code == 2
    assert said in ran.err
    assert launcher.started == []


def test_a_plan_with_errors_is_refused_with_every_mend(tmp_path, swarm: Swarm, plan):
    plan.write_text(plan.read_text().replace("gates: [scope, tests]", "depends_on: [nothing]\n    gates: [scope]"))
    launcher = FakeLauncher(tmp_path, FakePlane([sample.status("landed")]))
    ran = swarm(launcher, "run", plan)
    assert ran.code == 2
    assert "nothing" in ran.err
    assert "mend:" in ran.err
    assert launcher.started == []


def test_a_plan_that_is_not_there_is_an_error_not_a_traceback(tmp_path, swarm: Swarm):
    ran = swarm(FakeLauncher(tmp_path), "run", "nowhere.yaml")
    assert ran.code == 2
    assert "nowhere.yaml" in ran.err
    assert "Traceback" not in ran.err


def test_uncommitted_work_is_refused_unless_it_is_allowed(tmp_path, swarm: Swarm, plan):
    (tmp_path / "dirty").touch()
    launcher = FakeLauncher(tmp_path, FakePlane([sample.status("landed")]))
    assert swarm(launcher, "run", plan).code == 2
    assert swarm(launcher, "run", plan, "--allow-dirty").code == 0


def test_a_refusal_of_the_control_plane_is_printed_with_its_mend(tmp_path, swarm: Swarm, plan):
    plane = FakePlane([sample.status()])
    plane.errors["swarms"] = RejectedError("it cannot do that", where="--model rehearsal", mend="name a real model")
    ran = swarm(FakeLauncher(tmp_path, plane), "run", plan)
    assert ran.code == 2
    assert "--model rehearsal: it cannot do that\n  mend: name a real model" in ran.err


def test_an_error_that_quotes_an_agent_cannot_drive_the_terminal(tmp_path, swarm: Swarm, plan):
    plane = FakePlane([sample.status()])
    plane.errors["swarms"] = RejectedError("it says \x1b]0;mine\x07 and \u202eback", mend="read\nit")
    ran = swarm(FakeLauncher(tmp_path, plane), "run", plan)
    assert "it says  ]0;mine  and  back" in ran.err
    assert "mend: read\nit" in ran.err


def test_errors_are_json_when_json_is_asked_for(tmp_path, swarm: Swarm):
    launcher = FakeLauncher(tmp_path, refuses=NotFoundError("no swarm.toml", where="/x", mend="swarm init"))
    ran = swarm(launcher, "status", "--json")
    assert ran.code == 2
    assert json.loads(ran.out) == {"error": "not_found", "what": "no swarm.toml", "where": "/x", "mend": "swarm init"}


class Secret(BaseModel):
    value: Annotated[str, Field(max_length=4)]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda: Path("/no/such/file").read_text(), "/no/such/file: this machine refuses it: No such file"),
        (lambda: Secret(value="hidden"), "value: String should have at most 4 characters"),
    ],
)
def test_what_no_command_foresaw_is_said_without_a_traceback_and_without_the_value(tmp_path, swarm: Swarm, fault, said):
    launcher = FakeLauncher(tmp_path)
    launcher.project = lambda _path: fault()
    ran = swarm(launcher, "status")
    assert (ran.code, said in ran.err, "mend:" in ran.err) == (EXIT_INFRASTRUCTURE, True, True), ran.err
    assert "hidden" not in ran.err
    ran = swarm(launcher, "status", "--json")
    assert (ran.code, json.loads(ran.out)["error"]) == (EXIT_INFRASTRUCTURE, "unavailable")


def test_a_fault_of_the_programs_own_is_not_taken_for_one_of_its_surroundings(tmp_path, swarm: Swarm):
    launcher = FakeLauncher(tmp_path)
    launcher.project = lambda _path: int("no number")
    with pytest.raises(ValueError, match="no number"):
        swarm(launcher, "status")


def test_the_problems_of_a_document_are_json_too(tmp_path, swarm: Swarm, plan):
    plan.write_text(
        plan.read_text().replace("gates: [scope, tests]", "gates: []").replace("kind: scaffold", "kinds: x")
    )
    for command in ("check", "run"):
        ran = swarm(FakeLauncher(tmp_path), command, plan, "--json")
        said = json.loads(ran.out)
        assert (ran.code, said["error"], said["where"]) == (2, "invalid_document", str(plan))
        assert {"line", "what", "mend"} == set(said["problems"][0])
        assert any("kinds" in one["what"] and one["line"] == 8 for one in said["problems"])


@pytest.mark.parametrize("arguments", [["status", "--jsno", "--json"], ["run", "--json"], ["bake", "--json"]])
def test_a_wrong_command_line_is_json_too(tmp_path, swarm: Swarm, arguments):
    ran = swarm(FakeLauncher(tmp_path), *arguments)
    said = json.loads(ran.out)
    assert (ran.code, said["error"], ran.err) == (2, "usage", "")
    assert said["what"]
    assert said["mend"]


def test_a_control_plane_that_gives_up_ends_the_command(tmp_path, swarm: Swarm, plan):
    launcher = FakeLauncher(tmp_path, FakePlane([sample.status()]), gives_up="the worker died 5 times in a row: oh")
    ran = swarm(launcher, "run", plan)
    assert ran.code == 4
    assert "the worker died 5 times in a row: oh" in ran.err
    assert "swarm resume" in ran.err


def test_a_running_control_plane_is_used(tmp_path, swarm: Swarm, plan):
    launcher = FakeLauncher(tmp_path, FakePlane([sample.status("landed")]), running=True)
    assert swarm(launcher, "run", plan).code == 0
    assert launcher.started == []


def test_json_is_the_final_status_alone(tmp_path, swarm: Swarm, plan):
    events = [sample.event(1, "swarm.created", tasks=1, agents=1, model="rehearsal:rehearsal")]
    launcher = FakeLauncher(tmp_path, FakePlane([sample.status(), sample.status("landed")], events))
    ran = swarm(launcher, "run", plan, "--json")
    assert json.loads(ran.out)["state"] == "landed"
    assert ran.code == 0


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_stops_in_order(tmp_path, swarm: Swarm, plan):
    stopped = sample.status("stopped", reason="person")
    plane = FakePlane([sample.status()], after_stop=[stopped], on_wait=[_interrupt])
    ran = swarm(FakeLauncher(tmp_path, plane), "run", plan)
    assert plane.bodies("/stop") == [{"reason": "person"}]
    assert ran.code == 130
    assert "Stopping in order" in ran.out
    assert f"swarm resume {sample.SWARM}" in ran.out


def test_ctrl_c_of_what_is_stopping_already_waits_for_its_end(tmp_path, swarm: Swarm, plan):
    stopped = sample.status("stopped", reason="person")
    plane = FakePlane([sample.status("stopping")], after_stop=[stopped], on_wait=[_interrupt])
    ran = swarm(FakeLauncher(tmp_path, plane), "run", plan)
    assert (ran.code, ran.err) == (130, "")
    assert f"swarm resume {sample.SWARM}" in ran.out


def test_a_second_ctrl_c_leaves_at_once(tmp_path, swarm: Swarm, plan):
    plane = FakePlane([sample.status()], on_wait=[_interrupt])
    stop = plane._stop

    def stop_and_interrupt() -> None:
        stop()
        _interrupt()

    plane._stop = stop_and_interrupt
    ran = swarm(FakeLauncher(tmp_path, plane), "run", plan)
    assert ran.code == 130
    assert "Leaving now" in ran.out
    assert plane.now.state == "stopping"


def test_ctrl_c_only_stops_watching_what_somebody_else_runs(tmp_path, swarm: Swarm, plan):
    plane = FakePlane([sample.status()], on_wait=[_interrupt])
    ran = swarm(FakeLauncher(tmp_path, plane, running=True), "run", plan)
    assert ran.code == 130
    assert "The swarm goes on" in ran.out
    assert plane.bodies("/stop") == []


def test_resume_goes_on_with_the_newest_that_has_not_landed(tmp_path, swarm: Swarm):
    swarms = [
        sample.summary("landed", "swm_new"),
        sample.summary("stopped", "swm_middle", age_h=1),
        sample.summary("blocked", "swm_old", age_h=2),
    ]
    plane = FakePlane([sample.status(), sample.status("landed")], swarms=swarms)
    ran = swarm(FakeLauncher(tmp_path, plane), "resume", "--budget", "3", "--calls", "900", "--retry-blocked")
    assert ran.code == 0
    assert [path for method, path, _ in plane.requests if method == "POST"] == ["/api/v1/swarms/swm_middle/resume"]
    assert plane.bodies("/resume") == [{"budget_nano_usd": 3 * 10**9, "budget_calls": 900, "retry_blocked": True}]


def test_resume_says_when_there_is_nothing_to_resume(tmp_path, swarm: Swarm):
    plane = FakePlane([sample.status("landed")], swarms=[sample.summary("landed")])
    ran = swarm(FakeLauncher(tmp_path, plane), "resume")
    assert ran.code == 2
    assert "has landed" in ran.err


def test_resume_does_not_tell_the_past_again(tmp_path, swarm: Swarm):
    events = [
        sample.event(1, "task.blocked", "old-news", reason="then"),
        sample.event(2, "change.landed", "new-news", commit="abc"),
    ]
    ran = swarm(FakeLauncher(tmp_path, FakePlane([sample.status("blocked", version=1)], events)), "resume")
    assert "new-news" in ran.out
    assert "old-news" not in ran.out


def test_serve_and_worker_are_handed_on(tmp_path: Path, swarm: Swarm):
    launcher = FakeLauncher(tmp_path)
    assert swarm(launcher, "serve", "--port", 8123).code == 0
    urls = ("http://127.0.0.1:1", "http://127.0.0.1:2")
    assert swarm(launcher, "worker", "--url", urls[0], "--url", urls[1], "--name", "w2").code == 0
    assert launcher.served == [("task-management", 8123), ("task-management", urls, "w2")]


def test_a_worker_may_be_given_more_places_than_the_configuration_has(tmp_path: Path, swarm: Swarm):
    launcher = FakeLauncher(tmp_path)
    assert swarm(launcher, "worker", "--url", "http://127.0.0.1:1", "--agents", 48).code == 0
    assert swarm(launcher, "worker", "--url", "http://127.0.0.1:1").code == 0
    assert launcher.counts == [48, 12]


def test_a_worker_needs_an_address_and_a_name_that_makes_a_folder(tmp_path: Path, swarm: Swarm):
    launcher = FakeLauncher(tmp_path)
    assert "--url" in swarm(launcher, "worker").err
    refused = swarm(launcher, "worker", "--url", "http://127.0.0.1:1", "--name", "../up")
    assert refused.code == 2
    assert "cannot name a worker" in refused.err
    for url in ("http://[::1", "http://h:port", "http://h:99999", "127.0.0.1:1", "http://"):
        refused = swarm(launcher, "worker", "--url", "http://127.0.0.1:1", "--url", url)
        assert refused.code == 2
        assert f"--url: {url!r} is not the address of a control plane" in refused.err
    assert launcher.served == []
