from __future__ import annotations

import io

import pytest

from swarmworks.cli.view.dashboard import PARTS, Facts, News, _cells, frame
from swarmworks.cli.view.phrases import phrase
from swarmworks.cli.view.plain import PlainProgress
from swarmworks.cli.view.seats import Seats
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
    inbox=2,
    money=sample.money(limit_nano_usd=5 * sample.NANO, spent_nano_usd=1_230_000_000, held_nano_usd=290_000_000),
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
    lines = drawn(Facts(FULL, NEWS, seated=Seats().seated(FULL.agents, 7, ""), selected="testing-1"), 80, 24)
    text = "\n".join(lines)
    assert lines[0] == "Task Management  running  2 need you                      4:12, about 2 min left"
    assert lines[1].endswith("  31 of 55 tasks")
    assert lines[2].split("  ")[0] == "done"
    assert [int(number) for number in lines[3].split()] == [31, 2, 2, 3, 0, 1, 0, 16]
    assert "merging  endpoint-user-create is being built; 1 waiting: tests-schema-user" in lines
    assert "tests    214 passed, coverage 93.1 %" in lines
    assert "$1.23 spent, $0.29 held, of $5.00   1.20M tokens" in text
    assert "▸ testing-1   tests-endpoint-project-update    1:22  run_command pytest -q [2J" in lines
    assert "  api-1       endpoint-comment-list            1:02  write_file app/api/comment…" in lines
    assert "  database-1  schema-label                     0:02  starting" in lines
    assert "0:05  docs                      blocked: rejected 3 times" in text
    assert lines[-1] == " i  inbox (2)    a  attach    p  pause    s  stop    ?  help    q  leave"


@pytest.mark.parametrize("size", [(40, 12), (60, 15), (80, 24), (120, 30), (140, 40), (300, 80)])
@pytest.mark.parametrize("notice", ["", "Stopping in order: sessions are ended, their work is kept. " * 3])
def test_a_frame_is_exactly_as_large_as_the_terminal(size, notice):
    width, height = size
    lines = frame(Facts(FULL, NEWS * 30, setting_up_s=3.0, notice=notice), width, height)
    assert len(lines) == height
    assert max(line.cell_len for line in lines) <= width
    assert lines[-1].plain.startswith(" i  inbox")


@pytest.mark.parametrize("size", [(80, 24), (140, 40), (200, 50)])
def test_the_latest_event_is_always_there(size):
    assert any("blocked: rejected 3 times" in line for line in drawn(Facts(FULL, NEWS * 30), *size))


def test_a_wide_terminal_has_agents_and_events_side_by_side():
    lines = drawn(Facts(FULL, NEWS), 140, 40)
    (title,) = [line for line in lines if line.startswith("agents ")]
    assert "3 of 12 at work  events ─" in title
    assert sum(line[2:].startswith(("api-", "testing-", "database-")) for line in lines) == 12


def test_what_does_not_fit_is_counted():
    lines = drawn(Facts(FULL, NEWS), 80, 18)
    assert any(line.endswith("3 of 12 at work, 9 not shown") for line in lines)


def test_columns_stay_where_they_are_when_tasks_move_on():
    before = drawn(Facts(FULL, []), 80, 24)
    moved = FULL.model_copy(
        update={"tasks": {"landed": 55}, "agents": tuple(sample.agent(a.name) for a in FULL.agents)}
    )
    after = drawn(Facts(moved, []), 80, 24)
    assert before[2] == after[2]
    assert [line[:12] for line in before[11:18]] == [line[:12] for line in after[11:18]]


def test_setting_up_is_shown_as_a_step_of_its_own():
    assert "set-up   installing the project's tools, only once (1:05)" in drawn(
        Facts(FULL, [], setting_up_s=65), 80, 23
    )


def test_a_swarm_that_has_just_begun():
    empty = sample.status(tasks={}, elapsed_s=0.0, money=sample.money(tokens_spent=0, calls=0))
    lines = drawn(Facts(empty, []), 80, 23)
    assert lines[1].endswith("0 of 0 tasks")
    assert "tests    none yet" in lines
    assert "cost     $0.00 spent, $0.00 held   0 tokens" in lines


def test_an_agent_keeps_its_row_until_another_one_needs_it():
    seats = Seats()
    first = seats.seated(FULL.agents, 5, "")
    assert {"api-1", "testing-1", "database-1"} <= set(first)
    done = [agent if agent.name != "api-1" else sample.agent("api-1") for agent in FULL.agents]
    assert seats.seated(done, 5, "") == first
    others = [sample.agent(a.name, "t") if a.name in {"api-7", "api-8", "api-9"} else a for a in done]
    later = seats.seated(others, 5, "")
    assert {"testing-1", "database-1", "api-7", "api-8", "api-9"} == set(later)
    assert later.index("testing-1") == first.index("testing-1")


def test_the_selected_agent_always_has_a_row():
    seats = Seats()
    every = [sample.agent(f"api-{number}", "t") for number in range(9)]
    assert "api-8" in seats.seated(every, 3, "api-8")
    assert len(seats.seated(every, 3, "api-7")) == 3


@pytest.mark.parametrize("room", [10, 57, 64, 200])
@pytest.mark.parametrize("tasks", [{"landed": 1}, FULL.tasks, {"waiting": 999, "running": 1}])
def test_the_bar_is_as_long_as_there_is_room_and_shows_every_state(tasks, room):
    cells = _cells(sample.status(tasks=tasks), room)
    assert sum(cells) == room
    for count, (_, states, _) in zip(cells, PARTS, strict=True):
        assert (count > 0) == any(tasks.get(state) for state in states)


async def test_plain_lines_are_milestones_once_each_without_control_codes():
    out = io.StringIO()
    async with PlainProgress(out) as display:
        display.show(FULL, EVENTS[:3])
        display.show(FULL, EVENTS[3:])
        display.show(FULL, [])
    assert out.getvalue().splitlines() == [
        "    0:00  swarm: started: 55 tasks, 12 agents, rehearsal:rehearsal",
        "    3:21  tests-user: rejected: 2 tests failed (1 attempt left)",
        "    4:10  schema-label: landed as 0d3e22aa17, by database-1",
        "    4:11  docs: blocked: rejected 3 times",
    ]
