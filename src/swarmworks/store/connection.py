"""The little of a database that transactions are written against, so that SQLite and PostgreSQL differ in one class each.

Statements are data files, `sql/*.sql`, with `:name` parameters and `IN :names` for a sequence. `/* lock */` marks rows that
a database with several writers has to lock.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_FOLDER = Path(__file__).with_name("sql")
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_SEQUENCE = re.compile(r"\bIN :(\w+)")


class Row(Protocol):
    """A row by column name. What is in it is `rows.py`'s to make typed."""

    def __getitem__(self, column: str, /) -> Any: ...


class Connection(Protocol):
    """Inside a transaction. A broken UNIQUE or FOREIGN KEY raises ConflictError, everything operational
    StoreUnavailableError; a broken CHECK is a bug and passes through as it is.
    """

    def rows(self, sql: str, **values: object) -> list[Row]: ...
    def row(self, sql: str, **values: object) -> Row | None: ...
    def several(self, *asked: tuple[str, Mapping[str, object]]) -> list[list[Row]]:
        """The rows of each, in order, asked together. None of them is of one swarm."""
        ...

    def change(self, sql: str, **values: object) -> int:
        """How many rows it touched."""
        ...

    def change_many(self, sql: str, values: Iterable[Mapping[str, object]]) -> int:
        """How many rows all of them touched."""
        ...

    def post(
        self, sql: str, values: Iterable[Mapping[str, object]], missed: Callable[[], Exception] | None = None
    ) -> None:
        """As `change_many`, for whoever does not need to know how many: it may be sent with what comes after it, and then
        fails there, before the commit. Of one swarm. Where each is to touch one row, `missed` makes the error to raise when one
        did not.
        """
        ...

    def hold(self, swarm_id: str, *, wait: bool) -> bool:
        """Keep other processes from writing to the swarm until this transaction ends. Without `wait` False when one is at it."""
        ...


def load(name: str) -> dict[str, str]:
    """The statements of `sql/<name>.sql` by the name above each. An unknown name is a KeyError where it is used."""
    _head, *parts = _NAME.split((_FOLDER / f"{name}.sql").read_text(encoding="utf-8"))
    return {key: sql.strip().removesuffix(";") for key, sql in zip(parts[::2], parts[1::2], strict=True)}


@functools.cache
def sequences(sql: str) -> tuple[str, ...]:
    """The parameters of a statement that take a sequence."""
    return tuple(_SEQUENCE.findall(sql))


def expand(sql: str, values: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """`IN :names` spelled out for as many members as the sequence has."""
    flat = dict(values)
    for name in sequences(sql):
        members: Any = flat.pop(name)
        keys = [f"{name}_{number}" for number, _member in enumerate(members)]
        flat.update(zip(keys, members, strict=True))
        listed = ", ".join(f":{key}" for key in keys)
        sql = re.sub(rf"\bIN :{name}\b", f"IN ({listed or 'NULL'})", sql)
    return sql, flat
