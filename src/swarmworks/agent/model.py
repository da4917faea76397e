"""One model call over HTTP: kept-alive connection, few bounded retries, and a refusal told apart from a fault."""

from __future__ import annotations

import http.client
import json
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from swarmworks.agent import document
from swarmworks.agent.dialect import AnswerError
from swarmworks.base.errors import UsageError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from swarmworks.agent.conversation import Conversation, ModelAnswer
    from swarmworks.agent.dialect import Dialect, ModelSettings

CONNECT_TIMEOUT_S = 10.0
MAX_TRIES = 4
MAX_RETRY_AFTER_S = 30.0
FIRST_BACKOFF_S = 0.5
MAX_ANSWER_BYTES = 16 << 20
RETRYABLE = frozenset({429, 503, 529})


@dataclass(frozen=True, slots=True)
class ModelFailure:
    """No answer, for good. `outcome` is how the session ends: `refused`, `handed_off` or `failed`."""

    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class _TryAgain:
    """`wait_s` is what the server asked for, None when it said nothing."""

    reason: str
    wait_s: float | None = None


class ModelClient:
    """`remaining_s` says how long the session may still take: no wait is begun that could not end in time."""

    def __init__(
        self,
        dialect: Dialect,
        settings: ModelSettings,
        base_url: str,
        token: str,
        remaining_s: Callable[[], float],
    ) -> None:
        self._dialect = dialect
        self._settings = settings
        self._remaining_s = remaining_s
        host, port, path = _address(base_url)
        self._path = path.rstrip("/") + dialect.path
        self._headers = {"Content-Type": "application/json", **dialect.headers(token)}
        self._connection = http.client.HTTPConnection(host, port, timeout=CONNECT_TIMEOUT_S)

    def body(self, conversation: Conversation) -> bytes:
        return json.dumps(self._dialect.body(conversation, self._settings), ensure_ascii=False).encode()

    def ask(self, body: bytes) -> ModelAnswer | ModelFailure:
        reason = ""
        for number in range(MAX_TRIES):
            reused = self._connection.sock is not None
            result = self._try(body)
            if not isinstance(result, _TryAgain):
                return result
            reason = result.reason
            self._connection.close()
            wait_s = _wait_s(number, result, reused=reused)
            if wait_s >= self._remaining_s():
                break
            if number < MAX_TRIES - 1:
                time.sleep(wait_s)
        return ModelFailure("failed", f"model_unavailable: {reason}")

    def _try(self, body: bytes) -> ModelAnswer | ModelFailure | _TryAgain:
        try:
            response = self._send(body)
            if response.status != http.HTTPStatus.OK:
                return _refusal(response, _read_all(response))
            if "text/event-stream" in response.getheader("content-type", ""):
                answer = self._dialect.assemble(_server_sent(response))
                _read_all(response)
            else:
                answer = document.mapping(document.parse(_read_all(response)))
            return self._dialect.read(answer)
        except (OSError, http.client.HTTPException) as error:
            return _TryAgain(f"the connection failed: {error!r}")
        except ValueError:
            return _TryAgain("the answer was not JSON")
        except AnswerError as error:
            return _TryAgain(str(error))

    def _send(self, body: bytes) -> http.client.HTTPResponse:
        if self._connection.sock is None:
            self._connection.connect()
            # The session's deadline interrupts whatever blocks; the gateway owns first-byte and idle time-outs.
            cast("socket.socket", self._connection.sock).settimeout(None)
        self._connection.request("POST", self._path, body, self._headers)
        return self._connection.getresponse()


def _address(base_url: str) -> tuple[str, int | None, str]:
    try:
        url = urlsplit(base_url)
        host, port = url.hostname, url.port
    except ValueError:
        url, host, port = None, None, None
    if url is None or url.scheme != "http" or not host:
        raise UsageError(
            f"{base_url!r} is not a plain http address",
            where="base_url",
            mend="give the sandbox's listener, such as http://127.0.0.1:8181/v1",
        )
    return host, port, url.path


def _wait_s(number: int, again: _TryAgain, *, reused: bool) -> float:
    """A kept-alive connection that the server closed meanwhile is no sign of trouble: the first retry is at once."""
    if again.wait_s is not None:
        return again.wait_s
    if reused and number == 0:
        return 0.0
    return FIRST_BACKOFF_S * 2**number * random.uniform(0.75, 1.25)


def _read_all(response: http.client.HTTPResponse) -> bytes:
    data = response.read(MAX_ANSWER_BYTES + 1)
    if len(data) > MAX_ANSWER_BYTES:
        raise AnswerError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    return data


def _server_sent(response: http.client.HTTPResponse) -> Iterator[dict[str, object]]:
    """The data of each event. `[DONE]` ends an OpenAI stream; the other dialects end with the connection's body."""
    data: list[bytes] = []
    total = 0
    while True:
        line = response.readline(MAX_ANSWER_BYTES)
        total += len(line)
        if total > MAX_ANSWER_BYTES:
            raise AnswerError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        if line.startswith(b"data:"):
            data.append(line[5:].strip())
        elif not line.strip() and data:
            event, data = b"\n".join(data), []
            if event == b"[DONE]":
                return
            yield document.mapping(document.parse(event))
        if not line:
            return


def _refusal(response: http.client.HTTPResponse, body: bytes) -> ModelFailure | _TryAgain:
    what = f"HTTP {response.status}: {_error_text(body)}"
    if response.status in RETRYABLE and response.getheader("x-should-retry") != "false":
        return _TryAgain(what, _retry_after_s(response.getheader("retry-after")))
    if response.status == http.HTTPStatus.BAD_REQUEST:
        if response.getheader("x-should-retry") == "false":
            return ModelFailure("refused", what)
        if b"context_length_exceeded" in body or b"prompt is too long" in body:
            return ModelFailure("handed_off", f"context: {what}")
    return ModelFailure("failed", f"model_error: {what}")


def _retry_after_s(value: str | None) -> float | None:
    """Seconds only: gateways do not send dates, and a date needs the two clocks to agree."""
    try:
        return min(MAX_RETRY_AFTER_S, max(0.0, float(value or "")))
    except ValueError:
        return None


def _error_text(body: bytes) -> str:
    try:
        error = document.mapping(document.mapping(document.parse(body)).get("error"))
    except ValueError:
        error = {}
    return document.text(error.get("message")) or body[:200].decode("utf-8", "replace")
