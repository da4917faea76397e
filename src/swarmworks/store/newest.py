"""The newest schema version, and whether a file has it already, found out without loading what would change it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

_STEPS = Path(__file__).with_name("migrations") / "versions"
VERSION = "SELECT version_num FROM alembic_version"


def newest() -> str:
    """The newest schema version this program knows: a step's file is named after its version, `v0001_first.py`."""
    return max(file.name[1:5] for file in _STEPS.glob("v[0-9][0-9][0-9][0-9]_*.py"))


def at_newest(path: Path) -> bool:
    """False for a file that is not there, or cannot be read: whoever then tries to change it finds out why."""
    address = f"file:{quote(str(path))}?mode=rw"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            return connection.execute(VERSION).fetchall() == [(newest(),)]
    except sqlite3.Error:
        return False
