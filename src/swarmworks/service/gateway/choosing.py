"""Which models a call may still be answered by, and at which accounts: what it has given up, and what it comes back to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.service.gateway.turns import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swarmworks.service.gateway.calling import Target
    from swarmworks.service.gateway.lanes import Lane


class Choices:
    """`open`, the first choice first: at least one model, with at least one account each, until `give_up` or `without` have
    taken the last one.
    """

    def __init__(self, found: Mapping[Target, tuple[Lane, ...]]) -> None:
        self.open = dict(found)
        self._aside: dict[Target, tuple[Lane, ...]] = {}
        self._came_back = False

    def of(self, lane: Lane) -> Target:
        return next(target for target, lanes in self.open.items() if lane in lanes)

    def give_up(self, target: Target) -> None:
        del self.open[target]

    def without(self, target: Target, lane: Lane) -> None:
        """The account is not asked again."""
        left = tuple(one for one in self.open[target] if one is not lane)
        if left:
            self.open[target] = left
        else:
            self.give_up(target)

    def others_are_ready(self, target: Target, tokens: int, now: float) -> bool:
        """Whether it can be passed over: another model can be asked soon. What was passed over once is waited for when the
        call comes back to it.
        """
        others = (lane for other, lanes in self.open.items() if other is not target for lane in lanes)
        return not self._came_back and any(lane.ready_in(tokens, now) <= PATIENCE_S for lane in others)

    def pass_over(self, target: Target) -> None:
        """For now: `come_back` when the others cannot answer either."""
        self._aside[target] = self.open.pop(target)

    def come_back(self) -> bool:
        """Whether anything was passed over; it is open again."""
        if not self._aside:
            return False
        self.open, self._aside, self._came_back = {**self._aside, **self.open}, {}, True
        return True
