"""State machines as data: `(state, event) -> state`, one legal way to move.

The SQL checks and the diagrams in `docs/states.md` are generated from these tables, and a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from swarmworks.base.errors import ConflictError

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True)
class TransitionTable(Generic[S, E]):
    name: str
    start: S
    moves: Mapping[tuple[S, E], S]

    def next(self, state: S, event: E) -> S:
        """The state after `event`; ConflictError when the table has no such move."""
        try:
            return self.moves[state, event]
        except KeyError:
            raise ConflictError(f"a {self.name} that is {state} cannot {event}") from None

    def sources(self, event: E) -> tuple[S, ...]:
        """The states from which `event` is legal, for `WHERE state IN (...)`."""
        return tuple(state for (state, name) in self.moves if name == event)

    @property
    def states(self) -> tuple[S, ...]:
        return tuple(type(self.start))

    @property
    def terminal(self) -> frozenset[S]:
        leaving = {state for (state, _event) in self.moves}
        return frozenset(state for state in self.states if state not in leaving)

    def mermaid(self) -> str:
        """The table as a Mermaid state diagram."""
        rows = ["stateDiagram-v2", f"    [*] --> {self.start}"]
        rows += [f"    {state} --> {target}: {event}" for (state, event), target in self.moves.items()]
        rows += [f"    {state} --> [*]" for state in self.states if state in self.terminal]
        return "\n".join(rows)
