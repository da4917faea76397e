"""The audit as the client sees it, beside the rest of the API: reached as `client.audit`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime

from swarmworks.base.ids import SwarmId
from swarmworks.wire.audit import AUDIT_LINE, CheckedAnchors, CheckedSwarm, Checking

ROOT = "/api/v1/audit"

Stream = Callable[[str, dict[str, str]], AsyncIterator[str]]


class AuditClient:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def verify(self, swarm_id: SwarmId | None) -> AsyncIterator[CheckedAnchors | CheckedSwarm | Checking]:
        async for line in self._stream(f"{ROOT}/verify", _params(swarm_id)):
            yield AUDIT_LINE.validate_json(line)

    async def export(self, swarm_id: SwarmId | None, since: datetime | None) -> AsyncIterator[str]:
        """Lines without their ends."""
        params = _params(swarm_id)
        if since is not None:
            params["since"] = since.isoformat()
        async for line in self._stream(f"{ROOT}/events", params):
            yield line


def _params(swarm_id: SwarmId | None) -> dict[str, str]:
    return {} if swarm_id is None else {"swarm": swarm_id}
