"""How each channel did last, in a small file beside the database: for `swarm doctor`, which opens no database."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

FILE_NAME = "notify.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`failure` is empty when the last dispatch was taken. `at` is an ISO time."""

    at: str
    failure: str = ""


class Outcomes:
    def __init__(self, state: Path) -> None:
        self._path = state / FILE_NAME

    def read(self) -> dict[str, Outcome]:
        """Empty when nothing was sent yet, or the file is damaged: it is no record, the event log is."""
        try:
            found: Any = json.loads(self._path.read_text(encoding="utf-8"))
            rows = cast("dict[str, dict[str, str]]", found)
            return {name: Outcome(str(row["at"]), str(row.get("failure", ""))) for name, row in rows.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def put(self, channel: str, outcome: Outcome) -> None:
        rows = {**self.read(), channel: outcome}
        text = json.dumps({name: asdict(row) for name, row in rows.items()}, indent=2)
        new = self._path.with_name(f"{FILE_NAME}.{os.getpid()}")
        new.write_text(text, encoding="utf-8")
        new.replace(self._path)
