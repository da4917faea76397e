"""The wire form of a handoff: JSON, with the limits of `domain.handoff`. Agents write it, so nothing in it is trusted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from swarmworks.base.errors import InvalidDocumentError, Problem
from swarmworks.domain.handoff import ChangedFile, DroppedLine, Handoff

MAX_DONE_CHARS = 2_000
MAX_CHANGED = 200
MAX_PATH_CHARS = 500
MAX_WHAT_CHARS = 300
MAX_ITEMS = 20
MAX_ITEM_CHARS = 500
MAX_QUESTION_CHARS = 2_000
MAX_DROPPED = 200
MAX_LINE_CHARS = 1_000
MAX_BYTES = 1 << 20

Item = Annotated[str, StringConstraints(max_length=MAX_ITEM_CHARS)]


class ChangedFileDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, StringConstraints(min_length=1, max_length=MAX_PATH_CHARS)]
    what: Annotated[str, StringConstraints(max_length=MAX_WHAT_CHARS)]


class DroppedLineDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, StringConstraints(min_length=1, max_length=MAX_PATH_CHARS)]
    line: Annotated[str, StringConstraints(min_length=1, max_length=MAX_LINE_CHARS)]
    why: Annotated[str, StringConstraints(min_length=1, max_length=MAX_ITEM_CHARS)]


class HandoffDocument(BaseModel):
    """`handed_off` is written by the agent's program, when the context was exhausted before the model handed in. `question`
    is what a person must answer before the task can go on: for `needs_answer`, and only for that.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: Literal["submitted", "nothing_to_do", "handed_off", "needs_answer"]
    done: Annotated[str, StringConstraints(max_length=MAX_DONE_CHARS)]
    changed: Annotated[tuple[ChangedFileDocument, ...], Field(max_length=MAX_CHANGED)] = ()
    notes: Annotated[tuple[Item, ...], Field(max_length=MAX_ITEMS)] = ()
    risks: Annotated[tuple[Item, ...], Field(max_length=MAX_ITEMS)] = ()
    dropped: Annotated[tuple[DroppedLineDocument, ...], Field(max_length=MAX_DROPPED)] = ()
    question: Annotated[str, StringConstraints(max_length=MAX_QUESTION_CHARS)] = ""

    @model_validator(mode="after")
    def _asks(self) -> HandoffDocument:
        if self.outcome == "needs_answer" and not self.question.strip():
            raise ValueError("needs_answer takes a question: what must a person answer?")
        return self

    def to_domain(self) -> Handoff:
        return Handoff(
            outcome=self.outcome,
            done=self.done,
            changed=tuple(ChangedFile(file.path, file.what) for file in self.changed),
            notes=self.notes,
            risks=self.risks,
            dropped=tuple(DroppedLine(one.path, one.line, one.why) for one in self.dropped),
            question=self.question,
        )

    @classmethod
    def from_domain(cls, handoff: Handoff) -> HandoffDocument:
        """ValidationError when `handoff` is beyond the limits."""
        return cls.model_validate(
            {
                "outcome": handoff.outcome,
                "done": handoff.done,
                "changed": [{"path": file.path, "what": file.what} for file in handoff.changed],
                "notes": handoff.notes,
                "risks": handoff.risks,
                "dropped": [{"path": one.path, "line": one.line, "why": one.why} for one in handoff.dropped],
                "question": handoff.question,
            }
        )


def parse(text: str | bytes) -> Handoff:
    """InvalidDocumentError names every field that is wrong."""
    if len(text) > MAX_BYTES:
        raise InvalidDocumentError("handoff", [Problem(0, f"larger than {MAX_BYTES} bytes")])
    try:
        return HandoffDocument.model_validate_json(text).to_domain()
    except ValidationError as error:
        problems = [
            Problem(0, f"{'.'.join(map(str, row['loc'])) or 'document'}: {row['msg']}") for row in error.errors()
        ]
        raise InvalidDocumentError("handoff", problems) from error


def dump(handoff: Handoff) -> str:
    """JSON text. ValidationError when `handoff` is beyond the limits."""
    return HandoffDocument.from_domain(handoff).model_dump_json()
