"""Where a database is and as whom it is read: an address as PostgreSQL's own programs take it, in what the proxy needs of it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import conninfo_to_dict

from swarmworks.base.errors import UsageError

ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})
MODES = frozenset({"disable", "prefer", *ENCRYPTED})


@dataclass(frozen=True, slots=True)
class Address:
    """`host` may be a folder with a socket. `tls`: disable, prefer, require, verify-ca or verify-full, as PostgreSQL means them."""

    host: str
    port: int
    user: str
    database: str
    password: str = field(default="", repr=False)
    tls: str = "prefer"
    root_certificate: str = ""

    @property
    def socket_path(self) -> str | None:
        return f"{self.host}/.s.PGSQL.{self.port}" if self.host.startswith("/") else None

    def tls_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.root_certificate or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.tls not in {"verify-ca", "verify-full"} and not self.root_certificate:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.tls != "verify-full":
            context.check_hostname = False
        return context


def parse(text: str, where: str) -> Address:
    """UsageError, naming no password, when it is none."""
    try:
        given = {key: str(value) for key, value in conninfo_to_dict(text).items() if value is not None}
    except psycopg.Error:
        raise UsageError(
            "not an address of a PostgreSQL database", where=where, mend="postgresql://user@host/name"
        ) from None
    user, tls = given.get("user", ""), given.get("sslmode", "prefer")
    if not user or tls not in MODES or "," in given.get("host", "") or not given.get("port", "5432").isdigit():
        mend = f"name one user, one host, and of sslmode one of {', '.join(sorted(MODES))}"
        raise UsageError("this address of a database cannot be used here", where=where, mend=mend)
    return Address(
        host=given.get("host", "127.0.0.1"),
        port=int(given.get("port", "5432")),
        user=user,
        database=given.get("dbname", user),
        password=given.get("password", ""),
        tls=tls,
        root_certificate=given.get("sslrootcert", ""),
    )
