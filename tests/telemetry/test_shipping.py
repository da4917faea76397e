"""Nothing that a collector does holds up a call, grows without bound or goes unsaid."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from swarmworks.telemetry.counting import CallCounts
from swarmworks.telemetry.shipping import BATCH_CALLS, Shipping
from tests.telemetry.collector import call

FAR_S = 3_600.0


class Exporter:
    """Takes what it is given unless told otherwise; a test waits for `told`."""

    def __init__(self) -> None:
        self.takes = True
        self.raises: Exception | None = None
        self.calls: list = []
        self.snapshots: list = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.told = threading.Semaphore(0)
        self.stopped = threading.Event()

    def spans(self, calls) -> bool:
        self.entered.set()
        self.gate.wait()
        if self.raises:
            error, self.raises = self.raises, None
            self.told.release()
            raise error
        if self.takes and not self.stopped.is_set():
            self.calls += calls
        self.told.release()
        return self.takes and not self.stopped.is_set()

    def counts(self, now) -> bool:
        self.snapshots.append(now)
        return self.takes and not self.stopped.is_set()

    def stop(self) -> None:
        self.stopped.set()
        self.gate.set()


def shipping(exporter, counts=None, **changes) -> Shipping:
    given = {"spans_every_s": FAR_S, "counts_every_s": FAR_S, "flush_s": 20.0}
    made = Shipping(exporter, counts or CallCounts(), "http://collector", **(given | changes))
    made.start()
    return made


def fill(ship, calls) -> None:
    for number in range(calls):
        ship.add(call(number))


async def test_what_is_queued_at_the_end_is_told_and_then_the_counts(caplog):
    exporter, counts = Exporter(), CallCounts()
    ship = shipping(exporter, counts)
    counts.add(call())
    fill(ship, 3)
    await ship.close()
    assert [each.session_id for each in exporter.calls] == ["ses_0", "ses_1", "ses_2"]
    assert len(exporter.snapshots[-1].tallies) == 1
    assert exporter.stopped.is_set()
    assert counts.snapshot().untold == 0
    assert caplog.records == []


async def test_a_full_batch_does_not_wait_for_its_time():
    exporter = Exporter()
    ship = shipping(exporter)
    fill(ship, BATCH_CALLS)
    assert exporter.told.acquire(timeout=20)
    assert len(exporter.calls) == BATCH_CALLS
    await ship.close()


async def test_a_collector_that_hangs_costs_the_calls_beyond_the_queue_and_says_so_once(caplog):
    exporter, counts = Exporter(), CallCounts()
    exporter.gate.clear()
    ship = shipping(exporter, counts, queue_calls=1_000)
    fill(ship, BATCH_CALLS)
    assert exporter.entered.wait(20)
    fill(ship, 1_500)
    assert len(ship._queue) == 1_000
    assert counts.snapshot().untold == 500
    assert len(caplog.records) == 1
    assert "fewer calls than are made" in caplog.text
    exporter.gate.set()
    await ship.close()
    assert len(exporter.calls) == BATCH_CALLS + 1_000


async def test_a_collector_that_hangs_at_the_end_is_waited_for_in_bounds(caplog):
    exporter = Exporter()
    exporter.gate.clear()
    exporter.stop = exporter.stopped.set  # what hangs does not notice
    ship = shipping(exporter, flush_s=0.05)
    fill(ship, BATCH_CALLS)
    assert exporter.entered.wait(20)
    began = time.monotonic()
    await ship.close()
    assert time.monotonic() - began < 10
    assert "did not take what was left" in caplog.text
    exporter.gate.set()
    ship._thread.join(20)
    assert not ship._thread.is_alive()


async def test_a_collector_that_is_away_is_said_once_and_again_when_it_is_back(caplog):
    caplog.set_level(logging.INFO)
    exporter, counts = Exporter(), CallCounts()
    exporter.takes = False
    ship = shipping(exporter, counts)
    for _ in range(3):
        fill(ship, BATCH_CALLS)
        assert exporter.told.acquire(timeout=20)
    exporter.takes = True
    fill(ship, BATCH_CALLS)
    assert exporter.told.acquire(timeout=20)
    await ship.close()
    assert counts.snapshot().untold == 3 * BATCH_CALLS
    assert len(exporter.calls) == BATCH_CALLS
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "the collector at http://collector takes nothing: calls go on without it",
        f"the collector at http://collector answers; {3 * BATCH_CALLS} calls were given up",
    ]


async def test_nobody_waits_at_the_end_for_a_collector_that_is_away():
    exporter = Exporter()
    exporter.takes = False
    ship = shipping(exporter, flush_s=10.0)
    fill(ship, BATCH_CALLS)
    assert exporter.told.acquire(timeout=20)
    ship._away = True
    exporter.gate.clear()  # opened by `stop` alone
    fill(ship, 5)
    began = time.monotonic()
    await ship.close()
    assert time.monotonic() - began < 9
    assert not ship._thread.is_alive()


async def test_the_thread_outlives_what_a_library_raises_and_repeats_none_of_its_words(caplog):
    exporter, counts = Exporter(), CallCounts()
    exporter.raises = ValueError("header value swk_secret")
    ship = shipping(exporter, counts)
    fill(ship, BATCH_CALLS)
    assert exporter.told.acquire(timeout=20)
    fill(ship, BATCH_CALLS)
    assert exporter.told.acquire(timeout=20)
    await ship.close()
    assert len(exporter.calls) == BATCH_CALLS
    assert counts.snapshot().untold == BATCH_CALLS
    assert "ValueError" in caplog.text
    assert "swk_secret" not in caplog.text


@pytest.mark.parametrize("threads", [8])
async def test_calls_from_everywhere_at_once_are_each_told_once(threads):
    exporter, counts = Exporter(), CallCounts()
    ship = shipping(exporter, counts, queue_calls=100_000)

    def many(start):
        for number in range(start, start + 500):
            counts.add(call(number))
            ship.add(call(number))

    running = [threading.Thread(target=many, args=(500 * each,)) for each in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    await ship.close()
    assert sorted(each.session_id for each in exporter.calls) == sorted(f"ses_{n}" for n in range(500 * threads))
    [tally] = counts.snapshot().tallies.values()
    assert sum(each.count for each in tally.durations.values()) == 500 * threads
    assert tally.exact_nano_usd == 500 * threads * 105_001
