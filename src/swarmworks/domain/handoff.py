"""A handoff: what a session tells the ones after it. Structured, bounded, and checked against the actual diff."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChangedFile:
    path: str
    what: str


@dataclass(frozen=True, slots=True)
class DroppedLine:
    """A line that one side of a conflict had added and that its resolution leaves out, and why."""

    path: str
    line: str
    why: str


@dataclass(frozen=True, slots=True)
class Handoff:
    """`outcome` is `submitted`, `nothing_to_do` or `needs_answer`, or `handed_off` when the agent's program wrote it because the context was
    exhausted. The rest is at most: done 2,000 characters, 200 files, `what` 300, twenty notes and twenty risks of 500
    each; what does not fit is not passed on.
    """

    outcome: str
    done: str
    changed: tuple[ChangedFile, ...] = ()
    notes: tuple[str, ...] = ()  # what the next agent must know
    risks: tuple[str, ...] = ()
    dropped: tuple[DroppedLine, ...] = ()  # of the resolution of a conflict
    question: str = ""  # of `needs_answer`: what a person must answer before the task can go on
