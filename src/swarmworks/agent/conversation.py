"""What was said so far, in no vendor's words. The dialects render it; this module keeps it within its bound."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

KEPT_CHARS = 300
"""What is left of an old tool result or argument once it was shortened: enough to know what it was about."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """`input_tokens` includes the cached ones."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments` is None when what the model wrote was no JSON object; `raw` is what it wrote."""

    id: str
    tool: str
    arguments: dict[str, object] | None
    raw: str = ""


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """`cut` says that the model stopped at its output limit, so the last call may be incomplete."""

    text: str
    calls: tuple[ToolCall, ...]
    usage: TokenUsage
    cut: bool = False


@dataclass(frozen=True, slots=True)
class ToolResult:
    call_id: str
    text: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Spoken:
    """Words to the model."""

    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    text: str
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class Results:
    results: tuple[ToolResult, ...]


Turn = Spoken | Answered | Results


@dataclass(slots=True)
class Conversation:
    """`turns[0]` is the task prompt and is never shortened."""

    system: str
    turns: list[Turn] = field(default_factory=list[Turn])

    def shorten_oldest(self, *, newest_too: bool = False) -> bool:
        """Shorten the oldest tool results that can still be shortened, then the oldest arguments. The last two turns
        (what the model has just asked and just been told) stay whole unless `newest_too`. False when nothing is left.
        """
        for kind in (Results, Answered):
            for index, turn in enumerate(self.turns[1 : None if newest_too else -2], start=1):
                if isinstance(turn, kind):
                    shorter = _shorter(turn)
                    if shorter != turn:
                        self.turns[index] = shorter
                        return True
        return False


def _shorter(turn: Results | Answered) -> Turn:
    if isinstance(turn, Results):
        return Results(tuple(replace(result, text=_shorten(result.text)) for result in turn.results))
    return Answered(_shorten(turn.text), tuple(_shorter_call(call) for call in turn.calls))


def _shorter_call(call: ToolCall) -> ToolCall:
    if call.arguments is None:
        return call
    return replace(
        call,
        arguments={
            name: _shorten(value) if isinstance(value, str) else value for name, value in call.arguments.items()
        },
    )


_MARK = "[shortened to save context; "


def _shorten(text: str) -> str:
    if len(text) <= 2 * KEPT_CHARS or _MARK in text[KEPT_CHARS:]:
        return text
    return f"{text[:KEPT_CHARS]}\n{_MARK}{len(text) - KEPT_CHARS} more characters]"
