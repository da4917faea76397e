from __future__ import annotations

import io

import pytest
from rich.console import Console

from swarmworks.cli.view.dashboard import PARTS, Facts, News, _cells, frame
from swarmworks.cli.view.live import LiveProgress
from swarmworks.cli.view.phrases import phrase
from swarmworks.cli.view.plain import PlainProgress
from tests.cli import sample

BUSY = [
    sample.agent("api-1", "endpoint-comment-list", "write_file app/api/comment.py", 190),
    sample.agent("testing-1", "tests-endpoint-project-update", "run_command pytest -q\x1b[2J", 170),
    sample.agent("database-1", "schema-label", "", 250),
]
IDLE = [sample.agent(f"api-{number}") for number in range(2, 11)]
FULL = sample.status(
    plan_name="Task Management",
    tasks={"landed": 31, "running": 3, "review": 2, "queued": 2, "blocked": 1, "waiting": 16},
    agents=(*IDLE, *BUSY),
    building="endpoint-user-create",
    queue=("tests-schema-user",),
    tests=214,
    coverage_percent=93.14,
    remaining_s=130.0,
    money=sample.money(limit_nano_usd=5 * sample.NANO, spent_nano_usd=1_230_000_000, held_nano_usd=90_000_000),
)
EVENTS = [
    sample.event(1, "swarm.created", at_s=0, tasks=55, agents=12, model="rehearsal:rehearsal"),
    sample.event(2, "session.tool_call", "schema-label", at_s=100, actor="agent:database-1", tool="read_file"),
    sample.event(3, "change.rejected", "tests-user", at_s=201, summary="2 tests failed", attempts_left=1),
    sample.event(4, "change.landed", "schema-label", at_s=250, commit="0d3e22aa17ff", agent="p/database-1"),
    sample.event(5, "task.blocked", "docs", at_s=251, reason="rejected 3 times"),
]
NEWS = [News(1.0 * event.seq, phrase(event)) for event in EVENTS]


def drawn(facts: Facts, width: int, height: int) -> list[str]:
    return [line.plain.rstrip() for line in frame(facts, width, height)]


def test_a_usual_terminal_shows_everything():
    lines = drawn(Facts(FULL, NEWS), 80, 23)
    text = "\n".join(lines)
    assert lines[0] == "Task Management  running                                  4:12, about 2 min left"
    assert lines[2] == "31 done   2 merging   2 in review   3 at work   1 blocked   16 waiting"
    assert lines[4].startswith("testing-1   tests-endpoint-project-update   1:22  run_command pytest -q")
    assert lines[5].startswith("api-1       endpoint-comment-list           1:02  write_file")
    assert lines[6].startswith("database-1  schema-label                    0:02  starting")
    assert "merging   endpoint-user-create; 1 waiting: tests-schema-user" in text
    assert "tests     214 passed, coverage 93.1 %" in text
    assert "cost      $1.23 of $5.00, and $0.09 held for calls under way" in text
    assert "tokens    1.20M in 412 calls" in text
    assert lines[-1] == "   0:05  docs          blocked: rejected 3 times"


@pytest.mark.parametrize("size", [(40, 11), (60, 15), (80, 23), (140, 39), (300, 80)])
@pytest.mark.parametrize("notice", ["", "Stopping in order: sessions are ended, their work is kept. " * 3])
def test_a_frame_never_outgrows_the_terminal(size, notice):
    width, height = size
    lines = frame(Facts(FULL, NEWS, setting_up_s=3.0, notice=notice), width, height)
    assert len(lines) <= height
    assert max(line.cell_len for line in lines) <= width


def test_what_does_not_fit_is_counted():
    lines = drawn(Facts(FULL, NEWS), 80, 18)
    assert "8 more, idle" in lines
    assert "testing-1" in "\n".join(lines)


def test_setting_up_is_shown_as_a_step_of_its_own():
    assert "set-up    installing the project's tools, only once (1:05)" in drawn(
        Facts(FULL, [], setting_up_s=65), 80, 23
    )


def test_a_swarm_that_has_just_begun():
    empty = sample.status(tasks={}, elapsed_s=0.0, money=sample.money(tokens_spent=0, calls=0))
    lines = drawn(Facts(empty, []), 80, 23)
    assert lines[1].endswith("0 of 0 tasks")
    assert "tests     none yet" in lines


@pytest.mark.parametrize("room", [10, 57, 64, 200])
@pytest.mark.parametrize("tasks", [{"landed": 1}, FULL.tasks, {"waiting": 999, "running": 1}])
def test_the_bar_is_as_long_as_there_is_room_and_shows_every_state(tasks, room):
    cells = _cells(sample.status(tasks=tasks), room)
    assert sum(cells) == room
    for count, (_, states, _) in zip(cells, PARTS, strict=True):
        assert (count > 0) == any(tasks.get(state) for state in states)


def test_the_live_region_is_gone_at_the_end():
    out = io.StringIO()
    now = [0.0]
    console = Console(file=out, force_terminal=True, width=80, height=24, highlight=False)
    with LiveProgress(console, lambda: False, lambda: now[0]) as live:
        live.show(FULL, EVENTS)
        now[0] = 3.0
        live.tick()
        live.say("Stopping in order.")
    text = out.getvalue()
    assert "4:15" in text
    assert "Stopping in order." in text
    assert text.count("\x1b[2K") >= 3 * 15
    assert "\x1b[2J" not in text


def test_plain_lines_are_milestones_once_each_without_control_codes():
    out = io.StringIO()
    with PlainProgress(out) as display:
        display.show(FULL, EVENTS[:3])
        display.tick()
        display.show(FULL, EVENTS[3:])
        display.show(FULL, [])
    assert out.getvalue().splitlines() == [
        "    0:00  swarm: started: 55 tasks, 12 agents, rehearsal:rehearsal",
        "    3:21  tests-user: rejected: 2 tests failed (1 attempt left)",
        "    4:10  schema-label: landed as 0d3e22aa17, by database-1",
        "    4:11  docs: blocked: rejected 3 times",
    ]
