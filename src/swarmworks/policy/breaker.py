"""Ends a session that goes in circles, whatever its agent's program notices itself. Pure: fed with what the session reports."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

SAME_CALLS = 12
"""The same call again and again. The built-in agent ends itself at six; other programs have a say of their own first."""
CYCLES = 8
"""How often a cycle of two or three calls goes round."""
LONGEST_CYCLE = 3
FAILED_CALLS = 25
"""Tools that fail one after the other, whatever they are asked."""
GARBAGE = 500
"""Lines that are no events."""
MOST_NAMED = 80


@dataclass(slots=True)
class Breaker:
    """Each method answers with the reason to end the session for, None while it may go on. A call counts as the same when
    the tool and its arguments (as they are reported) are.
    """

    same_calls: int = SAME_CALLS
    cycles: int = CYCLES
    failed_calls: int = FAILED_CALLS
    most_garbage: int = GARBAGE
    _calls: deque[str] = field(default_factory=lambda: deque(maxlen=max(SAME_CALLS, CYCLES * LONGEST_CYCLE)))
    _failed: int = 0
    _garbage: int = 0

    def __post_init__(self) -> None:
        self._calls = deque(maxlen=max(self.same_calls, self.cycles * LONGEST_CYCLE))

    def called(self, tool: str, arguments: str) -> str | None:
        self._calls.append(f"{tool}\0{arguments}")
        calls = list(self._calls)
        if _round(calls, 1, self.same_calls):
            return f"loop: {tool[:MOST_NAMED]} was called {self.same_calls} times in a row with the same arguments"
        for length in range(2, LONGEST_CYCLE + 1):
            if _round(calls, length, self.cycles):
                names = ", ".join(call.partition("\0")[0][:MOST_NAMED] for call in calls[-length:])
                return f"loop: the calls {names} went round {self.cycles} times"
        return None

    def answered(self, *, ok: bool) -> str | None:
        self._failed = 0 if ok else self._failed + 1
        if self._failed < self.failed_calls:
            return None
        return f"loop: {self._failed} tool calls failed one after the other"

    def babbled(self) -> str | None:
        self._garbage += 1
        if self._garbage < self.most_garbage:
            return None
        return f"loop: {self._garbage} lines that are no events"


def _round(calls: list[str], length: int, times: int) -> bool:
    """Whether the last calls are the same `length` of them, `times` over. All equal is a cycle of one, not of more."""
    if len(calls) < length * times:
        return False
    last = calls[-length:]
    if length > 1 and len(set(last)) == 1:
        return False
    return all(call == last[index % length] for index, call in enumerate(calls[-length * times :]))
