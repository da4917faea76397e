"""The PostgreSQL client of the machine, for agents that may read a database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PSQL = "psql"
FOLDERS = Path("/usr/lib/postgresql")
"""Where Debian keeps each version's programs; its `psql` on the path is a Perl script that looks for one of them."""


@dataclass(frozen=True, slots=True)
class Client:
    """`programs` may be run, `folder` is where they are looked for first."""

    programs: tuple[str, ...] = ()
    folder: str = ""


NO_CLIENT = Client()


def database_client() -> Client:
    """The newest. Blocks, shortly."""
    found = [path for path in FOLDERS.glob(f"*/bin/{PSQL}") if path.parent.parent.name.isdecimal()]
    if not found:
        return Client((PSQL,))
    newest = max(found, key=lambda path: int(path.parent.parent.name))
    return Client((str(newest),), str(newest.parent))
