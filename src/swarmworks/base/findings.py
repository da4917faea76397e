"""What an examination found: of this machine (`swarm doctor`), of the store (`swarm store check`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Finding(StrEnum):
    """`note`: it works, but a person should know."""

    OK = "ok"
    NOTE = "note"
    LACKING = "lacking"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    finding: Finding
    found: str
    mend: str = ""
