from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.domain.plan import Acceptance, Estimate, Plan, PlannedTask, Source, Stack
from swarmworks.wire.planfile import dump_plan, edited_by_hand, is_task_id, parse_plan

TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
TEXT = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=TURNING) | st.sampled_from("\n\t"), max_size=60
)
SPECIAL = st.sampled_from(
    [
        "",
        "null",
        "~",
        "yes",
        "1",
        "a: b",
        "# no comment",
        "- x",
        "a\n- id: b\n",
        "\ttab\n  x\n",
        " lead\n",
        "x\n\n",
        "trail \n",
        "é\u2028\u00a0",
    ]
)
WORDS = TEXT | SPECIAL
LISTS = st.lists(WORDS.filter(bool), max_size=3).map(tuple)
IDS = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True).filter(is_task_id)
TASKS = st.builds(
    PlannedTask,
    id=IDS,
    kind=WORDS.filter(bool),
    title=WORDS,
    role=WORDS,
    instructions=WORDS,
    output=WORDS,
    depends_on=st.lists(IDS, max_size=2).map(tuple),
    owns=LISTS,
    reads=LISTS,
    specification=WORDS,
    contracts=LISTS,
    acceptance=st.lists(st.builds(Acceptance, WORDS.filter(bool), WORDS.filter(bool)), max_size=2).map(tuple),
    gates=LISTS,
    not_required=st.dictionaries(WORDS.filter(bool), WORDS, max_size=2),
    covers=LISTS,
    convoy=st.none() | WORDS.filter(bool),
    priority=st.integers(-1000, 1000),
    estimate=st.builds(Estimate, st.integers(0, 10**9), st.floats(0, 1e6).map(abs)) | st.just(Estimate()),
    run=WORDS,
)
PLANS = st.builds(
    Plan,
    id=WORDS.filter(bool),
    name=WORDS.filter(bool),
    description=WORDS,
    stack=st.builds(Stack, WORDS, WORDS, WORDS),
    source=st.builds(Source, WORDS, WORDS, WORDS),
    tasks=st.lists(TASKS, max_size=3).map(tuple),
    floors=st.dictionaries(WORDS.filter(bool), st.floats(0, 100).map(abs), max_size=2),
)


@settings(max_examples=150, deadline=None)
@given(PLANS)
def test_what_is_written_is_read_back_exactly(plan):
    text = dump_plan(plan)
    assert parse_plan("plan.yaml", text.encode()) == plan
    assert not edited_by_hand(text)


PLAN = """\
format: 1
id: p
name: P
tasks:
  - id: one
    kind: refactor
    instructions: Do it.
    owns: [a.py]
"""


def test_a_short_plan_written_by_hand_is_read():
    plan = parse_plan("plan.yaml", PLAN.encode())
    assert plan.tasks[0].owns == ("a.py",)
    assert plan.tasks[0].estimate == Estimate()
    assert edited_by_hand(PLAN)


def test_long_texts_stand_as_blocks_a_person_can_edit():
    task = PlannedTask("a", "refactor", "t", "r", "First line.\nSecond: line.\n", "out")
    text = dump_plan(Plan("p", "P", "", Stack("", ""), Source("text", "", ""), (task,)))
    assert "  instructions: |\n    First line.\n    Second: line.\n" in text
    assert edited_by_hand(text.replace("Second", "Third"))


@pytest.mark.parametrize(
    ("old", "new", "line", "what", "mend"),
    [
        ("format: 1", "format: 2", 1, "a format this version cannot read", "format: 1"),
        ("format: 1\n", "", 1, "has no `format`", "add `format: 1`"),
        ("name: P", "nam: P", 3, "unknown key `nam`", "did you mean `name`?"),
        ("kind: refactor", "knd: refactor", 6, "unknown key `knd` in task `one`", "did you mean `kind`?"),
        ("id: one", "id: One Two", 5, "cannot be a task's id", "lower-case"),
        ("owns: [a.py]", "owns: a.py", 8, "`owns` must be a list", "[one, two]"),
        ("owns: [a.py]", "owns: [{a: b}]", 8, "must be text", "one text"),
        ("instructions: Do it.", "instructions: [Do it]", 7, "must be text", "some words"),
        ("owns: [a.py]", "acceptance: [works]", 8, "a statement and a gate", "- statement"),
        ("owns: [a.py]", "acceptance: [{statement: s}]", 8, "no `gate`", "add `gate:`"),
        ("owns: [a.py]", "priority: high", 8, "whole number", "priority: 0"),
        ("owns: [a.py]", "estimate: {minutes: long}", 8, "must be a number from 0", "minutes: 1"),
        ("owns: [a.py]", "estimate: {tokens: -1}", 8, "must not be negative", "from 0"),
        ("owns: [a.py]", "not_required: tests", 8, "must be a mapping", "key: value"),
        ("  - id: one", "  - one\n  - id: one", 5, "a task must be a mapping", "- id:"),
        ("name: P", 'name: "P\\e[2J"', 3, "a control character", "remove"),
        ("id: one", 'id: one\n    title: "Add\\rHarmless"', 6, "a control character", "remove"),
        ("owns: [a.py]", 'owns: ["a\\u202epy"]', 8, "a control character", "remove"),
        ("name: P", "name: P\nfloors: {coverage: lots}", 4, "must be a number from 0", "coverage: 1"),
    ],
)
def test_what_is_malformed_is_named_with_its_line_and_mend(old, new, line, what, mend):
    with pytest.raises(InvalidDocumentError) as caught:
        parse_plan("plan.yaml", PLAN.replace(old, new).encode())
    matching = [each for each in caught.value.problems if what in each.what]
    assert matching, caught.value.problems
    assert (matching[0].line, mend in matching[0].mend) == (line, True)


@pytest.mark.parametrize("name", ["a..b", "a.lock", "a.", "a.b.lock", ".a", "A", "a/b", "", "a" * 101])
def test_an_id_that_git_refuses_in_a_reference_is_refused(name):
    assert not is_task_id(name)


@pytest.mark.parametrize("name", ["a", "a.b", "1-a_b.c", "lock", "a" * 100])
def test_an_ordinary_id_is_taken(name):
    assert is_task_id(name)
