"""Wall time that jumps: with this folder on PYTHONPATH, every `swarm` process adds the seconds that stand in the file which
SWARM_TEST_CLOCK names. The monotonic clock stays, as it does when somebody sets a machine's clock.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from swarmworks.base.clock import SystemClock

_OFFSET = Path(os.environ["SWARM_TEST_CLOCK"])


def now(_clock: SystemClock) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=float(_OFFSET.read_text() or 0))


SystemClock.now = now  # type: ignore[method-assign]
