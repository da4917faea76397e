"""From what a swarm asks for (a tier, or provider:model) to the models that may answer, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

TIERS = ("frontier", "mid", "fast")
REHEARSAL_KIND = "rehearsal"


@dataclass(frozen=True, slots=True)
class Candidate:
    """`model` is the full name, provider:model; `wire` the format an agent of its session speaks."""

    model: str
    wire: str

    @property
    def name(self) -> str:
        return self.model.partition(":")[2]


@dataclass(frozen=True, slots=True)
class ModelBook:
    """`tiers`: full names by tier, the first choice first. `kinds`: each provider's kind, of which the rehearsal model's
    speaks every format.
    """

    tiers: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    kinds: Mapping[str, str] = field(default_factory=dict[str, str])

    def chain(self, asked: str) -> tuple[str, ...]:
        """Full names. What is no tier stands for itself, whether it can be had or not."""
        return self.tiers.get(asked) or (asked,)

    def first(self, asked: str, speaks: Collection[str], available: Callable[[str], bool]) -> Candidate | None:
        """With which model a session begins: the first that its program speaks with and that is available; None when none
        is. Its wire format is the session's until it ends, and later fallbacks are those that speak it too.
        """
        found = (self._candidate(model, speaks) for model in self.chain(asked))
        return next((one for one in found if one is not None and available(one.model)), None)

    def spoken(self, asked: str, speaks: Collection[str]) -> tuple[Candidate, ...]:
        """Of the chain, those a program that speaks these formats can begin with."""
        found = (self._candidate(model, speaks) for model in self.chain(asked))
        return tuple(one for one in found if one is not None)

    def _candidate(self, model: str, speaks: Collection[str]) -> Candidate | None:
        kind = self.kinds.get(model.partition(":")[0], REHEARSAL_KIND)
        if kind == REHEARSAL_KIND:
            return Candidate(model, "openai" if "openai" in speaks else min(speaks))
        return Candidate(model, kind) if kind in speaks else None


def asked_for(default: str, kinds: Mapping[str, str], *, kind: str, role: str) -> str:
    """What a task's session asks for: by its kind, else by its role, else as the swarm does."""
    return kinds.get(kind) or kinds.get(role) or default
