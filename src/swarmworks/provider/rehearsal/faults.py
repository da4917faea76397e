"""How the rehearsal model errs on purpose: the kinds of faults, how often each level draws them, and the draw itself.

What a session does wrong is fixed by seed, level, task and attempt, so every turn of it agrees. What is wrong with the
files stays wrong in the next attempt unless the rejection that its prompt holds names it; what is wrong with the session
itself (it stalls, it repeats itself) strikes the first attempt only.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    BUG = "bug"
    DROPPED_REQUIREMENT = "dropped_requirement"
    SCOPE = "scope"
    CONFLICT = "conflict"
    UNPARSEABLE = "unparseable"
    STALL = "stall"
    LOOP = "loop"
    GARBAGE = "garbage"
    RATE_LIMITED = "rate_limited"
    CUT_STREAM = "cut_stream"


WHAT: dict[Fault, str] = {
    Fault.BUG: "code that is tidy and wrong: only a test shows it",
    Fault.DROPPED_REQUIREMENT: "something that the specification asks for is left out",
    Fault.SCOPE: "a file is written that the task does not own",
    Fault.CONFLICT: "a line that others write too, in a file that tasks share",
    Fault.UNPARSEABLE: "an answer whose tool call cannot be read, or that calls no tool",
    Fault.STALL: "a request is taken and never answered",
    Fault.LOOP: "the same tool call again and again",
    Fault.GARBAGE: "nonsense once the conversation has become long",
    Fault.RATE_LIMITED: "HTTP 429 with a time to wait",
    Fault.CUT_STREAM: "an answer that ends in the middle",
}
RUNNING = (
    Fault.UNPARSEABLE,
    Fault.STALL,
    Fault.LOOP,
    Fault.GARBAGE,
    Fault.RATE_LIMITED,
    Fault.CUT_STREAM,
)
"""Faults of a session, as opposed to faults in what it writes."""

FIRST_TURN: dict[Fault, int] = {Fault.UNPARSEABLE: 1, Fault.LOOP: 1, Fault.GARBAGE: 3}
"""Turns before the fault strikes; where none is said, it is drawn between 0 and 2."""

MODEL = "rehearsal"
_NAME = re.compile(r"rehearsal|faults-(?P<level>some|many|conflicts)-(?P<seed>\d{1,9})")


class Level(StrEnum):
    NONE = "none"
    SOME = "some"
    MANY = "many"
    CONFLICTS = "conflicts"


@dataclass(frozen=True, slots=True)
class Rates:
    """Of a hundred tasks: how many get a fault in their files, in a shared file, and in their first session."""

    content: float
    conflict: float
    running: float


RATES: dict[Level, Rates] = {
    Level.NONE: Rates(0, 0, 0),
    Level.SOME: Rates(content=12, conflict=12, running=9),
    Level.MANY: Rates(content=45, conflict=40, running=50),
    Level.CONFLICTS: Rates(content=0, conflict=100, running=0),
}


@dataclass(frozen=True, slots=True)
class Temper:
    """How a server, or a request that names its model so, is told to err."""

    level: Level = Level.NONE
    seed: int = 0

    def draw(self, *about: object) -> float:
        """An even number from 0 to 100, fixed by the seed and what it is `about`."""
        return self.number(*about) / 2**64 * 100

    def number(self, *about: object) -> int:
        text = "\n".join(str(part) for part in (self.seed, *about))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def temper_of(model: str, default: Temper) -> Temper | None:
    """What the model's name asks for: `rehearsal` is the server's own temper, `faults-some-7` says level and seed. None
    when it is no model of this server's.
    """
    match = _NAME.fullmatch(model)
    if match is None:
        return None
    return default if match["level"] is None else Temper(Level(match["level"]), int(match["seed"]))


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a session does wrong. `content` or `conflict`: its own files hold a fault (which one depends on what it writes),
    or the file that it shares; never both, because a rejection names what failed last only. `running` strikes from turn `turn` on.
    """

    temper: Temper = Temper()
    task_id: str = ""
    content: bool = False
    conflict: bool = False
    running: Fault | None = None
    turn: int = 0

    def pick(self, count: int, *about: object) -> int:
        """One of `count` possibilities, the same one on every turn and in every attempt."""
        return self.temper.number(self.task_id, "pick", *about) % count


def choose(temper: Temper, task_id: str, *, attempt: int, mends: bool) -> Behaviour:
    """`mends`: the task is told what is wrong from the start, so its files hold no fault of their own."""
    rates = RATES[temper.level]
    content = temper.draw(task_id, "content") < rates.content
    conflict = not content and temper.draw(task_id, "conflict") < rates.conflict
    running = None
    if attempt == 1 and temper.draw(task_id, "running") < rates.running:
        running = RUNNING[temper.number(task_id, "which") % len(RUNNING)]
    turn = temper.number(task_id, "turn") % 3
    return Behaviour(
        temper=temper,
        task_id=task_id,
        content=content and not mends,
        conflict=conflict and not mends,
        running=running,
        turn=FIRST_TURN.get(running, turn) if running else 0,
    )
