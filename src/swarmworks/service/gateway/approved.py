"""The prices that people approved, as this control plane knows them: read again once another list was decided.

Whether there is something new is asked within a snapshot that is taken anyhow, at most once a second, so that no call waits
for it; a list that is approved anywhere is used everywhere a second later.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarmworks.base.clock import Clock
    from swarmworks.provider.prices import PriceTable
    from swarmworks.store.protocol import Reader

LOOK_S = 1.0


class ApprovedPrices:
    def __init__(self, table: PriceTable, clock: Clock) -> None:
        self.table = table
        self._clock = clock
        self._looking = threading.Lock()  # snapshots are looked at by several threads
        self._version = 0
        self._next_look: float | None = None

    def look(self, reader: Reader, *, now: bool = False) -> None:
        """Called in a snapshot. `now`: whenever the last look was."""
        with self._looking:
            at = self._clock.monotonic()
            if not now and self._next_look is not None and at < self._next_look:
                return
            version = reader.price_version()
            if version > self._version:  # a snapshot may be older than what another thread has read
                self.table.adopt(reader.approved_prices())
                self._version = version
            self._next_look = at + LOOK_S
