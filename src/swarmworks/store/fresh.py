"""A new file gets this version's schema at once, from `fresh.sql`, and not step by step: the first command in a project would
else load 30 MB and take a second for it. A test holds the file to what the steps make.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from swarmworks.store.sqlite_connection import unavailable

SCRIPT = Path(__file__).with_name("migrations") / "fresh.sql"


def filled(path: Path) -> bool:
    """Whether the file was not there, or empty, and has the newest schema now. StoreUnavailableError when it cannot be
    written.
    """
    if path.exists() and path.stat().st_size > 0:
        return False
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.executescript(f"BEGIN IMMEDIATE;\n{SCRIPT.read_text(encoding='utf-8')}COMMIT;")
    except sqlite3.Error as error:
        raise unavailable(error, path) from error
    return True
