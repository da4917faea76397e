"""What a role may reach besides the gateway: hosts (`reach`) and read-only databases. Nothing, unless the file says so."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

_HOST: Final = r"^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?$"
Host = Annotated[str, Field(pattern=_HOST)]
Database = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class RoleReach(BaseModel):
    """`reach`: `host`, `host:port` or `*.domain`, through the proxy at the sandbox's listener; without a port 80 and 443.
    `databases`: names of `[databases.NAME]`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reach: Annotated[tuple[Host, ...], Field(max_length=200)] = ()
    databases: Annotated[tuple[Database, ...], Field(max_length=10)] = ()

    @field_validator("reach")
    @classmethod
    def _ports(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            port = host.partition(":")[2]
            if port and not 0 < int(port) < 65_536:
                raise ValueError(f"{host!r} has no port between 1 and 65535")
        return hosts


class DatabaseSection(BaseModel):
    """A PostgreSQL database that roles may read: the variable, where workers run, with its address; the role in it must not
    be able to write.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["postgresql"] = "postgresql"
    url_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    statement_timeout_s: Annotated[float, Field(gt=0, le=3_600)] = 30.0
