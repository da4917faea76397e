"""What a wire dialect is to the agent: how one request is written and one answer read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from swarmworks.agent import document
from swarmworks.agent.conversation import ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swarmworks.agent.conversation import Conversation, ModelAnswer


class AnswerError(Exception):
    """What came back is no answer: a cut stream, an error in the middle of one, or something that is not the format."""


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """`parameters` is a JSON schema of an object."""

    name: str
    description: str
    parameters: dict[str, object]


@dataclass(frozen=True, slots=True)
class ModelSettings:
    model: str
    max_output_tokens: int
    stream: bool
    tools: tuple[ToolSchema, ...]


class Dialect(Protocol):
    @property
    def path(self) -> str:
        """Appended to the base URL."""
        ...

    def headers(self, token: str) -> dict[str, str]: ...

    def body(self, conversation: Conversation, settings: ModelSettings) -> dict[str, object]: ...

    def assemble(self, chunks: Iterable[dict[str, object]]) -> dict[str, object]:
        """The document that a call without streaming would have answered. AnswerError when the stream was cut."""
        ...

    def read(self, answer: dict[str, object]) -> ModelAnswer:
        """AnswerError when it is not this dialect's format."""
        ...


def tool_call(call_id: str, tool: str, raw: str) -> ToolCall:
    """A call whose arguments arrived as text. Some servers send no text at all for a call without arguments."""
    try:
        value = document.parse(raw or "{}")
    except ValueError:
        value = None
    arguments = document.mapping(document.clean(cast("object", value))) if isinstance(value, dict) else None
    return ToolCall(call_id, tool, arguments, document.text(raw))
