"""Which agent has which row of the dashboard, when there are more agents than rows: an agent keeps its row as long as it can."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from swarmworks.wire.api import AgentStatus


def in_order(names: Iterable[str]) -> list[str]:
    """`api-2` before `api-10`."""

    def key(name: str) -> tuple[str, int, str]:
        stem, _, number = name.rpartition("-")
        return (stem, int(number), "") if number.isdecimal() else (name, 0, name)

    return sorted(names, key=key)


class Seats:
    def __init__(self) -> None:
        self._names: list[str] = []

    def seated(self, agents: Sequence[AgentStatus], rows: int, selected: str) -> list[str]:
        """Names by row. All in order of name when there is room; else those at work, then idle ones: whoever has a row keeps it
        until somebody at work needs one, and the selected agent always has one.
        """
        if rows >= len(agents):
            self._names = in_order(agent.name for agent in agents)
            return self._names
        busy = {agent.name for agent in agents if agent.task_id is not None}
        known = sorted(in_order(agent.name for agent in agents), key=lambda name: name not in busy)
        kept = [name for name in self._names if name in known][:rows]
        kept += [name for name in known if name not in kept][: rows - len(kept)]
        wanted = [name for name in known if (name in busy or name == selected) and name not in kept]
        for name in wanted:
            free = [at for at, other in enumerate(kept) if other not in busy and other != selected]
            if not free and name == selected:
                free = [len(kept) - 1]
            if free and kept:
                kept[free[0]] = name
        self._names = kept
        return kept
