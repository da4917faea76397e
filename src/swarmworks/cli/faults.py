"""The rehearsal model's faults on the command line: how they are asked for, and what is said of them at the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from swarmworks.base.errors import UsageError
from swarmworks.cli.view.amounts import counted
from swarmworks.wire.api import EventRow
from swarmworks.wire.config import REHEARSAL

LEVELS = ("none", "some", "many", "conflicts")
DEFAULT_SEED = 15
"""One whose faults show most of what there is to see."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that the rehearsal model really made; `path` is empty for one of the session itself."""

    fault: str
    what: str
    task: str
    attempt: int
    path: str = ""
    detail: str = ""


def fault_options(default: str | None) -> Callable[[F], F]:
    """--faults and --seed. Without a default the level is not given, and the model stays what it is."""

    def add(command: F) -> F:
        command = click.option(
            "--seed",
            metavar="N",
            type=click.IntRange(0, 999_999_999),
            default=DEFAULT_SEED,
            show_default=True,
            help="Which faults: the same number, the same faults.",
        )(command)
        return click.option(
            "--faults",
            type=click.Choice(LEVELS),
            default=default,
            show_default=default is not None,
            help="How often the rehearsal model errs, on purpose; conflicts: every task that shares a file, there and only there.",
        )(command)

    return add


def erring_model(model: str, faults: str | None, seed: int) -> str:
    """The rehearsal model's name for this level and seed. UsageError when faults are asked of another model."""
    if faults is None:
        return model
    if model.partition(":")[0] != REHEARSAL:
        raise UsageError(
            "only the rehearsal model errs on purpose",
            where=f"--faults {faults} with --model {model}",
            mend="leave --faults out, or use --model rehearsal",
        )
    return f"{REHEARSAL}:{REHEARSAL}" if faults == "none" else f"{REHEARSAL}:faults-{faults}-{seed}"


def notice(state: Path, model: str) -> Iterator[str]:
    """What is said before a swarm starts whose model errs on purpose; nothing for any other."""
    level, _, seed = model.partition(":")[2].removeprefix("faults-").partition("-")
    if model.startswith(f"{REHEARSAL}:faults-"):
        yield f"The rehearsal model errs on purpose (--faults {level} --seed {seed}), as models do, to show what catches it."
        yield f"Each fault it makes is a line in {shown(fault_log(state))}. Without faults: --faults none."


def shown(path: Path) -> str:
    """From where the person is, when it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def fault_log(state: Path) -> Path:
    """Where the rehearsal model writes a line for each fault it makes."""
    return state / "logs" / "rehearsal-faults.jsonl"


def injected(state: Path, model: str) -> list[Injected]:
    """What the log holds of this model, each fault of an attempt once: a model that was started again writes it again."""
    path = fault_log(state)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = [_read(line) for line in lines]
    return list(dict.fromkeys(each for name, each in found if model.partition(":")[2] == name))


def _read(line: str) -> tuple[str, Injected]:
    row = cast("dict[str, object]", json.loads(line))
    texts = {name: str(row.get(name, "")) for name in ("fault", "what", "task", "path", "detail")}
    return str(row.get("model")), Injected(**texts, attempt=int(str(row.get("attempt", 1))))


def said_of(faults: Sequence[Injected], events: Sequence[EventRow]) -> Iterator[str]:
    """How many faults were made, kind by kind, and what caught each."""
    if not faults:
        yield "The rehearsal model made no fault this time: another --seed makes others, --faults many makes more."
        return
    yield f"The rehearsal model erred {counted(len(faults), 'time')}, on purpose:"
    kinds = Counter(each.fault for each in faults)
    for kind, count in kinds.most_common():
        mine = [each for each in faults if each.fault == kind]
        caught = Counter(caught_by(each, events) for each in mine)
        by = ", ".join(who if times == count else f"{who} ({times})" for who, times in caught.most_common())
        yield f"  {count:>3}  {kind.replace('_', ' '):<20} {mine[0].what}"
        yield f"       {'':<20} {by}"


def caught_by(fault: Injected, events: Sequence[EventRow]) -> str:
    """What the swarm's record shows of a fault; "not caught" when it shows nothing."""
    mine = [event for event in events if event.task_id == fault.task]
    match fault.fault:
        case "scope" | "conflict":
            wanted = "scope" if fault.fault == "scope" else "conflict"
            by = "sent back by the scope gate" if wanted == "scope" else "sent back by the merge queue"
            rejected = any(e.kind == "change.rejected" and e.data.get("kind") == wanted for e in mine)
            return by if rejected else ("landed first, so it met nothing" if wanted == "conflict" else "not caught")
        case "bug" | "dropped_requirement":
            return _shown_by_tests(fault, mine, events)
        case "loop" | "garbage":
            ended = any(e.kind == "session.ended" and "loop:" in str(e.data.get("reason")) for e in mine)
            return "the agent ended the session, and the task began anew" if ended else "not caught"
        case "stall":
            return "the gateway waited no longer, and the agent asked again"
        case "unparseable":
            return "the agent told the model, and went on"
        case _:
            return "the agent asked again"


def _shown_by_tests(fault: Injected, mine: Sequence[EventRow], events: Sequence[EventRow]) -> str:
    """By tests of its own, or by the task that wrote the tests of what it is in."""
    if any(e.kind == "change.rejected" and e.data.get("kind") == "gate_failed" for e in mine):
        return "sent back by the tests gate"
    shown_by = f"tests-{fault.task.removeprefix('endpoint-')}"
    parked = [e for e in events if e.kind == "task.parked" and e.task_id == shown_by]
    return f"shown by parked tests, mended by {parked[0].data.get('fix')}" if parked else "not caught"
