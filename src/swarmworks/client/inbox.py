"""The inbox as the client sees it, beside the rest of the API: reached as `client.inbox`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

from pydantic import BaseModel

from swarmworks.base.ids import SwarmId
from swarmworks.wire.inbox import (
    AnswerQuestion,
    Approve,
    CancelTask,
    Decided,
    Inbox,
    InboxDetail,
    Reject,
    RetryTask,
    RevertTask,
)

ROOT = "/api/v1/inbox"

Send = Callable[[str, str, BaseModel | None], Awaitable[bytes]]


class InboxClient:
    """`item` is an id or a part of one; a task's id where a task is meant."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def items(self, swarm_id: SwarmId | None = None) -> Inbox:
        of_one = f"?swarm={quote(swarm_id, safe='')}" if swarm_id else ""
        return Inbox.model_validate_json(await self._send("GET", f"{ROOT}{of_one}", None))

    async def detail(self, item: str) -> InboxDetail:
        return InboxDetail.model_validate_json(await self._send("GET", f"{ROOT}/{quote(item, safe='')}", None))

    async def approve(self, item: str, request: Approve) -> Decided:
        return await self._decide(item, "approve", request)

    async def reject(self, item: str, request: Reject) -> Decided:
        return await self._decide(item, "reject", request)

    async def answer(self, item: str, request: AnswerQuestion) -> Decided:
        return await self._decide(item, "answer", request)

    async def retry(self, item: str, request: RetryTask) -> Decided:
        return await self._decide(item, "retry", request)

    async def cancel(self, item: str, request: CancelTask) -> Decided:
        return await self._decide(item, "cancel", request)

    async def revert(self, item: str, request: RevertTask) -> Decided:
        return await self._decide(item, "revert", request)

    async def _decide(self, item: str, what: str, request: BaseModel) -> Decided:
        return Decided.model_validate_json(await self._send("POST", f"{ROOT}/{quote(item, safe='')}/{what}", request))
