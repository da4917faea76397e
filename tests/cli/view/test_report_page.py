from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from swarmworks.base.ids import TaskId
from swarmworks.cli.view.phrases import phrase
from swarmworks.cli.view.report_charts import graph
from swarmworks.cli.view.report_page import report_html, report_markdown
from swarmworks.cli.view.report_text import report_text
from swarmworks.wire.api import SandboxReport
from swarmworks.wire.report import (
    AccessReport,
    CostPoint,
    IncidentReport,
    InterventionReport,
    IssueReport,
    RejectionReport,
    SpanReport,
)
from tests.cli import sample

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> | `x` \x1b[2J"


def span(number, agent="api-1", **more):
    facts = {
        "session_id": f"ses_{number}",
        "agent": agent,
        "task_id": "schema-user",
        "attempt": 1,
        "start_s": number * 10.0,
        "end_s": number * 10.0 + 8.0,
        "outcome": "submitted",
        "tokens": 1_000,
        "cost_nano_usd": 5_000_000,
    }
    return SpanReport(**(facts | more))


STORY = {
    "rejected": (
        RejectionReport(
            at_s=61,
            task_id="endpoint-user-create",
            agent="api-1",
            attempt=1,
            kind="gate_failed",
            gate="tests",
            file="app/api/user.py",
            line=12,
            summary="expected 409, got 500",
            changed=("app/api/user.py",),
            changed_more=2,
            became="landed",
        ),
    ),
    "issues": (
        IssueReport(found_by="tests-user", fix="fix-tests-user", what="no 404", state="landed", commit="ab" * 20),
    ),
    "interventions": (
        InterventionReport(at_s=70, person="ada", what="approved at security", why="read it", task_id="schema-user"),
    ),
    "incidents": (IncidentReport(at_s=80, kind="session lost", what="its worker stood still", agent="api-1"),),
    "accesses": (
        AccessReport(
            to="evil.example:443", verdict="refused", reason="no rule", times=3, tasks=("endpoint-user-create",)
        ),
    ),
    "timeline": (span(0), span(1, agent="database-1", outcome="lost"), span(2, attempt=2)),
    "costs": (
        CostPoint(at_s=0, spent_nano_usd=0, tokens=0),
        CostPoint(at_s=8, spent_nano_usd=5_000_000, tokens=1_000),
        CostPoint(at_s=28, spent_nano_usd=10_000_000, tokens=2_000),
    ),
}
FULL = sample.report(**STORY)
SECTIONS = [
    "Tasks",
    "Who worked when",
    "Agents",
    "Cost",
    "Gates",
    "Rejections",
    "Issues",
    "Who stepped in",
    "Incidents",
    "Outside",
    "Code",
    "Record",
]


class Page(HTMLParser):
    """What a browser would find: the open elements must match, and the text is kept."""

    VOID = frozenset({"meta", "br", "img", "link", "input"})

    def __init__(self, html):
        super().__init__()
        self.stack, self.tags, self.words, self.attributes = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.stack[-1] == tag, f"</{tag}> closes nothing"
        self.stack.pop()

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_the_page_has_every_part_and_the_right_numbers():
    page = Page(report_html(FULL))
    assert page.stack == []
    for section in SECTIONS:
        assert section in page.text
    for fact in (
        "3 of 4",
        "214 all passed",
        "93.1 %",
        "$0.25 of $2.00",
        "1 calls were charged in full",
        "app/api/user.py:12",
        "and 2 more landed",
        "fix-tests-user abababab",
        "1:10 ada approved at security read it schema-user",
        "session lost its worker stood still",
        "evil.example:443 refused 3 no rule endpoint-user-create",
        "1.5 hours: 30 min for each function above 10",
        "5,210 events, chain intact",
    ):
        assert fact in page.text, fact


def test_the_page_needs_nothing_from_anywhere():
    page = Page(report_html(FULL))
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert name not in {"src", "href", "srcset"}, (tag, name, value)
        assert not name.startswith("on")
    assert not re.findall(r"https?://|url\(|@import", report_html(FULL))


def test_the_charts_are_drawings_with_a_name():
    html = report_html(FULL)
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawings) == 3
    for drawing in drawings:
        root = ET.fromstring(drawing)
        assert root.get("aria-label")
    assert "database-1: schema-user, lost after 8 s" in html


def test_tables_have_headers():
    html = report_html(FULL)
    assert html.count("<table>") == html.count("<thead>")
    assert all('scope="row"' in table for table in re.findall(r"<table>.*?</table>", html, re.DOTALL))


def hostile():
    story = {
        part: tuple(
            row.model_copy(
                update={
                    name: HOSTILE
                    for name, value in row.model_dump().items()
                    if isinstance(value, str) and name not in {"state", "outcome"}
                }
            )
            for row in rows
        )
        for part, rows in STORY.items()
    }
    tasks = tuple(
        task.model_copy(update={"id": TaskId(HOSTILE), "title": HOSTILE, "note": HOSTILE, "agent": HOSTILE})
        for task in FULL.tasks
    )
    return sample.report(
        **story,
        tasks=tasks,
        plan_name=HOSTILE,
        reason=HOSTILE,
        project=HOSTILE,
        model=HOSTILE,
        gate_runs={HOSTILE: {"passed": 1}},
    )


def test_what_agents_and_tools_wrote_is_text_and_nothing_else():
    html = report_html(hostile())
    page = Page(html)
    assert page.stack == []
    assert not {"script", "img"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "\x1b" not in html
    assert "<script>alert(1)</script>" in page.text


def test_markdown_keeps_its_tables_whatever_was_written():
    text = report_markdown(hostile())
    assert "<script" not in text
    assert "\x1b" not in text
    width = None
    for line in text.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line))
        if not line.startswith("|"):
            width = None
            continue
        width = width or cells
        assert cells == width, line


def test_markdown_has_every_part():
    text = report_markdown(FULL)
    assert text.startswith("# Task Management: landed\n")
    for section in ("Tasks", "Agents", "Gates", "Rejections", "Issues", "Who stepped in", "Incidents", "Code"):
        assert f"\n\n## {section}" in text
    assert (
        "| 1:01 | endpoint-user-create (api-1, attempt 1) | tests | expected 409, got 500 in app/api/user.py:12 |"
        in text
    )


def test_the_text_tells_the_story_too():
    lines = list(report_text(FULL))
    text = " ".join(" ".join(lines).split())
    assert "1:01 endpoint-user-create, tests: expected 409, got 500 (app/api/user.py:12)" in text
    assert "then: changed app/api/user.py and 2 more; landed" in text
    assert "ada approved at security (schema-user): read it" in text
    assert max(len(line) for line in lines) <= 82


def test_a_swarm_that_did_nothing_has_a_page():
    empty = sample.report(
        tasks=(),
        agents=(),
        gate_runs={},
        rejections=0,
        human_interventions=0,
        code=None,
        tests=None,
        coverage_percent=None,
        ended_at=None,
    )
    page = Page(report_html(empty))
    assert "Nothing was rejected." in page.text
    assert "No session was started." in page.text
    assert "## Tasks" in report_markdown(empty)


@pytest.mark.parametrize("tasks", [80, 81, 1_000])
def test_a_large_swarm_has_a_page_of_bounded_size(tasks):
    rows = tuple(
        FULL.tasks[1].model_copy(
            update={
                "id": TaskId(f"task-{n}"),
                "depends_on": tuple(TaskId(f"task-{m}") for m in {n // 2, n // 3} if m < n),
            }
        )
        for n in range(tasks)
    )
    spans = tuple(span(n, agent=f"api-{n % 70}") for n in range(5_000))
    html = report_html(sample.report(tasks=rows, timeline=spans, rejected=STORY["rejected"] * 500))
    assert Page(html).stack == []
    assert len(html) < 2_500_000
    assert "3,000 more sessions are not drawn" in html.replace("3000", "3,000")


def test_dependencies_that_run_in_a_circle_or_nowhere_are_drawn_all_the_same():
    one = FULL.tasks[0].model_copy(update={"id": TaskId("a"), "depends_on": (TaskId("b"), TaskId("gone"))})
    other = FULL.tasks[0].model_copy(update={"id": TaskId("b"), "depends_on": (TaskId("a"),)})
    assert Page(report_html(sample.report(tasks=(one, other)))).stack == []


@pytest.mark.parametrize(
    ("kind", "data", "actor", "told"),
    [
        ("task.parked", {"change": "c", "fix": "fix-a"}, "platform", "parked as it is; fix-a mends what it found"),
        ("task.filed", {"task": "fix-a", "supersedes": "a", "reason": "no 404"}, "platform", "made for a: no 404"),
        ("question.asked", {"question": "q", "text": "May I?"}, "agent:api-1", "asks: May I?"),
        ("review.approved", {"gate": "security", "reason": "read it"}, "person:ada", "approved by ada at security: read it"),
        ("delivery.failed", {"branch": "main", "reason": "{conflict}"}, "platform", "cannot be delivered to main: {conflict}"),
        ("budget.warning", {}, "platform", "? % of the budget are used"),
        ("budget.warning", {"percent": 91, "of": "day", "subject": "shop/2026-11-28"}, "platform",
         "91 % of the budget of day shop/2026-11-28 are used"),
    ],
)  # fmt: skip
def test_what_people_decide_is_told_in_words(kind, data, actor, told):
    event = sample.event(1, kind, "a", actor=actor, **data)
    assert phrase(event.model_copy(update={"at": event.at + timedelta(seconds=1)})).text == told


def test_the_graph_leaves_out_what_a_longer_chain_implies():
    def job(name, *after):
        return FULL.tasks[0].model_copy(update={"id": TaskId(name), "depends_on": tuple(TaskId(one) for one in after)})

    drawn = graph((job("a"), job("b", "a"), job("c", "a", "b")))
    assert len(drawn.edges) == 2


def test_what_the_sandbox_lacked_is_told_in_every_form():
    rows = (
        SandboxReport(level="contained", lacking=("protected",), sessions=1),
        SandboxReport(level="full", lacking=(), sessions=12),
    )
    told = sample.report(sandboxes=rows)
    for form in (report_html(told), report_markdown(told), "\n".join(report_text(told))):
        assert "level contained around 1 session, without protected" in form
        assert "level full around 12 sessions" in form
