"""From what a swarm asks for (a tier, or provider:model) to the models that may answer, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

TIERS = ("frontier", "mid", "fast")
REHEARSAL_KIND = "rehearsal"
NO_MODEL = "none"
"""What a session asks for that a command does."""

Wire = Literal["openai", "responses", "anthropic", "google"]
"""What is spoken with a model: Chat Completions, Responses (both OpenAI's), Messages, and Gemini's."""

WIRES: Mapping[str, tuple[Wire, ...]] = {
    "openai": ("openai", "responses"),
    "anthropic": ("anthropic",),
    "google": ("google",),
}
"""By a provider's kind. A server of kind openai that has no Responses says so when it is asked."""

BUILT_IN_SPEAKS: frozenset[Wire] = frozenset({"openai", "anthropic"})
"""The agent that comes with the platform, which reviews too."""


def common(kind: str, speaks: Collection[Wire]) -> Wire | None:
    """The format in which a program that speaks these and a provider of this kind understand each other."""
    return next((wire for wire in WIRES.get(kind, ()) if wire in speaks), None)


@dataclass(frozen=True, slots=True)
class Candidate:
    """`model` is the full name, provider:model; `wire` the format an agent of its session speaks."""

    model: str
    wire: Wire

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

    def first(self, asked: str, speaks: Collection[Wire], available: Callable[[str], bool]) -> Candidate | None:
        """With which model a session begins: the first that its program speaks with and that is available; None when none
        is. Its wire format is the session's until it ends, and later fallbacks are those that speak it too.
        """
        found = (self._candidate(model, speaks) for model in self.chain(asked))
        return next((one for one in found if one is not None and available(one.model)), None)

    def spoken(self, asked: str, speaks: Collection[Wire]) -> tuple[Candidate, ...]:
        """Of the chain, those a program that speaks these formats can begin with."""
        found = (self._candidate(model, speaks) for model in self.chain(asked))
        return tuple(one for one in found if one is not None)

    def _candidate(self, model: str, speaks: Collection[Wire]) -> Candidate | None:
        kind = self.kinds.get(model.partition(":")[0], REHEARSAL_KIND)
        if kind == REHEARSAL_KIND:
            return Candidate(model, "openai" if "openai" in speaks else min(speaks))
        wire = common(kind, speaks)
        return None if wire is None else Candidate(model, wire)


def asked_for(default: str, kinds: Mapping[str, str], *, kind: str, role: str) -> str:
    """What a task's session asks for: by its kind, else by its role, else as the swarm does."""
    return kinds.get(kind) or kinds.get(role) or default
