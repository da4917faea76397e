"""The typed client of the control plane's API, for the command line, workers and engines.

An error answer comes back as the same class of the error tree; no answer is ControlPlaneUnavailableError.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from swarmworks.base.errors import ControlPlaneUnavailableError, SwarmworksError, by_code
from swarmworks.base.ids import SessionId, SwarmId, WorkerId, WorkId
from swarmworks.domain.gate import GateResult
from swarmworks.wire.api import (
    CachedGates,
    CreateSwarm,
    ErrorBody,
    EventPage,
    FinishWork,
    LeasedWork,
    LeaseWork,
    RegisteredWorker,
    RegisterWorker,
    RenewedWorker,
    RenewWorker,
    ResumeSwarm,
    SessionEvents,
    StopSwarm,
    SwarmReport,
    SwarmStatus,
    SwarmSummary,
)
from swarmworks.wire.config import SwarmConfig

M = TypeVar("M", bound=BaseModel)
ANSWER_S = 30.0
CREATE_S = 1800.0  # a large repository is imported meanwhile
REPORT_S = 300.0  # the landed tree is measured meanwhile
_SUMMARIES: TypeAdapter[list[SwarmSummary]] = TypeAdapter(list[SwarmSummary])
_CACHED: TypeAdapter[dict[str, GateResult]] = TypeAdapter(dict[str, GateResult])


class ControlPlaneClient:
    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(ANSWER_S, pool=None),
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=50),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def health(self) -> None:
        await self._send("GET", "/health")

    # --- swarms

    async def create_swarm(self, request: CreateSwarm) -> SwarmStatus:
        return SwarmStatus.model_validate_json(await self._send("POST", "/api/v1/swarms", request, timeout_s=CREATE_S))

    async def swarms(self) -> list[SwarmSummary]:
        return _SUMMARIES.validate_json(await self._send("GET", "/api/v1/swarms"))

    async def status(self, swarm_id: SwarmId, *, after: int = -1, wait_s: float = 0.0) -> SwarmStatus:
        params = {"after": after, "wait_s": wait_s}
        return SwarmStatus.model_validate_json(await self._send("GET", f"/api/v1/swarms/{swarm_id}", params=params))

    async def events(self, swarm_id: SwarmId, *, after: int = 0, limit: int = 1000, wait_s: float = 0.0) -> EventPage:
        params = {"after": after, "limit": limit, "wait_s": wait_s}
        return EventPage.model_validate_json(
            await self._send("GET", f"/api/v1/swarms/{swarm_id}/events", params=params)
        )

    async def report(self, swarm_id: SwarmId) -> SwarmReport:
        return SwarmReport.model_validate_json(
            await self._send("GET", f"/api/v1/swarms/{swarm_id}/report", timeout_s=REPORT_S)
        )

    async def stop(self, swarm_id: SwarmId, request: StopSwarm) -> SwarmStatus:
        answer = await self._send("POST", f"/api/v1/swarms/{swarm_id}/stop", request)
        return SwarmStatus.model_validate_json(answer)

    async def resume(self, swarm_id: SwarmId, request: ResumeSwarm) -> SwarmStatus:
        answer = await self._send("POST", f"/api/v1/swarms/{swarm_id}/resume", request)
        return SwarmStatus.model_validate_json(answer)

    # --- workers

    async def register_worker(self, request: RegisterWorker) -> RegisteredWorker:
        return RegisteredWorker.model_validate_json(await self._send("POST", "/api/v1/workers", request))

    async def renew_worker(self, worker_id: WorkerId, request: RenewWorker, *, timeout_s: float) -> RenewedWorker:
        answer = await self._send("POST", f"/api/v1/workers/{worker_id}/renew", request, timeout_s=timeout_s)
        return RenewedWorker.model_validate_json(answer)

    async def remove_worker(self, worker_id: WorkerId, request: RenewWorker) -> None:
        await self._send("POST", f"/api/v1/workers/{worker_id}/remove", request)

    async def lease(self, worker_id: WorkerId, request: LeaseWork) -> LeasedWork:
        answer = await self._send(
            "POST", f"/api/v1/workers/{worker_id}/lease", request, timeout_s=request.wait_s + ANSWER_S
        )
        return LeasedWork.model_validate_json(answer)

    async def finish(self, work_id: WorkId, request: FinishWork) -> None:
        await self._send("POST", f"/api/v1/work/{work_id}/finish", request, timeout_s=120.0)

    async def record(self, session_id: SessionId, request: SessionEvents) -> None:
        await self._send("POST", f"/api/v1/sessions/{session_id}/events", request)

    async def cached_gates(self, keys: Sequence[str]) -> dict[str, GateResult]:
        return _CACHED.validate_json(await self._send("POST", "/api/v1/gates/cached", CachedGates(keys=tuple(keys))))

    async def config(self, swarm_id: SwarmId) -> SwarmConfig:
        return SwarmConfig.model_validate_json(await self._send("GET", f"/api/v1/swarms/{swarm_id}/config"))

    async def _send(
        self,
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        params: dict[str, Any] | None = None,
        timeout_s: float = ANSWER_S,
    ) -> bytes:
        try:
            answer = await self._http.request(
                method,
                path,
                content=None if body is None else body.model_dump_json(by_alias=True),
                headers={"content-type": "application/json"},
                params=params,
                timeout=timeout_s + float((params or {}).get("wait_s", 0.0)),
            )
        except httpx.HTTPError as error:
            raise ControlPlaneUnavailableError(
                f"no answer from the control plane: {type(error).__name__}",
                where=str(self._http.base_url),
                mend="start it with `swarm resume` or `swarm serve`",
            ) from error
        if answer.is_success:
            return answer.content
        raise _error(answer)


def _error(answer: httpx.Response) -> SwarmworksError:
    """The answer as the error it was; an answer that is none of ours is the control plane's fault."""
    try:
        body = ErrorBody.model_validate(json.loads(answer.content))
    except (ValueError, ValidationError):
        return ControlPlaneUnavailableError(
            f"the control plane answered HTTP {answer.status_code}: {answer.text[:200]!r}", where=str(answer.url)
        )
    kind = by_code().get(body.code, SwarmworksError)
    if kind.__init__ is not SwarmworksError.__init__:
        kind = SwarmworksError.__subclasses__()[0]
    return kind(body.what, where=body.where, mend=body.mend)
