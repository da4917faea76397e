"""Which review gates stand before a plan, a change or a delivery, whose word counts, and what the answers mean together.

The gates are an ordered list. Those that apply are asked one after the other, each once the one before it said yes. A rule
that skips, where it applies, ends the list: it speaks for every gate written after it, and never for one before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from swarmworks.domain.review import Review, ReviewGate, ReviewState, ReviewStrategy, ReviewSubject
from swarmworks.policy.patterns import matching_pattern

PERSON = "person:"
MODEL = "model:"
BY_MODEL_ONLY = "a model"
"""Whom an event names as asked where a gate asks no person."""
RULE = "rule:"
NO_GATE = "rule:gates"
"""Who decided where no review gate applies: the automated gates, which passed."""

DEFAULT_GATES = (
    ReviewGate("plan", "Is this what should be built, and is it split up well?", on=ReviewSubject.PLAN, existing=True),
    ReviewGate("delivery", "May this go to your branch?", on=ReviewSubject.DELIVERY),
)
"""For a project that says nothing about reviews."""

SOURCE_SUFFIXES = frozenset(
    [
        ".c",
        ".cc",
        ".clj",
        ".cpp",
        ".cs",
        ".cxx",
        ".dart",
        ".erl",
        ".ex",
        ".exs",
        ".fs",
        ".go",
        ".groovy",
        ".h",
        ".hpp",
        ".hs",
        ".html",
        ".java",
        ".jl",
        ".js",
        ".jsx",
        ".kt",
        ".kts",
        ".lua",
        ".m",
        ".ml",
        ".mm",
        ".php",
        ".pl",
        ".pm",
        ".ps1",
        ".py",
        ".pyi",
        ".pyx",
        ".r",
        ".rb",
        ".rs",
        ".scala",
        ".sh",
        ".sql",
        ".svelte",
        ".swift",
        ".ts",
        ".tsx",
        ".vb",
        ".vue",
        ".zig",
    ]
)
CONFIGURATION = frozenset({"setup.py", "noxfile.py", "conftest.py", "fabfile.py", "tasks.py", "sitecustomize.py"})
"""Files with a language's suffix that configure its tools."""


@dataclass(frozen=True, slots=True)
class ReviewFacts:
    """What a gate looks at. `lines` added and removed; `kind` of the task; `existing`: whether there was source code."""

    paths: tuple[str, ...] = ()
    lines: int = 0
    kind: str | None = None
    existing: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """`gates` in the order they are asked; `rule` the one that skips the rest, None when the list simply ends."""

    gates: tuple[ReviewGate, ...]
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """`decided_by` is who said the last word: `person:<name>`, `model:<name>` or `rule:<name>`."""

    decided_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    gate: ReviewGate


@dataclass(frozen=True, slots=True)
class Waiting:
    review: Review


@dataclass(frozen=True, slots=True)
class Refused:
    review: Review


Turn = Passed | Ask | Waiting | Refused


def has_sources(tracked: Sequence[str]) -> bool:
    """Whether a commit with these files holds source code: what a starter or a tool's configuration brings is none."""
    return any(_is_source(PurePosixPath(path)) for path in tracked)


def _is_source(path: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    configures = path.name in CONFIGURATION or path.name.split(".", 1)[-1].startswith("config.")
    return path.suffix.lower() in SOURCE_SUFFIXES and not hidden and not configures


def applies(gate: ReviewGate, facts: ReviewFacts) -> bool:
    """A gate that asks is met by any of its paths; one that skips only when no other path is touched."""
    if gate.existing and not facts.existing:
        return False
    if gate.kinds and facts.kind not in gate.kinds:
        return False
    if facts.lines < gate.min_lines or (gate.max_lines is not None and facts.lines > gate.max_lines):
        return False
    if not gate.paths:
        return True
    met = [matching_pattern(path, gate.paths) is not None for path in facts.paths]
    return all(met) and bool(met) if gate.strategy is ReviewStrategy.SKIP else any(met)


def route(gates: Sequence[ReviewGate], subject: ReviewSubject, facts: ReviewFacts) -> Route:
    asked: list[ReviewGate] = []
    for gate in gates:
        if gate.on is not subject or not applies(gate, facts):
            continue
        if gate.strategy is ReviewStrategy.SKIP:
            return Route(tuple(asked), gate.name)
        asked.append(gate)
    return Route(tuple(asked))


def turn(way: Route, reviews: Sequence[Review]) -> Turn:
    """What is next, given the reviews of this subject. A word counts only from whom the gate asks: a model's yes where a
    person is asked is no yes.
    """
    standing = {review.gate: review for review in reviews if review.state is not ReviewState.VOID}
    last: Review | None = None
    for gate in way.gates:
        review = standing.get(gate.name)
        if review is None:
            return Ask(gate)
        if review.state is ReviewState.REJECTED:
            return Refused(review)
        if review.state is ReviewState.OPEN or not counts(gate, review.decided_by):
            return Waiting(review)
        last = review
    if way.rule is not None:
        return Passed(f"{RULE}{way.rule}", f"the rule {way.rule} skips the review")
    if last is None:
        return Passed(NO_GATE, "no review gate applies")
    return Passed(last.decided_by or NO_GATE, last.reason or "")


def counts(gate: ReviewGate, decided_by: str | None) -> bool:
    """Whether this one's yes is the yes the gate asks for."""
    who = decided_by or ""
    if gate.strategy is ReviewStrategy.MODEL and who.startswith(MODEL):
        return True
    return who.startswith(PERSON) and may_decide(gate.deciders, who)


def may_decide(deciders: Sequence[str], person: str) -> bool:
    """`person` is `person:<name>`; nobody named means anybody. Names are compared without regard to case."""
    name = person.removeprefix(PERSON).strip().casefold()
    return not deciders or name in {one.strip().casefold() for one in deciders}
