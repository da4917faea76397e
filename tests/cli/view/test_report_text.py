from __future__ import annotations

import pytest

from swarmworks.cli.view.report_text import report_text
from swarmworks.wire.report import AccessReport, RejectionReport
from tests.cli import sample

WHOLE = """\
Task Management: landed

  Swarm                swm_1a2b3c4d5e6f7g8h of task-management, plan
                       task-management
  Model                rehearsal:rehearsal (a rehearsal: no model was asked)
  Started              2026-11-20 09:00:00 UTC
  Duration             4 min 12 s
  Tasks                3 of 4 done
  Tests                214, all passed
  Coverage             93.1 %
  Model calls          412, 1 of them charged in full, their use unknown
  Tokens               1,100,000 in, 104,500 out
  Cost                 $0.25, with $0.50 at the peak; limit $2.00
  Lines                3,350 added, 12 removed
  Issues found         4 changes sent back by the gates or the merge queue
  Issues fixed         1 task landed at a later attempt
  Human interventions  1
  Event log            5,210 events, chain intact
  Branch               swarm/swm_1a2b3c4d5e6f7g8h, 0000000000..8af13b0c55

Tasks by kind
  kind                tasks  done  blocked  sessions
  scaffold                1     1        0         1
  implement database      1     1        0         1
  implement endpoint      1     1        0         2
  write tests             1     0        1         3

Agents
  agent       sessions  landed  first try  calls  tokens   cost
  api-1              3       2        50%     41  120.4k  $0.25
  database-1         1       1       100%      9     940  $0.00

Gates
  gate      passed  failed  could not run  ran nothing  cached
  coverage       9       0              0            0       0
  tests         20       3              1            0       2

Code
  Files                41, 3,120 lines, 2,204 of source
  Maintainability      71.4 of 100 on average, worst 52.0 in app/models/task.py
  Complexity           2.3 on average, worst 9 in app/models/task.py list_page
  Technical debt       1.5 h
                       how: 30 min for each function above 10, 60 min for each
                       file below 20
  Measured             radon on the Python files of the landed tree

Needs attention
  tests-user: rejected 3 times"""


def text(**changed) -> str:
    return "\n".join(report_text(sample.report(**changed)))


def test_the_whole_report():
    assert text() == WHOLE


def test_what_was_not_measured_is_said_so():
    said = text(tests=None, coverage_percent=None, code=None, code_note="not measured: no Python", limit_nano_usd=None)
    assert "Tests                not measured" in said
    assert "Coverage             not measured" in said
    assert "Code\n  not measured: no Python" in said
    assert "no limit" in said


def test_nothing_in_it_steers_the_terminal():
    code = sample.report().code
    assert code is not None
    named = code.model_copy(update={"maintainability_worst": "a\x9b2Jb.py", "complexity_worst": "c\x1b[2J.py:d"})
    said = text(plan_name="e\x9b2J", reason="f\x9b2J", code=named, code_note="g\x9b2J")
    assert all(letter == "\n" or letter.isprintable() for letter in said)
    assert "a 2Jb.py" in said
    assert "g 2J" in text(code=None, code_note="g\x9b2J")


def test_a_broken_chain_cannot_be_overlooked():
    assert "chain BROKEN" in text(chain_intact=False)


def test_what_was_asked_for_outside_is_told():
    asked = AccessReport(to="evil.example:443", verdict="refused", reason="no rule", times=3, tasks=("t0", "t1"))
    said = text(accesses=(asked,))
    assert "Asked for outside the sandboxes\n" in said
    assert "refused: evil.example:443, 3 times (t0, t1): no rule" in said


def test_a_real_model_is_not_called_a_rehearsal():
    assert "rehearsal" not in text(model="openai:gpt-5")


@pytest.mark.parametrize("summary", ["1 of 9 tests failed", "tests: 1 of 9 tests failed"])
def test_a_rejection_names_its_gate_once(summary):
    one = RejectionReport(
        at_s=61, task_id="books", agent="api-1", attempt=1, kind="gate_failed", gate="tests", summary=summary
    )
    assert "     1:01  books, tests: 1 of 9 tests failed" in text(rejected=(one,)).splitlines()
