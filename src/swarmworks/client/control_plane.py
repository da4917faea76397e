"""The typed client of the control plane's API, for the command line, workers and engines.

An error answer comes back as the same class of the error tree; no answer is ControlPlaneUnavailableError. Where several
control planes are known, a request goes to another when the first fails, unless it may have been carried out and must not be
twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from swarmworks.base.errors import (
    ControlPlaneUnavailableError,
)
from swarmworks.base.ids import ChangeId, DeliveryId, MessageId, ReviewId, SessionId, SwarmId, TaskId, WorkerId, WorkId
from swarmworks.client.addresses import Addresses
from swarmworks.client.asking import Asking, Call, error_of
from swarmworks.client.audit import AuditClient
from swarmworks.client.inbox import InboxClient
from swarmworks.client.prices import PricesClient
from swarmworks.client.secrets import SecretsClient
from swarmworks.domain.gate import GateResult
from swarmworks.wire.api import (
    CachedGates,
    CreateSwarm,
    EventPage,
    FinishWork,
    LeasedWork,
    LeaseWork,
    QueueStatus,
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
    TaskName,
    TasksOver,
)
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.conversing import Said, Say, SessionRow, StopSession
from swarmworks.wire.delivery import ApproveDelivery, ConfirmDelivery, DeliveryView, RequestDelivery, WithdrawDelivery
from swarmworks.wire.transport import FetchCommits, PushWork
from swarmworks.wire.why import WhyReport

M = TypeVar("M", bound=BaseModel)
ANSWER_S = 30.0
LINE_S = 120.0  # between two pieces of a long answer
STOP_S = 120.0  # where no control plane works, the silence of workers is waited for
CREATE_S = 1800.0  # a large repository is imported meanwhile
FETCH_S = 1800.0  # a whole history, the first time
REPORT_S = 300.0  # the landed tree is measured meanwhile
HEALTH_S = 2.0
PATIENCE = 3
"""A renewal that has waited a third of the time it has is sent to another control plane as well."""
_SUMMARIES: TypeAdapter[list[SwarmSummary]] = TypeAdapter(list[SwarmSummary])
_DELIVERIES: TypeAdapter[list[DeliveryView]] = TypeAdapter(list[DeliveryView])
_CACHED: TypeAdapter[dict[str, GateResult]] = TypeAdapter(dict[str, GateResult])


class ControlPlaneClient:
    """`url`: of one control plane, or of several that share their state. `person` is on record with what is decided through
    this client. `find` is asked for more addresses when none that is known answers.
    """

    def __init__(
        self, url: str | Sequence[str], token: str, person: str = "", find: Callable[[], Sequence[str]] | None = None
    ) -> None:
        self._addresses = Addresses([url] if isinstance(url, str) else url, find)
        self._asking = Asking(self._addresses, self._request)
        self._http = httpx.AsyncClient(
            headers={"authorization": f"Bearer {token}", "swarm-person": quote(person)},
            timeout=httpx.Timeout(ANSWER_S, pool=None),
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=50),
            trust_env=False,
        )
        self.inbox = InboxClient(self._send)
        self.audit = AuditClient(self._lines)
        self.prices = PricesClient(self._send)
        self.secrets = SecretsClient(self._send)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    @property
    def url(self) -> str:
        """The control plane that is talked to now."""
        return self._addresses.current

    def learn(self, urls: Sequence[str]) -> None:
        """Those that live, as the current one says: it is left at once when it is not among them."""
        self._addresses.learn(urls)

    async def health(self) -> None:
        await self._send("GET", "/health", timeout_s=HEALTH_S)

    # --- swarms

    async def create_swarm(self, request: CreateSwarm) -> SwarmStatus:
        return SwarmStatus.model_validate_json(await self._send("POST", "/api/v1/swarms", request, timeout_s=CREATE_S))

    async def swarms(self) -> list[SwarmSummary]:
        return _SUMMARIES.validate_json(await self._send("GET", "/api/v1/swarms"))

    async def status(self, swarm_id: SwarmId, *, after: int = -1, wait_s: float = 0.0) -> SwarmStatus:
        params = {"after": after, "wait_s": wait_s}
        return SwarmStatus.model_validate_json(await self._send("GET", f"/api/v1/swarms/{swarm_id}", params=params))

    async def queue(self, swarm_id: SwarmId) -> QueueStatus:
        return QueueStatus.model_validate_json(await self._send("GET", f"/api/v1/swarms/{swarm_id}/queue"))

    async def session(self, swarm_id: SwarmId, of: str) -> SessionRow:
        """The session that `of` names: a session, a task or an agent."""
        answer = await self._send("GET", f"/api/v1/swarms/{swarm_id}/session", params={"of": of})
        return SessionRow.model_validate_json(answer)

    async def stop_session(self, swarm_id: SwarmId, request: StopSession) -> SessionRow:
        answer = await self._send("POST", f"/api/v1/swarms/{swarm_id}/sessions/stop", request)
        return SessionRow.model_validate_json(answer)

    async def say(self, swarm_id: SwarmId, request: Say) -> Said:
        return Said.model_validate_json(await self._send("POST", f"/api/v1/swarms/{swarm_id}/say", request))

    async def session_events(
        self, swarm_id: SwarmId, session_id: SessionId, *, after: int = 0, limit: int = 1000, wait_s: float = 0.0
    ) -> EventPage:
        params = {"after": after, "limit": limit, "wait_s": wait_s, "session": session_id}
        answer = await self._send("GET", f"/api/v1/swarms/{swarm_id}/events", params=params)
        return EventPage.model_validate_json(answer)

    async def events(self, swarm_id: SwarmId, *, after: int = 0, limit: int = 1000, wait_s: float = 0.0) -> EventPage:
        params = {"after": after, "limit": limit, "wait_s": wait_s}
        return EventPage.model_validate_json(
            await self._send("GET", f"/api/v1/swarms/{swarm_id}/events", params=params)
        )

    async def report(self, swarm_id: SwarmId) -> SwarmReport:
        return SwarmReport.model_validate_json(
            await self._send("GET", f"/api/v1/swarms/{swarm_id}/report", timeout_s=REPORT_S)
        )

    async def file(self, swarm_id: SwarmId, path: str) -> bytes:
        """A file of what the swarm has landed."""
        return await self._send("GET", f"/api/v1/swarms/{swarm_id}/file", params={"path": path})

    async def why_change(self, change_id: ChangeId) -> WhyReport:
        path = f"/api/v1/changes/{quote(change_id, safe='')}/why"
        return WhyReport.model_validate_json(await self._send("GET", path, timeout_s=REPORT_S))

    async def why_task(self, swarm_id: SwarmId, task_id: TaskId) -> WhyReport:
        path = f"/api/v1/swarms/{swarm_id}/tasks/{quote(task_id, safe='')}/why"
        return WhyReport.model_validate_json(await self._send("GET", path, timeout_s=REPORT_S))

    async def stop(self, swarm_id: SwarmId, request: StopSwarm) -> SwarmStatus:
        answer = await self._send("POST", f"/api/v1/swarms/{swarm_id}/stop", request, timeout_s=STOP_S)
        return SwarmStatus.model_validate_json(answer)

    async def pause(self, swarm_id: SwarmId) -> SwarmStatus:
        return SwarmStatus.model_validate_json(await self._send("POST", f"/api/v1/swarms/{swarm_id}/pause"))

    async def resume(self, swarm_id: SwarmId, request: ResumeSwarm) -> SwarmStatus:
        answer = await self._send("POST", f"/api/v1/swarms/{swarm_id}/resume", request)
        return SwarmStatus.model_validate_json(answer)

    # --- deliveries

    async def request_delivery(self, swarm_id: SwarmId, request: RequestDelivery) -> DeliveryView:
        path = f"/api/v1/swarms/{swarm_id}/deliveries"
        return DeliveryView.model_validate_json(await self._send("POST", path, request, timeout_s=CREATE_S))

    async def deliveries(self, swarm_id: SwarmId) -> list[DeliveryView]:
        return _DELIVERIES.validate_json(await self._send("GET", f"/api/v1/swarms/{swarm_id}/deliveries"))

    async def delivery(self, delivery_id: DeliveryId, *, wait_s: float = 0.0) -> DeliveryView:
        """With `wait_s`, waits that long for one that is being built to be ready or to fail."""
        answer = await self._send("GET", f"/api/v1/deliveries/{delivery_id}", params={"wait_s": wait_s})
        return DeliveryView.model_validate_json(answer)

    async def approve_delivery(self, delivery_id: DeliveryId, review_id: ReviewId, reason: str) -> DeliveryView:
        """ConflictError when the review is no longer the one that is open."""
        return await self._deliver(delivery_id, "approve", ApproveDelivery(reason=reason, review=review_id))

    async def confirm_delivery(self, delivery_id: DeliveryId, commit: str) -> DeliveryView:
        return await self._deliver(delivery_id, "delivered", ConfirmDelivery(commit=commit))

    async def withdraw_delivery(self, delivery_id: DeliveryId, reason: str) -> DeliveryView:
        return await self._deliver(delivery_id, "withdraw", WithdrawDelivery(reason=reason))

    async def _deliver(self, delivery_id: DeliveryId, step: str, body: BaseModel) -> DeliveryView:
        answer = await self._send("POST", f"/api/v1/deliveries/{delivery_id}/{step}", body)
        return DeliveryView.model_validate_json(answer)

    # --- workers

    async def register_worker(self, request: RegisterWorker) -> RegisteredWorker:
        return RegisteredWorker.model_validate_json(await self._send("POST", "/api/v1/workers", request, again=True))

    async def renew_worker(
        self, worker_id: WorkerId, request: RenewWorker, *, heard: Sequence[MessageId] = (), timeout_s: float
    ) -> RenewedWorker:
        """Within `timeout_s`, by whichever control plane answers first: one that hangs must not cost the lease. `heard`: the words
        of the last answer that came.
        """
        call = Call("POST", f"/api/v1/workers/{worker_id}/renew", request, timeout_s, again=True, params=_heard(heard))
        answer = await self._asking.answered(call, patience_s=timeout_s / PATIENCE)
        return RenewedWorker.model_validate_json(answer)

    async def remove_worker(self, worker_id: WorkerId, request: RenewWorker) -> None:
        await self._send("POST", f"/api/v1/workers/{worker_id}/remove", request, again=True)

    async def lease(self, worker_id: WorkerId, request: LeaseWork) -> LeasedWork:
        answer = await self._send(
            "POST", f"/api/v1/workers/{worker_id}/lease", request, timeout_s=request.wait_s + ANSWER_S, again=True
        )
        return _understood(LeasedWork, answer, self.url)

    async def finish(self, work_id: WorkId, request: FinishWork, *, heard: Sequence[MessageId] = ()) -> None:
        path = f"/api/v1/work/{work_id}/finish"
        await self._send("POST", path, request, timeout_s=120.0, again=True, params=_heard(heard))

    async def record(self, session_id: SessionId, request: SessionEvents) -> None:
        await self._send("POST", f"/api/v1/sessions/{session_id}/events", request, again=True)

    async def cached_gates(self, keys: Sequence[str]) -> dict[str, GateResult]:
        body = CachedGates(keys=tuple(keys))
        return _CACHED.validate_json(await self._send("POST", "/api/v1/gates/cached", body, again=True))

    async def fetch_commits(self, request: FetchCommits) -> bytes:
        """A pack."""
        return await self._send("POST", "/api/v1/commits/fetch", request, timeout_s=FETCH_S, again=True)

    async def push_work(self, work_id: WorkId, request: PushWork) -> None:
        await self._send("POST", f"/api/v1/work/{work_id}/push", request, timeout_s=FETCH_S, again=True)

    async def tasks_over(self, tasks: Sequence[TaskName]) -> frozenset[TaskName]:
        """Those of `tasks`, at most 1,000, that have come to their end."""
        answer = await self._send("POST", "/api/v1/tasks/over", TasksOver(tasks=tuple(tasks)), again=True)
        return frozenset(TasksOver.model_validate_json(answer).tasks)

    async def config(self, swarm_id: SwarmId) -> SwarmConfig:
        return _understood(SwarmConfig, await self._send("GET", f"/api/v1/swarms/{swarm_id}/config"), self.url)

    async def _send(
        self,
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        params: dict[str, Any] | None = None,
        timeout_s: float = ANSWER_S,
        again: bool = False,
    ) -> bytes:
        waits_s = float((params or {}).get("wait_s", 0.0))
        call = Call(method, path, body, timeout_s + waits_s, again or method == "GET", params or {})
        return await self._asking.answered(call)

    async def _request(self, url: str, call: Call, timeout_s: float) -> httpx.Response:
        return await self._http.request(
            call.method,
            url + call.path,
            content=None if call.body is None else call.body.model_dump_json(by_alias=True),
            headers={"content-type": "application/json"},
            params=call.params or None,
            timeout=timeout_s,
        )

    async def _lines(self, path: str, params: dict[str, str]) -> AsyncIterator[str]:
        """An answer of many lines, while it comes: what has begun is not asked for again."""
        if self._addresses.several:
            await self.health()
        try:
            async with self._http.stream("GET", self.url + path, params=params, timeout=LINE_S) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise error_of(answer)
                async for line in answer.aiter_lines():
                    yield line
        except httpx.HTTPError as error:
            raise ControlPlaneUnavailableError(
                f"the answer of the control plane ended early: {type(error).__name__}",
                where=self.url,
                mend="see the log of the control plane, then ask again",
            ) from error


def _heard(messages: Sequence[MessageId]) -> dict[str, Any]:
    return {"heard": ",".join(messages)}


def _understood(kind: type[M], answer: bytes, url: str) -> M:
    """An error of the control plane's where it says what this version does not know: that must not end what a worker holds."""
    try:
        return kind.model_validate_json(answer)
    except ValidationError as error:
        named = "; ".join(f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors()[:3])
        raise ControlPlaneUnavailableError(
            f"the control plane's answer is not understood: {named}", where=url, mend="bring both to the same version"
        ) from error
