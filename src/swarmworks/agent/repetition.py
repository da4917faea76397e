"""A model that repeats itself burns its budget: warned first, ended then."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

WARN_AT = 3
END_AT = 6


class Verdict(Enum):
    FINE = "fine"
    WARN = "warn"
    END = "end"


@dataclass(slots=True)
class Repetition:
    """Counts how often the same thing was done without anything else in between."""

    last: str = ""
    times: int = 0

    def note(self, what: str) -> Verdict:
        self.times = self.times + 1 if what == self.last else 1
        self.last = what
        if self.times >= END_AT:
            return Verdict.END
        return Verdict.WARN if self.times >= WARN_AT else Verdict.FINE
