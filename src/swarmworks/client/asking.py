"""One request, brought to a control plane that answers it: to another when the first fails, unless it may have been carried
out and must not be twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from swarmworks.base.concurrency import end_all
from swarmworks.base.errors import (
    ControlPlaneUnavailableError,
    SwarmworksError,
    UnauthenticatedError,
    UnavailableError,
    by_code,
)
from swarmworks.client.addresses import Addresses, LeftError
from swarmworks.wire.api import ErrorBody


@dataclass(frozen=True, slots=True)
class Call:
    """`again`: it may be carried out twice, so that it is repeated when its answer was lost."""

    method: str
    path: str
    body: BaseModel | None
    timeout_s: float
    again: bool
    params: dict[str, Any] = field(default_factory=dict[str, Any])


class _ElsewhereError(Exception):
    """`failure` is what it is when no other control plane can be asked either."""

    def __init__(self, failure: SwarmworksError) -> None:
        super().__init__(str(failure))
        self.failure = failure


Request = Callable[[str, Call, float], Coroutine[Any, Any, httpx.Response]]


class Asking:
    """`request` sends a call to the control plane at an address, with its time in seconds."""

    def __init__(self, addresses: Addresses, request: Request) -> None:
        self._addresses = addresses
        self._request = request

    async def answered(self, call: Call, patience_s: float | None = None) -> bytes:
        """The answer of the current control plane, else of another. With `patience_s` the next one is asked beside one that
        is silent for so long, and all of them together have the time of one.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + call.timeout_s
        asked: dict[asyncio.Task[bytes], str] = {}
        tried: list[str] = []
        failure: SwarmworksError | None = None
        try:
            while True:
                url = self._addresses.following(tried)
                if url is not None:
                    timeout_s = call.timeout_s if patience_s is None else max(0.0, deadline - loop.time())
                    asked[asyncio.create_task(self._once(url, call, timeout_s))] = url
                    tried.append(url)
                elif not asked:
                    assert failure is not None
                    raise _by_all(failure, tried)
                wait_s = None if url is None else patience_s
                done, _ = await asyncio.wait(asked, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    try:
                        return self._heard(asked.pop(task), task)
                    except _ElsewhereError as error:
                        failure = error.failure
        finally:
            await end_all(asked)

    def _heard(self, url: str, task: asyncio.Task[bytes]) -> bytes:
        try:
            answer = task.result()
        except _ElsewhereError:
            self._addresses.leave(url)
            raise
        self._addresses.prefer(url)
        return answer

    async def _once(self, url: str, call: Call, timeout_s: float) -> bytes:
        """_ElsewhereError when another control plane may be asked instead."""
        asking = self._request(url, call, timeout_s)
        try:
            answer = await (self._addresses.unless_left(url, asking) if call.again else asking)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise _ElsewhereError(_unanswered(url, error)) from error
        except (httpx.HTTPError, LeftError) as error:
            if not call.again:
                raise _lost(url, error) from error
            raise _ElsewhereError(_unanswered(url, error)) from error
        if answer.is_success:
            return answer.content
        refusal = error_of(answer)
        if isinstance(refusal, UnauthenticatedError) or (call.again and isinstance(refusal, UnavailableError)):
            raise _ElsewhereError(refusal)
        raise refusal


def _unanswered(url: str, error: Exception) -> ControlPlaneUnavailableError:
    return ControlPlaneUnavailableError(
        f"no answer from the control plane: {type(error).__name__}",
        where=url,
        mend="start it with `swarm resume` or `swarm serve`",
    )


def _by_all(failure: SwarmworksError, tried: Sequence[str]) -> SwarmworksError:
    if len(tried) > 1 and isinstance(failure, ControlPlaneUnavailableError):
        return ControlPlaneUnavailableError(failure.what, where=", ".join(tried), mend=failure.mend)
    return failure


def _lost(url: str, error: Exception) -> ControlPlaneUnavailableError:
    return ControlPlaneUnavailableError(
        f"no answer from the control plane, which may have done what was asked: {type(error).__name__}",
        where=url,
        mend="look with `swarm status` before you ask again",
    )


def error_of(answer: httpx.Response) -> SwarmworksError:
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
