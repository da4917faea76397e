"""The databases of a session's role: from the configuration to an address that a PostgreSQL client in its sandbox takes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from swarmworks.base.errors import UnavailableError
from swarmworks.wire.config import SwarmConfig
from swarmworks.worker.databases.address import parse
from swarmworks.worker.databases.proxy import Offered

PREFIX = "SWARM_DATABASE_"
SECRET_BYTES = 18


def offered(config: SwarmConfig, role: str, addresses: Callable[[str], str]) -> tuple[Offered, ...]:
    """`addresses` looks up the variable that holds an address. UnavailableError when the worker has none for a database, UsageError
    when it is none.
    """
    secret = secrets.token_urlsafe(SECRET_BYTES)
    return tuple(_offer(config, name, addresses, secret) for name in config.role(role).databases)


def _offer(config: SwarmConfig, name: str, addresses: Callable[[str], str], secret: str) -> Offered:
    section = config.databases[name]
    text = addresses(section.url_env)
    if not text:
        raise UnavailableError(
            f"the worker has no address of the database {name!r}",
            where=f"databases.{name}.url_env",
            mend=f"set {section.url_env} where workers run",
        )
    return Offered(name, parse(text, section.url_env), section.url_env, secret, section.statement_timeout_s)


def variables(databases: tuple[Offered, ...], port: int) -> Mapping[str, str]:
    """An address of each at the sandbox's listener, as PostgreSQL's programs take it. Neither the user nor the password in it is one
    of the database's.
    """
    return {
        f"{PREFIX}{one.name.upper()}": f"postgresql://{one.name}:{one.secret}@127.0.0.1:{port}/{one.address.database}"
        "?sslmode=disable&gssencmode=disable"
        for one in databases
    }
