"""The normal form of what an agent in a sandbox reports, one JSON object a line. See docs/agent-events.md.

Whatever runs in there may write to the stream, so a line that is not an event becomes a `Garbage` event: counted and
recorded, never an error that ends the reader.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from swarmworks.wire.handoff import HandoffDocument

MAX_LINE_BYTES = 1 << 20
MAX_TEXT_CHARS = 4_100  # the agent's 4,000 and its notice of what was cut
MAX_SUMMARY_CHARS = 600
MAX_REASON_CHARS = 600
MAX_NAME_CHARS = 150
MAX_ARGUMENTS = 20
MAX_ARGUMENT_CHARS = 600
MAX_TOKENS = 1 << 40
GARBAGE_SHOWN_CHARS = 200

Name = Annotated[str, StringConstraints(max_length=MAX_NAME_CHARS)]
Argument = Annotated[str, StringConstraints(max_length=MAX_ARGUMENT_CHARS)] | bool | None
Tokens = Annotated[int, Field(ge=0, le=MAX_TOKENS)]


class _Event(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Message(_Event):
    type: Literal["message"] = "message"
    text: Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS)]


class ToolCall(_Event):
    """`arguments` are clipped: enough to see what was done, not to repeat it."""

    type: Literal["tool_call"] = "tool_call"
    id: Name
    tool: Name
    arguments: Annotated[dict[Name, Argument], Field(max_length=MAX_ARGUMENTS)] = {}


class ToolResult(_Event):
    type: Literal["tool_result"] = "tool_result"
    id: Name
    ok: bool
    summary: Annotated[str, StringConstraints(max_length=MAX_SUMMARY_CHARS)] = ""
    duration_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class Usage(_Event):
    """The agent's word; the gateway's meter is the evidence. `input_tokens` includes the cached ones."""

    type: Literal["usage"] = "usage"
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cache_read_tokens: Tokens = 0
    cache_write_tokens: Tokens = 0


class End(_Event):
    """`reason` begins with a word: `handed in`, `refused`, `deadline:`, `max_turns:`, `loop:`, `context:`,
    `terminated:`, `model_unavailable:`, `model_error:`, `request:` or `internal:`.
    """

    type: Literal["end"] = "end"
    outcome: Literal["submitted", "nothing_to_do", "failed", "refused", "handed_off", "needs_answer"]
    reason: Annotated[str, StringConstraints(max_length=MAX_REASON_CHARS)] = ""
    handoff: HandoffDocument | None = None


class Garbage(_Event):
    """A line that was no event: why, and how it began."""

    type: Literal["garbage"] = "garbage"
    reason: str
    begins: Annotated[str, StringConstraints(max_length=GARBAGE_SHOWN_CHARS)]
    size_bytes: int


class Access(_Event):
    """What the agent's sandbox reached, or was kept from: `to` is `host:port` or `database NAME`, `address` what it was
    connected to. Said by the worker, never by the agent.
    """

    type: Literal["access"] = "access"
    to: Annotated[str, StringConstraints(max_length=MAX_SUMMARY_CHARS)]
    verdict: Literal["allowed", "refused"]
    reason: Annotated[str, StringConstraints(max_length=MAX_REASON_CHARS)] = ""
    address: Name = ""


class Saved(_Event):
    """The agent's work in progress, as a commit on its session's own ref. Said by the worker, never by the agent."""

    type: Literal["saved"] = "saved"
    commit: Name


AgentEvent = Message | ToolCall | ToolResult | Usage | End
SessionEvent = AgentEvent | Garbage | Access | Saved

_ADAPTER: TypeAdapter[AgentEvent] = TypeAdapter(Annotated[AgentEvent, Field(discriminator="type")])


def parse_line(line: bytes) -> SessionEvent:
    """Never raises: what is not an event within its limits is `Garbage`."""
    if len(line) > MAX_LINE_BYTES:
        return _garbage(line, f"longer than {MAX_LINE_BYTES} bytes")
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return _garbage(line, f"{where}: {first['msg']}" if where else first["msg"])


def dump_line(event: SessionEvent) -> bytes:
    return event.model_dump_json().encode() + b"\n"


def _garbage(line: bytes, reason: str) -> Garbage:
    begins = line[: 4 * GARBAGE_SHOWN_CHARS].decode("utf-8", "replace")[:GARBAGE_SHOWN_CHARS]
    return Garbage(reason=reason[:MAX_REASON_CHARS], begins=begins, size_bytes=len(line))
