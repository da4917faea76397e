from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.base.ids import ReviewId, SwarmId
from swarmworks.domain.review import Review, ReviewGate, ReviewState, ReviewStrategy, ReviewSubject
from swarmworks.policy.reviewing import (
    DEFAULT_GATES,
    Ask,
    Passed,
    Refused,
    ReviewFacts,
    Waiting,
    applies,
    counts,
    has_sources,
    may_decide,
    route,
    turn,
)

NOW = datetime(2026, 11, 20, tzinfo=UTC)
CHANGE = ReviewSubject.CHANGE
NAMES = st.sampled_from(["Ana", "bob", "Cleo"])


@st.composite
def gates(draw):
    number = draw(st.integers(0, 5))
    return [
        ReviewGate(
            name=f"gate-{index}",
            question="?",
            on=draw(st.sampled_from(list(ReviewSubject))),
            deciders=tuple(draw(st.lists(NAMES, max_size=2))),
            paths=tuple(draw(st.lists(st.sampled_from(["docs/**", "*.py", "/app/"]), max_size=2))),
            kinds=tuple(draw(st.lists(st.sampled_from(["fix_bug", "document"]), max_size=1))),
            min_lines=draw(st.integers(0, 30)),
            strategy=draw(st.sampled_from(list(ReviewStrategy))),
            model="openai:gpt-5",
        )
        for index in range(number)
    ]


facts = st.builds(
    ReviewFacts,
    paths=st.lists(st.sampled_from(["docs/a.md", "app/main.py", "README.md"]), max_size=3).map(tuple),
    lines=st.integers(0, 60),
    kind=st.sampled_from(["fix_bug", "document", "other"]),
    existing=st.booleans(),
)
decisions = st.sampled_from(["person:Ana", "person:bob", "model:openai:gpt-5", "rule:none"])


def review(gate: ReviewGate, state: ReviewState, by: str | None) -> Review:
    return Review(
        ReviewId(f"rev_{gate.name}"), SwarmId("swm_1"), gate.name, gate.on, "chg_1", "?", state, NOW, decided_by=by
    )


def answered(way, data) -> list[Review]:
    """Answers to the gates of a route, as far as they go: whoever they come from."""
    found = []
    for gate in way.gates:
        state = data.draw(st.sampled_from([None, ReviewState.OPEN, ReviewState.APPROVED, ReviewState.REJECTED]))
        if state is None:
            break
        found.append(review(gate, state, None if state is ReviewState.OPEN else data.draw(decisions)))
    return found


@given(gates(), facts, st.data())
def test_what_passes_has_the_right_yes_of_every_gate_that_applies_before_a_rule_that_skips(listed, met, data):
    way = route(listed, CHANGE, met)
    reviews = answered(way, data)
    result = turn(way, reviews)
    if not isinstance(result, Passed):
        return
    given_by = {one.gate: one.decided_by for one in reviews if one.state is ReviewState.APPROVED}
    for gate in listed:
        if gate.on is not CHANGE or not applies(gate, met):
            continue
        if gate.strategy is ReviewStrategy.SKIP:
            assert result.decided_by == f"rule:{gate.name}"
            return
        assert counts(gate, given_by[gate.name])
    assert result.decided_by == (given_by[way.gates[-1].name] if way.gates else "rule:gates")


@given(gates(), facts, st.data())
def test_a_model_alone_never_passes_what_a_person_is_asked_about(listed, met, data):
    way = route(listed, CHANGE, met)
    by_model = [review(gate, ReviewState.APPROVED, "model:openai:gpt-5") for gate in way.gates]
    result = turn(way, by_model)
    asks_a_person = any(gate.strategy is ReviewStrategy.FULL for gate in way.gates)
    assert isinstance(result, Waiting) == asks_a_person


@given(gates(), facts)
def test_gates_are_asked_one_after_the_other_in_their_order(listed, met):
    way = route(listed, CHANGE, met)
    reviews: list[Review] = []
    asked: list[str] = []
    while isinstance(step := turn(way, reviews), Ask):
        asked.append(step.gate.name)
        assert isinstance(turn(way, [*reviews, review(step.gate, ReviewState.OPEN, None)]), Waiting)
        by = "person:" + (step.gate.deciders[0] if step.gate.deciders else "Ana")
        reviews.append(review(step.gate, ReviewState.APPROVED, by))
    assert isinstance(step, Passed)
    assert asked == [gate.name for gate in way.gates]
    assert asked == sorted(asked)


@given(gates(), facts, st.data())
def test_one_no_refuses_whatever_comes_after(listed, met, data):
    way = route(listed, CHANGE, met)
    if not way.gates:
        return
    reviews = [review(gate, ReviewState.APPROVED, "person:Ana") for gate in way.gates if not gate.deciders]
    if len(reviews) < len(way.gates):
        return
    number = data.draw(st.integers(0, len(reviews) - 1))
    reviews[number] = review(way.gates[number], ReviewState.REJECTED, "person:Ana")
    assert isinstance(turn(way, reviews), Refused)


def test_what_was_withdrawn_is_asked_again():
    gate = ReviewGate("a", "?", CHANGE)
    assert isinstance(turn(route([gate], CHANGE, ReviewFacts()), [review(gate, ReviewState.VOID, "platform")]), Ask)


@pytest.mark.parametrize(
    ("paths", "asks", "skips"),
    [
        (("docs/a.md",), True, True),
        (("docs/a.md", "app/main.py"), True, False),
        (("app/main.py",), False, False),
        ((), False, False),
    ],
)
def test_one_path_is_enough_to_ask_and_every_path_is_needed_to_skip(paths, asks, skips):
    met = ReviewFacts(paths=paths)
    assert applies(ReviewGate("a", "?", CHANGE, paths=("docs/**",)), met) is asks
    assert applies(ReviewGate("a", "", CHANGE, paths=("docs/**",), strategy=ReviewStrategy.SKIP), met) is skips


@pytest.mark.parametrize(("lines", "met"), [(9, False), (10, True), (20, True), (21, False)])
def test_the_size_of_a_change_decides(lines, met):
    assert applies(ReviewGate("a", "?", CHANGE, min_lines=10, max_lines=20), ReviewFacts(lines=lines)) is met


def test_only_who_is_named_may_decide_without_regard_to_case():
    assert may_decide((), "person:anybody")
    assert may_decide(("Ana",), "person:ana")
    assert not may_decide(("Ana",), "person:bob")


@pytest.mark.parametrize(
    ("tracked", "found"),
    [
        (["README.md", "swarm.toml", "pyproject.toml", "spec.yaml", "plan.yaml"], False),
        (["setup.py", "conftest.py", "vite.config.ts", ".github/check.py"], False),
        (["README.md", "app/main.py"], True),
        (["src/index.ts"], True),
        ([], False),
    ],
)
def test_source_code_is_what_a_starter_does_not_bring(tracked, found):
    assert has_sources(tracked) is found
    met = ReviewFacts(existing=found)
    assert bool(route(DEFAULT_GATES, ReviewSubject.PLAN, met).gates) is found


def test_a_delivery_is_asked_about_by_default():
    assert [gate.name for gate in route(DEFAULT_GATES, ReviewSubject.DELIVERY, ReviewFacts()).gates] == ["delivery"]
