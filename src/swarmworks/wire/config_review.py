"""`[[review]]` of `swarm.toml`: who is asked what, and before what. See docs/reviews.md."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from swarmworks.domain.review import ModelMay, ReviewGate, ReviewStrategy, ReviewSubject
from swarmworks.policy.reviewing import DEFAULT_GATES
from swarmworks.policy.tiers import TIERS
from swarmworks.wire.config_types import Name, Section

Words = Annotated[str, Field(min_length=1, max_length=500)]
Person = Annotated[str, Field(min_length=1, max_length=100)]
Lines = Annotated[int, Field(ge=0, le=1_000_000_000)]


class ReviewGateSection(Section):
    name: Name
    on: Literal["plan", "change", "delivery"]
    question: Words | None = None
    deciders: Annotated[tuple[Person, ...], Field(max_length=50)] = ()
    paths: Annotated[tuple[Words, ...], Field(max_length=200)] = ()
    kinds: Annotated[tuple[Name, ...], Field(max_length=50)] = ()
    min_lines: Lines = 0
    max_lines: Lines | None = None
    existing: bool = False
    strategy: Literal["full", "model", "skip"] = "full"
    model: Annotated[str, Field(max_length=200)] | None = None
    model_may: Literal["advise", "reject"] | None = None

    @field_validator("model")
    @classmethod
    def _shape(cls, value: str | None) -> str | None:
        provider, colon, model = (value or "").partition(":")
        if value not in {None, "rehearsal", *TIERS} and not (provider and colon and model):
            raise ValueError('must be "provider:model", such as "openai:gpt-5", a tier, or "rehearsal"')
        return f"{value}:{value}" if value == "rehearsal" else value

    @model_validator(mode="after")
    def _makes_sense(self) -> ReviewGateSection:
        for wrong, said in self._contradictions():
            if wrong:
                raise ValueError(said)
        return self

    def _contradictions(self) -> list[tuple[bool, str]]:
        skips = self.strategy == "skip"
        sized = self.min_lines > 0 or self.max_lines is not None
        return [
            (not skips and self.question is None, "a gate that asks needs a question"),
            (skips and self.question is not None, 'strategy = "skip" asks nobody: leave the question out'),
            (skips and bool(self.deciders), 'strategy = "skip" asks nobody: leave deciders out'),
            (self.strategy == "model" and self.model is None, 'strategy = "model" needs model = "provider:model"'),
            (self.strategy == "model" and bool(self.deciders), 'strategy = "model" asks no person: leave deciders out'),
            (skips and self.model is not None, 'strategy = "skip" asks no model: leave model out'),
            (self.model_may is not None and self.model is None, 'model_may needs model = "provider:model"'),
            (self.model is not None and self.on != "change", 'a model reviews changes only: on = "change"'),
            (self.existing and self.on != "plan", 'existing belongs to on = "plan"'),
            (bool(self.kinds) and self.on != "change", 'kinds belong to on = "change"'),
            (self.on == "plan" and (bool(self.paths) or sized), "a plan has no paths and lines yet"),
            (self.max_lines is not None and self.max_lines < self.min_lines, "max_lines is below min_lines"),
        ]

    def gate(self) -> ReviewGate:
        """A model that is asked alone decides alone: its objection rejects."""
        may = self.model_may or ("reject" if self.strategy == "model" else "advise")
        return ReviewGate(
            name=self.name,
            question=self.question or "",
            on=ReviewSubject(self.on),
            deciders=self.deciders,
            paths=self.paths,
            kinds=self.kinds,
            min_lines=self.min_lines,
            max_lines=self.max_lines,
            existing=self.existing,
            strategy=ReviewStrategy(self.strategy),
            model=self.model,
            model_may=ModelMay(may),
        )


class ReviewsSection(Section):
    """`gates` None: nothing was said. `explicitly_none` is the written choice `review = "none"`, never a default."""

    gates: Annotated[tuple[ReviewGateSection, ...], Field(max_length=50)] | None = None
    explicitly_none: bool = False

    @model_validator(mode="after")
    def _names_differ(self) -> ReviewsSection:
        names = [gate.name for gate in self.gates or ()]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two gates have the name {name!r}")
        return self

    def all_gates(self) -> tuple[ReviewGate, ...]:
        if self.explicitly_none:
            return ()
        return DEFAULT_GATES if self.gates is None else tuple(section.gate() for section in self.gates)
