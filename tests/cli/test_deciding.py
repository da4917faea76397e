"""swarm inbox, approve, reject, answer, retry, cancel, revert, as a script uses them."""

from __future__ import annotations

import json
import sys
from unittest.mock import ANY

import pytest

from swarmworks.base.errors import ConflictError
from swarmworks.cli import approving
from tests.cli import sample
from tests.cli.conftest import Swarm
from tests.cli.fakes import FakeLauncher, FakePlane
from tests.cli.inbox_sample import REVIEW, item


@pytest.fixture
def plane():
    return FakePlane([sample.status("landed")])


@pytest.fixture
def launcher(tmp_path, plane):
    return FakeLauncher(tmp_path, plane)


def test_the_inbox_lists_what_waits_and_how_to_decide_it(launcher, swarm: Swarm):
    ran = swarm(launcher, "inbox")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == "3 things wait for you, the longest waiting first"
    assert "tests-user" in lines[2]
    assert "(12 tasks behind it)" in lines[2]
    assert "k3f9" in lines[3]
    assert "security: Is it safe?" in lines[3]
    assert "swarm inbox tests-user" in ran.out
    assert 'swarm retry tests-user --note "what to mind"' in ran.out


def test_an_empty_inbox_says_so(launcher, plane, swarm: Swarm):
    plane.inbox.items_now = []
    assert swarm(launcher, "inbox").out == "Nothing waits for you.\n"


def test_one_item_is_shown_with_what_was_tried_and_the_difference(launcher, swarm: Swarm):
    ran = swarm(launcher, "inbox", "k3f9")
    assert ran.code == 0
    for expected in ("may decide: Ana", "no objection: fine", "did: Added the user model", "+    # FIXME validate"):
        assert expected in ran.out
    assert "swarm approve k3f9" in ran.out


def test_the_inbox_is_data_with_json(launcher, swarm: Swarm):
    found = json.loads(swarm(launcher, "inbox", "--json").out)
    assert [one["kind"] for one in found["items"]] == ["blocked", "review", "question"]
    assert json.loads(swarm(launcher, "inbox", "k3f9", "--json").out)["item"]["id"] == REVIEW.id


@pytest.mark.parametrize(
    ("arguments", "what", "wanted", "body"),
    [
        (["approve", "k3f9", "--reason", "fine"], "approve", "k3f9", {"reason": "fine"}),
        (["reject", "k3f9", "--reason", "no"], "reject", "k3f9", {"reason": "no"}),
        (["answer", "77zz", "yes,", "list", "them"], "answer", "77zz", {"text": "yes, list them"}),
        (
            ["retry", "tests-user", "--note", "mind", "--model", "openai:gpt-5", "--agent", "api-2"],
            "retry",
            "tests-user",
            {"note": "mind", "model": "openai:gpt-5", "agent": "api-2"},
        ),
        (
            ["cancel", "tests-user", "--reason", "not needed", "--with-dependents"],
            "cancel",
            "tests-user",
            {"reason": "not needed", "with_dependents": True},
        ),
        (
            ["revert", "schema-user", "--reason", "too slow"],
            "revert",
            "schema-user",
            {"reason": "too slow", "repository": ANY},
        ),
    ],
)
def test_each_decision_reaches_the_control_plane_and_says_what_follows(
    launcher, plane, swarm: Swarm, arguments, what, wanted, body
):
    ran = swarm(launcher, *arguments)
    assert ran.code == 0
    assert plane.inbox.did == [(what, wanted, body)]
    assert ran.out == f"{what} is done ({sample.SWARM})\nthe swarm goes on\n"


def test_without_workers_it_says_how_to_go_on(launcher, plane, swarm: Swarm):
    plane.inbox.goes_on = False
    assert f"go on with: swarm resume {sample.SWARM}" in swarm(launcher, "approve", "k3f9").out


def test_who_may_not_decide_is_told_who_may(launcher, plane, swarm: Swarm):
    plane.inbox.forbids = True
    ran = swarm(launcher, "approve", "k3f9")
    assert ran.code == 2
    assert "Bob may not decide the gate security" in ran.err
    assert "mend: ask Ana" in ran.err
    assert json.loads(swarm(launcher, "approve", "k3f9", "--json").out)["error"] == "forbidden"


@pytest.mark.parametrize("arguments", [["reject", "k3f9"], ["cancel", "tests-user"], ["answer", "77zz"]])
def test_words_that_are_needed_are_asked_for(launcher, plane, swarm: Swarm, arguments):
    assert swarm(launcher, *arguments).code == 2
    assert plane.inbox.did == []


TOO_LONG = "a" * 8_001


@pytest.mark.parametrize(
    "arguments",
    [
        ["answer", "77zz", TOO_LONG],
        ["answer", "77zz", TOO_LONG[:5_000], TOO_LONG[:5_000]],
        ["approve", "k3f9", "--reason", TOO_LONG],
        ["reject", "k3f9", "--reason", TOO_LONG],
        ["retry", "tests-user", "--note", TOO_LONG],
        ["retry", "tests-user", "--agent", TOO_LONG],
        ["cancel", "tests-user", "--reason", TOO_LONG],
        ["say", "tests-user", TOO_LONG],
        ["say", "", "hello"],
    ],
)
def test_words_that_are_too_long_or_for_nobody_are_a_usage_error(launcher, plane, swarm: Swarm, arguments):
    ran = swarm(launcher, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "Error: " in ran.err
    assert plane.inbox.did == []


def test_bytes_that_are_no_text_are_sent_as_question_marks(launcher, plane, swarm: Swarm):
    assert swarm(launcher, "answer", "77zz", "caf\udce9").code == 0
    assert plane.inbox.did[0][2] == {"text": "caf?"}


def test_what_was_decided_before_is_told_with_who_and_when(launcher, plane, swarm: Swarm, monkeypatch):
    async def decided(wanted, request):
        raise ConflictError("it was approved by Ana at 2026-11-20 09:00 UTC", where=wanted, mend="see `swarm inbox`")

    monkeypatch.setattr(plane.inbox, "approve", decided)
    ran = swarm(launcher, "approve", "k3f9")
    assert ran.code == 2
    assert "approved by Ana at 2026-11-20 09:00 UTC" in ran.err


@pytest.fixture
def at_terminal(monkeypatch, plane):
    plane.inbox.items_now = [
        item("review", gate="plan", subject="plan", subject_id=sample.SWARM, what="Should it be built?", task_id=None)
    ]
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)

    def says(words):
        async def confirmed(_question):
            return words

        monkeypatch.setattr(approving, "confirmed", confirmed)

    return says


def test_a_plan_that_waits_is_shown_and_run_after_a_yes(launcher, plane, swarm: Swarm, plan, at_terminal):
    at_terminal(True)
    ran = swarm(launcher, "run", plan)
    assert "plan: Should it be built?" in ran.out
    assert "scaffold: The scaffold" in ran.out
    assert [(what, body) for what, _, body in plane.inbox.did] == [("approve", {"reason": "approved at the terminal"})]
    assert ran.code == 0


def test_a_plan_that_is_not_approved_does_not_run_and_says_how_it_could(
    launcher, plane, swarm: Swarm, plan, at_terminal
):
    at_terminal(False)
    ran = swarm(launcher, "run", plan)
    assert ran.code == 1
    assert "swarm approve k3f9" in ran.out
    assert plane.inbox.did == []
