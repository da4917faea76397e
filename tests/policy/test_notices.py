from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmworks.base.ids import SwarmId
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.notice import ItemKind, Severity
from swarmworks.policy.ledger import used_percent
from swarmworks.policy.notices import KINDS, MOST_TEXT, MOST_TITLE, Happened, notice_of

AT = datetime(2026, 3, 1, tzinfo=UTC)
PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=40)
JSON = PLAIN | st.lists(PLAIN, max_size=2) | st.dictionaries(st.text(max_size=4), PLAIN, max_size=2)
FIELDS = ("reason", "question", "review", "text", "gate", "subject", "percent", "branch", "first", "channel", "about")


def happened(kind, task=None, **data):
    return Happened(kind, SwarmId("swm_1"), 3, AT, task, data)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(sorted(KINDS)) | st.text(max_size=20),
    task=st.none() | st.text(max_size=300),
    data=st.dictionaries(st.sampled_from(FIELDS), JSON),
)
def test_whatever_an_event_holds_its_notice_is_bounded_one_title_and_plain(kind, task, data):
    notice = notice_of(happened(kind, task, **data))
    if notice is None:
        return
    assert kind in KINDS
    assert 0 < len(notice.title) <= MOST_TITLE
    assert notice.title.isprintable()
    assert len(notice.text) <= MOST_TEXT
    assert all(letter in "\n\t" or letter >= " " for letter in notice.text)
    assert notice.command.startswith("swarm ")


@settings(deadline=None)
@given(value=st.text(max_size=60))
def test_no_text_of_an_agent_reaches_a_command_to_type(value):
    notice = notice_of(happened("review.asked", "t", review=value))
    assert notice is not None
    rest = notice.command.removeprefix("swarm ")
    assert rest == "inbox" or (rest.split(" ")[0] == "approve" and rest.split(" ")[1].replace("_", "").replace("-", "").isalnum())  # fmt: skip


@pytest.mark.parametrize(
    ("event", "severity", "item", "said"),
    [
        (happened("task.blocked", "users", reason="3 attempts"), "warning", ItemKind.TASK, "swarm inbox"),
        (happened("swarm.blocked", reason="2 blocked"), "urgent", ItemKind.SWARM, "swarm inbox"),
        (happened("swarm.stopped", reason="budget"), "urgent", ItemKind.SWARM, "swarm resume swm_1 --budget USD"),
        (happened("swarm.stopped", reason="deadline"), "urgent", ItemKind.SWARM, "swarm resume swm_1"),
        (happened("question.asked", "users", question="qst_1", text="Which?"), "warning", ItemKind.QUESTION, 'swarm answer qst_1 "..."'),
        (happened("review.asked", "users", review="rev_1", gate="payments"), "warning", ItemKind.REVIEW, "swarm approve rev_1"),
        (happened("review.advised", "users", review="rev_1", of="a model", advice="a risk"), "warning", ItemKind.REVIEW, "swarm approve rev_1"),
        (happened("budget.warning", percent=91), "warning", None, "swarm status swm_1"),
        (happened("budget.warning", percent=91, of="day", subject="shop/2026-11-28"), "warning", None, "swarm status swm_1"),
        (happened("budget.warning", percent=91, of="agent", subject="swm_1/shop/api-1"), "warning", None, "swarm status swm_1"),
        (happened("budget.paused", period="day", percent=91, until="2026-11-29T00:00+00:00"), "warning", None, "swarm status swm_1"),
        (happened("swarm.landed"), "info", None, "swarm report swm_1"),
        (happened("delivery.ready", branch="main"), "info", None, "swarm deliver swm_1"),
        (happened("delivery.failed", branch="main", reason="conflict"), "warning", None, "swarm deliver swm_1"),
        (happened("plant.failed", reason="the worker died 5 times"), "urgent", None, "swarm resume swm_1"),
        (happened("chain.broken", first=4), "urgent", None, "swarm report swm_1"),
        (happened("notice.failed", channel="mail", about="task.blocked"), "warning", None, "swarm doctor"),
    ],
)  # fmt: skip
def test_what_is_told_how_urgently_and_what_to_type(event, severity, item, said):
    notice = notice_of(event)
    assert notice is not None
    assert notice.severity == Severity(severity)
    assert (notice.item.kind if notice.item else None) == item
    assert notice.command == said
    reason = event.data.get("reason")
    assert reason is None or str(reason) in f"{notice.title} {notice.text}"


@pytest.mark.parametrize(
    "event",
    [
        happened("swarm.stopped", reason="person"),
        happened("swarm.created"),
        happened("review.asked", "users", review="rev_1", of="a model"),
        happened("review.advised", "users", review="rev_1", of="ann"),
        happened("session.message", "users", text="blocked!"),
        happened("notice.failed", channel="mail", about="notice.failed"),
        happened("task.blocked", "users", question="qst_1", reason="asks: which?"),
    ],
)
def test_what_nobody_need_be_told(event):
    assert notice_of(event) is None


def test_a_secret_in_a_reason_is_not_told():
    notice = notice_of(happened("task.blocked", "users", reason="key sk-abcdefghijklmnopqrstuvwx is refused"))
    assert notice is not None
    assert "sk-abc" not in json.dumps([notice.title, notice.text])


@pytest.mark.parametrize(
    ("limit", "spent", "percent"),
    [
        (Limit(), Amount(10, 10), 0),
        (Limit(1000, None), Amount(899, 10**9), 89),
        (Limit(1000, None), Amount(900, 0), 90),
        (Limit(1000, 100), Amount(0, 95), 95),
        (Limit(0, None), Amount(), 100),
    ],
)
def test_the_dimension_nearest_to_its_limit_counts(limit, spent, percent):
    assert used_percent(limit, spent) == percent


def test_a_warning_names_what_is_nearly_used_up_and_a_session_s_is_for_the_record_only():
    told = notice_of(happened("budget.warning", percent=92, of="month", subject="shop/2026-11"))
    assert told.title == "The month 2026-11 has used 92 % of its budget"
    assert notice_of(happened("budget.warning", percent=92, of="session", subject="ses_1")) is None


def test_a_provider_that_is_out_is_urgent_only_where_a_person_is_needed():
    failing = notice_of(happened("provider.unavailable", account="p", reason="failing", wait_s=5))
    assert (failing.severity, failing.title) == ("warning", "The provider p does not answer")
    assert "asked again in 5 s" in failing.text
    refused = notice_of(happened("provider.unavailable", account="p/two", model=None, reason="key_refused"))
    assert (refused.severity, refused.command) == ("urgent", "swarm doctor")
    back = notice_of(happened("provider.answers", account="p", model="m"))
    assert (back.severity, back.title) == ("info", "The provider p answers again with m")
