"""When a session is to hand over because the model's window fills up, and whether its successor knows what it took over. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MOST_TRIES = 3
"""How often a session may say wrongly what it took over."""

MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class ContextRules:
    """`percent` of a model's window, in tokens, from which on a session hands over; 0: never. `windows`, by provider:model,
    are for models whose window is not published, or to be used less than whole.
    """

    percent: int = 0
    windows: Mapping[str, int] = field(default_factory=dict[str, int])

    def window(self, model: str, published: int | None) -> int | None:
        """The smaller one; None: not known."""
        known = [size for size in (self.windows.get(model), published) if size is not None]
        return min(known, default=None)

    def is_full(self, tokens: int, window: int) -> bool:
        return bool(self.percent) and tokens * 100 >= window * self.percent


NO_HANDING_OVER = ContextRules()


def misunderstood(task_id: str, owns: Sequence[str], said_task: str, said_owns: Sequence[str], left: str) -> list[str]:
    """What a session that takes over says wrongly of its task, against the record; empty when it knows."""
    problems: list[str] = []
    if said_task.strip() != task_id:
        problems.append(f"your task is not {said_task.strip()[:80]!r}")
    said, actual = {_path(path) for path in said_owns}, {_path(path) for path in owns}
    if extra := said - actual:
        problems.append(f"you do not own {_named(extra)}")
    if missing := actual - said:
        problems.append(f"you left out {len(missing)} of the files you own")
    if not left.strip():
        problems.append("say what is left to do")
    return problems


def _path(path: str) -> str:
    folder = "/" if path.strip().endswith("/") else ""
    return posixpath.normpath(path.strip()) + folder


def _named(paths: set[str]) -> str:
    return ", ".join(sorted(paths)[:MOST_NAMED])[:500]
