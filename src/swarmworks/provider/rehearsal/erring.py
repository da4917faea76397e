"""What a session that errs says in place of the right answer, and what becomes of the answer on its way.

Whether a request meets a fault follows from the request alone, but for three faults: a request that was refused with 429,
cut off or never answered comes back with the same bytes, so the server has to remember that it has struck. It remembers the last few
thousand strikes, and forgets them when it ends.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal.conversation import Answer, Conversation, ToolCall
from swarmworks.provider.rehearsal.faults import WHAT, Behaviour, Fault

if TYPE_CHECKING:
    from pathlib import Path

    from swarmworks.provider.rehearsal.mistakes import Made

MOST_REMEMBERED = 10_000
MOST_REFUSALS = 2
"""Of one request, with 429."""

RETRY_AFTER_S = 1
SPOKEN = frozenset({Fault.LOOP, Fault.GARBAGE, Fault.UNPARSEABLE})
"""Faults that are words of the model's, as opposed to what becomes of them on their way."""

NONSENSE = "ᛒ the the of of colour?? 7̸7̸ {{{{ lorem and and and then the schema of the sea; " * 12


def errs(behaviour: Behaviour, turns: int) -> Fault | None:
    """The fault of the session that strikes the answer after `turns` earlier ones."""
    if behaviour.running in {Fault.LOOP, Fault.GARBAGE}:
        return behaviour.running if turns >= behaviour.turn else None
    return behaviour.running if turns == behaviour.turn else None


def said(fault: Fault, behaviour: Behaviour, conversation: Conversation, honest: Answer) -> Answer | None:
    """What the model says in place of its honest answer; None when the fault is not one of words, or cannot be made."""
    match fault:
        case Fault.LOOP:
            turn = conversation.turns + 1
            return Answer("Let me look around first.", (ToolCall(f"call_{turn}_1", "list_files", {"path": "."}),))
        case Fault.GARBAGE:
            return Answer(NONSENSE)
        case Fault.UNPARSEABLE if honest.calls:
            if behaviour.pick(2, "unparseable"):
                return Answer("I will write the files now, as the specification says.")
            first = honest.calls[0]
            whole = json.dumps(dict(first.arguments))
            return replace(honest, calls=(replace(first, garbled=whole[: max(1, len(whole) // 2)]),))
        case _:
            return None


@dataclass(slots=True)
class Strikes:
    """How often each fault has struck, and the log of what struck first."""

    log: Path | None = None
    counted: OrderedDict[tuple[str, ...], int] = field(default_factory=OrderedDict[tuple[str, ...], int])

    def again(self, *about: object) -> int:
        """How often this was asked before; the oldest are forgotten when there are very many."""
        key = tuple(str(part) for part in about)
        before = self.counted.pop(key, 0)
        self.counted[key] = before + 1
        if len(self.counted) > MOST_REMEMBERED:
            self.counted.popitem(last=False)
        return before

    def note(self, model: str, task: str, attempt: int, turn: int, made: Made) -> None:
        """One line for each fault of an attempt, when it strikes first."""
        if self.again("noted", model, task, attempt, made.fault, made.path) or self.log is None:
            return
        line = {
            "at": datetime.now(UTC).isoformat(),
            "model": model,
            "fault": str(made.fault),
            "what": WHAT[made.fault],
            "task": task,
            "attempt": attempt,
            "turn": turn,
            "path": made.path,
            "detail": made.what,
        }
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
