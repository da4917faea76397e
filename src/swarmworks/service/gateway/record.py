"""What the gateway is told (settings, providers) and what it tells (a record of every call)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from swarmworks.base.ids import SessionId, TaskId
    from swarmworks.domain.budget import Amount, Usage


@dataclass(frozen=True, slots=True)
class Upstream:
    """A provider's address. `base_url` as its own SDK takes it: with the version for OpenAI, without for Anthropic."""

    name: str
    kind: Literal["openai", "anthropic", "rehearsal"]
    base_url: str
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Every limit of the gateway. Seconds and bytes."""

    connect_s: float = 10.0
    first_byte_s: float = 600.0  # a reasoning model that does not stream answers after minutes
    idle_s: float = 120.0  # between two chunks of a stream
    call_s: float = 1_800.0
    client_idle_s: float = 60.0  # a client that takes nothing for this long is gone
    drain_s: float = 300.0  # how long an answer is read on for the meter after its client went
    drains: int = 200  # how many at once
    queue_s: float = 60.0  # how long a call waits for money that is held
    queue_poll_s: float = 1.0  # limits can be raised by others than us
    queue_length: int = 1_000
    retry_after_s: int = 15  # told to a client that waited in vain
    body_bytes: int = 10_000_000
    answer_bytes: int = 64_000_000  # of an answer that is not streamed; a single event of a stream
    stream_bytes: int = 256_000_000
    counts_per_session: int = 2_000  # of tokens before a call: free, but bounded
    allowed_fields: frozenset[str] = frozenset()  # of requests, beyond those known to be bounded
    close_s: float = 5.0  # for calls under way when the gateway closes


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call, when it is over. `refusal` says why it failed. With `reserved` None nothing was sent: `budget`, `calls`,
    `unpriced`, `closed`, `rejected`, `busy`, `unavailable`. Else: `cut`, `unavailable`, or `provider_<status>`. `settled`
    None with `reserved` set: the ledger could not be reached, and settles in full when it recovers. `stop`: no later call
    of this session can succeed either, so it should be ended.
    """

    session_id: SessionId
    task_id: TaskId
    model: str
    wire_format: str
    status: int
    reserved: Amount | None
    settled: Amount | None
    usage: Usage | None
    estimated: bool
    duration_s: float
    first_byte_s: float | None
    refusal: str | None
    stop: bool = False
