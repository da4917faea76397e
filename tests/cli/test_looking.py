"""status, logs, report and stop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from swarmworks.base.errors import ConflictError
from swarmworks.cli.view.phrases import phrase
from tests.cli import sample
from tests.cli.conftest import Swarm
from tests.cli.fakes import FakeLauncher, FakePlane

ROOT = Path(__file__).parents[2]
ARGUMENTS = "{'path': 'app/api/user.py', 'start_line': '1'}"
EVENTS = [
    sample.event(1, "swarm.created", tasks=55, agents=12, model="rehearsal:rehearsal"),
    sample.event(2, "session.tool_call", "tests-user", actor="agent:testing-1", tool="read_file", arguments=ARGUMENTS),
    sample.event(3, "task.blocked", "tests-user", at_s=61, reason="rejected 3 times"),
    sample.event(4, "swarm.blocked", at_s=62, reason="1 blocked, 0 waiting for them"),
]


def test_status_of_what_is_running_shows_who_does_what(tmp_path, swarm: Swarm):
    agents = (sample.agent("api-1", "endpoint-user", "edit_file app/api/user.py"), sample.agent("api-2"))
    now = sample.status(agents=agents, building="schema-task", queue=("docs",), tests=214, coverage_percent=93.14)
    ran = swarm(FakeLauncher(tmp_path, FakePlane([now]), running=True), "status")
    assert ran.code == 0
    assert "Task Management: running for 4 min 12 s" in ran.out
    assert "55: 32 waiting, 3 running, 20 landed" in ran.out
    assert "api-1" in ran.out
    assert "edit_file app/api/user.py" in ran.out
    assert "api-2" not in ran.out
    assert "schema-task, 1 waiting" in ran.out
    assert "214, coverage 93.1 %" in ran.out


def test_status_says_that_nobody_works_on_an_interrupted_swarm(tmp_path, swarm: Swarm):
    launcher = FakeLauncher(tmp_path, FakePlane([sample.status()]))
    ran = swarm(launcher, "status")
    assert "interrupted" in ran.out
    assert f"swarm resume {sample.SWARM}" in ran.out
    assert launcher.started == [{"work": False, "port": 0, "model": None}]


def test_printed_commands_work_from_elsewhere(tmp_path, swarm: Swarm):
    project = tmp_path / "my project"
    project.mkdir()
    ran = swarm(FakeLauncher(project, FakePlane([sample.status("landed")])), "status", "-C", project)
    assert "swarm deliver -C 'my project'" in ran.out
    assert "swarm report -C 'my project'" in ran.out


def test_queue_shows_what_waits_and_why(tmp_path, swarm: Swarm):
    rows = (
        sample.queued(1, "schema-user", "judged", "its gates run on the merged tree", 40.0),
        sample.queued(2, "endpoint-user", "waiting", "conflicts with schema-user, which may land first", 100.0),
    )
    plane = FakePlane([sample.status()], queue=sample.queue(*rows))
    lines = swarm(FakeLauncher(tmp_path, plane, running=True), "queue").out.splitlines()
    assert (
        lines[0]
        == "2 on the way to the branch, which is at aaaaaaaaaa; 5.0 % fail, a run of the gates takes 1 min 02 s"
    )
    assert lines[1].split() == [
        "1",
        "schema-user",
        "judged",
        "its",
        "gates",
        "run",
        "on",
        "the",
        "merged",
        "tree",
        "about",
        "40",
        "s",
    ]
    assert "conflicts with schema-user" in lines[2]
    plane.queue = sample.queue(*rows, frozen="tests fails since 12345, pushed by Ada")
    frozen = swarm(FakeLauncher(tmp_path, plane, running=True), "queue").out
    assert "nothing lands: tests fails since 12345, pushed by Ada" in frozen
    assert "about" not in frozen
    plane.queue = sample.queue()
    assert "nothing waits to land" in swarm(FakeLauncher(tmp_path, plane, running=True), "queue").out
    as_json = swarm(FakeLauncher(tmp_path, plane, running=True), "queue", "--json").out
    assert json.loads(as_json) == plane.queue.model_dump(mode="json")


def test_status_as_json_is_the_status(tmp_path, swarm: Swarm):
    ran = swarm(FakeLauncher(tmp_path, FakePlane([sample.status()])), "status", "--json")
    assert json.loads(ran.out) == sample.status().model_dump(mode="json")


def test_a_swarm_is_named_by_a_part_of_its_id(tmp_path, swarm: Swarm):
    swarms = [sample.summary(swarm_id="swm_aaa"), sample.summary(swarm_id="swm_aab", age_h=1)]
    plane = FakePlane([sample.status()], swarms=swarms)
    assert swarm(FakeLauncher(tmp_path, plane), "status", "aab").code == 0
    assert plane.requests[-1][1].endswith("/swm_aab")
    ran = swarm(FakeLauncher(tmp_path, plane), "status", "aa")
    assert (ran.code, "could be any of swm_aaa, swm_aab" in ran.err) == (2, True)
    ran = swarm(FakeLauncher(tmp_path, plane), "status", "zzz")
    assert (ran.code, "there is no swarm 'zzz'" in ran.err) == (2, True)


@pytest.mark.parametrize("command", ["status", "logs", "report", "resume"])
def test_a_project_without_a_swarm_says_how_to_begin(tmp_path, swarm: Swarm, command):
    ran = swarm(FakeLauncher(tmp_path, FakePlane([sample.status()], swarms=[])), command)
    assert ran.code == 2
    assert "mend: make a plan with `swarm plan`" in ran.err


def test_logs_are_one_line_an_event_in_words(tmp_path, swarm: Swarm):
    ran = swarm(FakeLauncher(tmp_path, FakePlane([sample.status("blocked")], EVENTS)), "logs")
    lines = [line[10:] for line in ran.out.splitlines()]
    assert lines == [
        "swarm         started: 55 tasks, 12 agents, rehearsal:rehearsal",
        "tests-user    testing-1: read_file app/api/user.py",
        "tests-user    blocked: rejected 3 times",
        "swarm         blocked: 1 blocked, 0 waiting for them",
    ]


def test_logs_by_task_and_kind(tmp_path, swarm: Swarm):
    launcher = FakeLauncher(tmp_path, FakePlane([sample.status("blocked")], EVENTS))
    by_task = swarm(launcher, "logs", "--task", "tests-user", "--json").out.splitlines()
    assert [json.loads(line)["seq"] for line in by_task] == [2, 3]
    by_group = swarm(launcher, "logs", "--kind", "swarm", "--json").out.splitlines()
    assert [json.loads(line)["seq"] for line in by_group] == [1, 4]
    by_kind = swarm(launcher, "logs", "--kind", "task.blocked", "--json").out.splitlines()
    assert [json.loads(line)["seq"] for line in by_kind] == [3]


def test_logs_of_a_running_swarm_end_unless_they_are_followed(tmp_path, swarm: Swarm):
    ran = swarm(FakeLauncher(tmp_path, FakePlane([sample.status()], EVENTS), running=True), "logs")
    assert len(ran.out.splitlines()) == len(EVENTS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("{'path': '.'}", "a-1: tool ."),
        ("{}", "a-1: tool"),
        ("{'command': \"echo 'x'\", 'timeout_s': '3'}", "a-1: tool echo 'x'"),
        ("{'command': 'cut off in the mid", "a-1: tool 'command': 'cut off in the mid"),
    ],
)
def test_a_tool_call_shows_its_first_argument(arguments, said):
    call = sample.event(1, "session.tool_call", "t", actor="agent:a-1", tool="tool", arguments=arguments)
    assert phrase(call).text == said


def test_a_reader_that_leaves_is_no_traceback(tmp_path):
    program = (
        "import sys; from pathlib import Path; from swarmworks.cli.app import run; from tests.cli import sample;"
        "from tests.cli.fakes import FakeLauncher, FakePlane;"
        "events = [sample.event(n, 'swarm.landed') for n in range(1, 20000)];"
        "sys.exit(run(FakeLauncher(Path(sys.argv.pop()), FakePlane([sample.status('landed')], events))))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, "logs", tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 4


def test_logs_follow_until_the_swarm_ends(tmp_path, swarm: Swarm):
    plane = FakePlane([sample.status("landed")], EVENTS)
    ran = swarm(FakeLauncher(tmp_path, plane, running=True), "logs", "--follow")
    assert ran.code == 0
    assert len(ran.out.splitlines()) == len(EVENTS)


def test_control_codes_of_an_agent_never_reach_the_terminal(tmp_path, swarm: Swarm):
    bad = [sample.event(1, "session.message", "t", actor="agent:a-1", text="\x1b[2Jgone\nnext\x07")]
    ran = swarm(FakeLauncher(tmp_path, FakePlane([sample.status("landed")], bad)), "logs")
    assert "a-1 says: [2Jgone next" in ran.out
    assert "\x1b" not in ran.out
    assert "\x07" not in ran.out


def test_the_report_goes_to_a_file(tmp_path, swarm: Swarm):
    launcher = FakeLauncher(tmp_path, FakePlane([sample.status("landed")]))
    assert swarm(launcher, "report", "--json", "-o", "report.json").out == "wrote report.json\n"
    assert json.loads((tmp_path / "report.json").read_text()) == sample.report().model_dump(mode="json")
    ran = swarm(launcher, "report", "-o", "no/such/folder.txt")
    assert ran.code == 2
    assert "cannot be written" in ran.err


def test_stop_of_a_session_needs_something_that_runs(tmp_path, swarm: Swarm):
    ran = swarm(FakeLauncher(tmp_path, FakePlane([sample.status()])), "stop", "--session", "a")
    assert ran.code == 2
    assert "nothing is running" in ran.err
    assert "mend:" in ran.err


def test_stop_ends_what_a_crash_left_running_and_begins_no_work_for_it(tmp_path, swarm: Swarm):
    launcher = FakeLauncher(tmp_path, FakePlane([sample.status()]))
    ran = swarm(launcher, "stop")
    assert (ran.code, [one["work"] for one in launcher.started]) == (0, [False])
    assert launcher.plane.bodies("/stop") == [{"reason": "person"}]


def test_stop_of_a_session_without_a_name_stops_nothing(tmp_path, swarm: Swarm):
    plane = FakePlane([sample.status(state="running")])
    for name in ("", "x" * 201):
        ran = swarm(FakeLauncher(tmp_path, plane, running=True), "stop", "--session", name)
        assert (ran.code, "--session" in ran.err, "Traceback" in ran.err) == (2, True, False)
    assert not [one for one in plane.requests if one[0] == "POST"]


def test_stop_stops_the_one_that_runs(tmp_path, swarm: Swarm):
    swarms = [sample.summary("landed", "swm_new"), sample.summary("running", "swm_old", age_h=1)]
    plane = FakePlane([sample.status()], swarms=swarms)
    ran = swarm(FakeLauncher(tmp_path, plane, running=True), "stop")
    assert ran.code == 0
    assert plane.requests[-1] == ("POST", "/api/v1/swarms/swm_old/stop", {"reason": "person"})
    assert "is stopping" in ran.out


def test_stop_says_when_the_newest_has_ended_already(tmp_path, swarm: Swarm):
    plane = FakePlane([sample.status("landed")], swarms=[sample.summary("landed")])
    ran = swarm(FakeLauncher(tmp_path, plane, running=True), "stop")
    assert ran.code == 2
    assert "no swarm is running" in ran.err


def test_a_conflict_of_the_control_plane_is_the_same_error_here(tmp_path, swarm: Swarm):
    plane = FakePlane([sample.status()])
    plane.errors["stop"] = ConflictError("it has just landed")
    ran = swarm(FakeLauncher(tmp_path, plane, running=True), "stop")
    assert (ran.code, ran.err) == (2, "error: it has just landed\n")
