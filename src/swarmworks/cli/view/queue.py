"""`swarm queue` as text."""

from __future__ import annotations

from collections.abc import Iterator

from swarmworks.cli.view.amounts import duration, plain, shortened
from swarmworks.wire.api import QueueStatus

WIDTH = 120
STATE = 8


def queue_lines(queue: QueueStatus) -> Iterator[str]:
    if queue.frozen is not None:
        yield f"nothing lands: {plain(queue.frozen)}"
    if not queue.rows:
        yield f"nothing waits to land; the branch is at {queue.head[:10]}"
        return
    takes = "" if queue.run_s is None else f", a run of the gates takes {duration(queue.run_s)}"
    yield f"{len(queue.rows)} on the way to the branch, which is at {queue.head[:10]}; {queue.failure_percent} % fail{takes}"
    width = max(len(row.task_id) for row in queue.rows)
    for row in queue.rows:
        soon = "" if row.expected_s is None or queue.frozen is not None else f"  about {duration(row.expected_s)}"
        yield shortened(f"{row.place:>4}  {row.task_id:<{width}}  {row.state:<{STATE}}  {plain(row.why)}{soon}", WIDTH)
