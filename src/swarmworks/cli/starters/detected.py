"""What `swarm init` found in a repository and proposes for it. Every proposal says where it comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProposedGate:
    """`why` is what was seen in the repository. `early`: cheap enough to run on every session's own tree."""

    name: str
    run: str
    reads: str
    why: str = ""
    early: bool = False
    cache: bool = False
    nothing: tuple[int, ...] = ()
    source: str = ""
    floor: float | None = None


@dataclass(frozen=True, slots=True)
class Detected:
    """`setup_why` says how the environment was guessed. `missing` is what a swarm should have and was not found, each with
    what to write; `notes` what a person should know of the guesses.
    """

    language: str
    setup: tuple[str, ...] = ()
    lock_files: tuple[str, ...] = ()
    gates: tuple[ProposedGate, ...] = ()
    evidence: tuple[str, ...] = ()
    setup_why: str = ""
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def tests(self) -> ProposedGate | None:
        return next((gate for gate in self.gates if gate.name == "tests"), None)
