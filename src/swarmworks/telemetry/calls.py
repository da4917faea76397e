"""A model call as operators are told of it, whatever the gateway's own record looks like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


class Outcome(StrEnum):
    ANSWERED = "answered"
    LEFT = "left"  # the agent was gone before an answer began
    REFUSED = "refused"  # by the platform: nothing was sent
    FAILED = "failed"  # at the provider, or on the way


@dataclass(frozen=True, slots=True)
class Target:
    """What calls are counted by. `account` is the provider's name in swarm.toml, `vendor` whose format it speaks."""

    account: str
    vendor: str
    model: str
    operation: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """`input` includes `cache_read` and `cache_write`."""

    input: int
    output: int
    cache_read: int
    cache_write: int


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of a conversation. `kind`: text, reasoning, tool_call or tool_call_response; `name` of a tool that is called."""

    role: str
    kind: str
    text: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Linked:
    """The span a client says its call belongs to, by its ids."""

    trace_id: int
    span_id: int


@dataclass(frozen=True, slots=True)
class Call:
    """`cost_nano_usd` None: nothing was reserved, so nothing is charged. `reason` of a call that was refused or failed.
    `prompt` and `answer` are empty unless their recording is switched on.
    """

    target: Target
    outcome: Outcome
    reason: str | None
    status: int
    session_id: str
    task_id: str
    swarm_id: str
    ended_ns: int
    duration_s: float
    first_byte_s: float | None
    reserved_nano_usd: int | None
    cost_nano_usd: int | None
    estimated: bool
    tokens: Tokens | None
    linked: Linked | None = None
    prompt: tuple[Said, ...] = ()
    answer: tuple[Said, ...] = ()


def linked_by(traceparent: str | None) -> Linked | None:
    """What a W3C `traceparent` names; None for anything that is not one to the letter."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    if match is None:
        return None
    found = Linked(int(match[1], 16), int(match[2], 16))
    return found if found.trace_id and found.span_id else None
