"""What the gateway is told (settings, providers) and what it tells (a record of every call)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from swarmworks.domain.provider import UNLIMITED, AccountLimits
from swarmworks.policy.circuit import NO_RULES, CircuitRules
from swarmworks.policy.context import NO_HANDING_OVER, ContextRules

if TYPE_CHECKING:
    from swarmworks.base.ids import SessionId, SwarmId, TaskId
    from swarmworks.domain.budget import Amount, Usage
    from swarmworks.policy.subscription import Subscription
    from swarmworks.service.gateway.content import Content


@dataclass(frozen=True, slots=True)
class ProviderAccount:
    """One key at a provider, and what it is limited to. `name` is empty for a provider's only one."""

    name: str
    key: str | None = field(default=None, repr=False)
    limits: AccountLimits = UNLIMITED


@dataclass(frozen=True, slots=True)
class Upstream:
    """A provider's address. `base_url` as its own SDK takes it: with the version for OpenAI, without for the others. With
    `accounts`, `key` does not count.
    """

    name: str
    kind: Literal["openai", "anthropic", "google", "rehearsal"]
    base_url: str
    key: str | None = field(default=None, repr=False)
    first_byte_s: float | None = None  # where it is known to answer sooner than GatewaySettings.first_byte_s, or never
    accounts: tuple[ProviderAccount, ...] = ()
    subscription: Subscription | None = None  # its calls cost no money, and draw on its throughput

    def all_accounts(self) -> tuple[ProviderAccount, ...]:
        return self.accounts or (ProviderAccount("", self.key),)

    def with_key(self, account: str, key: str) -> Upstream:
        """`account` is empty for a provider's only one."""
        if not self.accounts:
            return replace(self, key=key)
        accounts = tuple(replace(one, key=key) if one.name == account else one for one in self.accounts)
        return replace(self, accounts=accounts)

    def keys(self) -> tuple[str, ...]:
        return tuple(account.key for account in self.all_accounts() if account.key)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Every limit of the gateway. Seconds and bytes."""

    connect_s: float = 10.0
    first_byte_s: float = 600.0  # a reasoning model that does not stream answers after minutes
    idle_s: float = 120.0  # between two chunks of a stream
    after_end_s: float = 1.0  # how long a provider that said it was done may take to close the stream
    call_s: float = 1_800.0
    client_idle_s: float = 60.0  # a client that takes nothing for this long is gone
    drain_s: float = 300.0  # how long an answer is read on for the meter after its client went
    drains: int = 200  # how many at once
    queue_s: float = 60.0  # how long a call waits for money that is held
    queue_poll_s: float = 1.0  # limits can be raised by others than us
    queue_length: int = 1_000
    queue_session_length: int = 100
    provider_wait_s: float = 240.0  # most a call waits for a provider that limits, is overloaded, or is out
    provider_poll_s: float = 1.0
    provider_queue_length: int = 1_000
    charged_tries: int = 3  # of one call, that may each cost its whole reservation
    retry_after_s: int = 15  # told to a client that waited in vain
    body_bytes: int = 10_000_000
    body_s: float = 120.0  # for a whole body: `client_idle_s` alone would let it come byte by byte
    session_bodies_bytes: int = (
        40_000_000  # of one session's calls that are being read or wait for their answer to begin
    )
    bodies_bytes: int = 256_000_000  # and of all sessions
    answer_bytes: int = 64_000_000  # of an answer that is not streamed; a single event of a stream
    stream_bytes: int = 256_000_000
    counts_per_session: int = 2_000  # of tokens before a call: free, but bounded
    bound_counts_per_session: int = 100  # the gateway's own, for calls that would not fit otherwise
    bound_count_s: float = 5.0  # how long the provider may take for one
    allowed_fields: frozenset[str] = frozenset()  # of requests, beyond those known to be bounded
    circuit: CircuitRules = NO_RULES
    context: ContextRules = NO_HANDING_OVER
    close_s: float = 5.0  # for calls under way when the gateway closes
    content_chars: int = 0  # of a prompt, and of an answer, that are put into a call's record


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call, when it is over. `refusal` says why it failed. With `reserved` None nothing was sent: `budget`, `calls`,
    `unpriced`, `closed`, `rejected`, `stopped`, `busy`, `unavailable`. Else: `cut`, `unavailable`, or `provider_<status>`. `settled`
    None with `reserved` set: the ledger could not be reached, and settles in full when it recovers. `stop`: no later call
    of this session can succeed either, so it should be ended. `ends`: that it is ended for this, in words. `broken`: the
    breaker ended it after this call, and why.
    `model` is the one that was asked last, at `account`; `reserved` and `settled` are of all `tries` together, `waited_s` for
    its turns at providers.
    `traceparent`: as the client sent it, of a call that was sent.
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
    swarm_id: SwarmId
    stop: bool = False
    ends: str = ""
    broken: str | None = None
    account: str = ""
    tries: int = 0
    waited_s: float = 0.0
    traceparent: str | None = None
    content: Content | None = None
