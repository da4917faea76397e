"""The databases of a session's role, from the configuration to the sockets in its sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from swarmworks.base.errors import UnavailableError
from swarmworks.git.removal import remove_tree
from swarmworks.sandbox.protocol import Mount
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.session_events import Access
from swarmworks.worker.databases.address import parse
from swarmworks.worker.databases.proxy import DatabaseProxy, Offered

INSIDE = "/opt/swarm/databases"
PREFIX = "SWARM_DATABASE_"


class Databases:
    """Of one session. `addresses` looks up the variable that holds an address; `place` is a folder of the session's own."""

    def __init__(self, config: SwarmConfig, role: str, addresses: Callable[[str], str], place: Path) -> None:
        """UnavailableError when the worker has no address for one, UsageError when it is none."""
        self._place = place
        self._offered = [self._offer(config, name, addresses) for name in config.role(role).databases]
        self._proxies: list[DatabaseProxy] = []

    def _offer(self, config: SwarmConfig, name: str, addresses: Callable[[str], str]) -> Offered:
        section = config.databases[name]
        text = addresses(section.url_env)
        if not text:
            raise UnavailableError(
                f"the worker has no address of the database {name!r}",
                where=f"databases.{name}.url_env",
                mend=f"set {section.url_env} where workers run",
            )
        return Offered(name, parse(text, section.url_env), self._place / name, section.statement_timeout_s)

    async def start(self, record: Callable[[Access], None]) -> None:
        for offered in self._offered:
            proxy = DatabaseProxy(offered, record)
            self._proxies.append(proxy)
            await proxy.start()

    async def close(self) -> None:
        for proxy in self._proxies:
            await proxy.close()
        if self._offered:
            await asyncio.to_thread(remove_tree, self._place)

    def mounts(self) -> tuple[Mount, ...]:
        return tuple(Mount(offered.folder, f"{INSIDE}/{offered.name}") for offered in self._offered)

    def variables(self) -> Mapping[str, str]:
        """An address of each, as PostgreSQL's programs take it. The user in it stands for whoever is behind the proxy."""
        return {
            f"{PREFIX}{offered.name.upper()}": f"postgresql://reader@/{offered.address.database}?host={INSIDE}/{offered.name}"
            for offered in self._offered
        }
