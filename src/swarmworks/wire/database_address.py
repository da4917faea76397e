"""The address of a PostgreSQL database, as libpq reads it: `postgresql://user:password@host:5432/database?sslmode=require`,
several hosts with commas between them.

What libpq would read otherwise than its writer meant is refused: an unescaped `/` in a password makes the rest of it the
database's name, which is printed.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

SHAPE = "postgresql://user@host:5432/database"
MEND = f"write {SHAPE}; in a user or password %2F for /, %3A for :, %40 for @, %25 for %"
UNNAMED = "the configured PostgreSQL database"
_HOST = r"(?:\[[^\]@/?,]+\]|[^\[\]:@/?,]*)(?::[0-9]{1,5})?"
_ADDRESS = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[^:@/]*)(?P<password>:[^@/]*)?@)?"
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)/(?P<database>[^@/?]+)(?:\?(?P<query>[^@]*))?"
)
_PORT = re.compile(r":([0-9]+)(?:,|$)")
_UNESCAPED = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PASSWORDS = frozenset({"password", "sslpassword"})
_SHOWN = frozenset({"host", "hostaddr", "port", "user", "dbname", "sslmode"})


def is_address(address: str) -> bool:
    return _parts(address) is not None


def holds_password(address: str) -> bool:
    parts = _parts(address)
    return parts is not None and (parts["password"] is not None or not _PASSWORDS.isdisjoint(_query(parts)))


def without_password(address: str) -> str:
    """To be printed. Of what cannot be read, nothing is."""
    parts = _parts(address)
    if parts is None:
        return UNNAMED
    user = f"{parts['user']}@" if parts["user"] else ""
    query = "&".join(written for name, written in _query(parts).items() if name in _SHOWN)
    return f"postgresql://{user}{parts['hosts']}/{parts['database']}" + (f"?{query}" if query else "")


def _parts(address: str) -> dict[str, str | None] | None:
    found = _ADDRESS.fullmatch(address)
    if found is None or not address.isprintable() or " " in address or _UNESCAPED.search(address):
        return None
    if not all(0 < int(port) < 1 << 16 for port in _PORT.findall(found["hosts"])):
        return None
    return found.groupdict()


def _query(parts: dict[str, str | None]) -> dict[str, str]:
    """Each parameter as it is written, by its name."""
    return {unquote(each.partition("=")[0]): each for each in (parts["query"] or "").split("&")}
