"""A session's events: none is lost to a control plane that is away for a moment, and none holds up the end of a session for ever."""

from __future__ import annotations

import asyncio
import logging

import pytest

from swarmworks.base.errors import RejectedError, UnavailableError
from swarmworks.wire.session_events import Saved
from swarmworks.worker import reporting
from swarmworks.worker.reporting import BATCH, EventReporter

AWAY, REFUSED = UnavailableError("restarting"), RejectedError("an event nobody can read")


class Client:
    """Answers as the test says, call for call, and then well."""

    def __init__(self, *answers):
        self._answers, self.heard = list(answers), []

    async def record(self, _session_id, body):
        if self._answers and (error := self._answers.pop(0)) is not None:
            raise error
        self.heard += [row["commit"] for row in body.events]


class Silent:
    heard = ()

    async def record(self, *_):
        await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(reporting, "PAUSE_S", 0.0)


async def reported(client, count: int) -> None:
    reporter = EventReporter(client, "ses_1", "wkr_1", 1)
    for number in range(count):
        reporter.add(Saved(commit=str(number)))
    reporter.close()
    async with asyncio.timeout(20):
        await reporter.run()


async def test_what_a_session_said_last_waits_for_a_control_plane_that_restarts():
    client = Client(*[AWAY] * 10)
    await reported(client, 3)
    assert client.heard == ["0", "1", "2"]


@pytest.mark.parametrize("answers", [True, False])
async def test_one_that_is_gone_for_good_is_not_waited_for_and_what_is_lost_is_said(caplog, monkeypatch, answers):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(reporting, "LAST_S", 0.2)
    client = Client(*[AWAY] * 1_000_000) if answers else Silent()
    await reported(client, 3)
    assert list(client.heard) == []
    assert "its last 3 events could not be recorded" in caplog.text


async def test_one_batch_that_is_refused_takes_no_other_with_it(caplog):
    client = Client(None, REFUSED)
    await reported(client, 2 * BATCH + 5)
    assert client.heard == [str(number) for number in (*range(BATCH), *range(2 * BATCH, 2 * BATCH + 5))]
    assert f"{BATCH} events of session ses_1 refused" in caplog.text


async def test_a_control_plane_that_takes_its_time_for_each_batch_is_told_everything(monkeypatch):
    class Slow(Client):
        async def record(self, session_id, body):
            await asyncio.sleep(0.25)
            await super().record(session_id, body)

    monkeypatch.setattr(reporting, "LAST_S", 2.0)
    client = Slow()
    await reported(client, 10 * BATCH)
    assert client.heard == [str(number) for number in range(10 * BATCH)]


async def test_one_that_takes_its_time_for_very_many_is_not_waited_for_for_ever(caplog, monkeypatch):
    monkeypatch.setattr(reporting, "LAST_OF_ALL_S", 0.0)
    client = Client()
    await reported(client, BATCH + 3)
    assert client.heard == []
    assert f"its last {BATCH + 3} events could not be recorded" in caplog.text


async def test_one_that_falls_silent_between_two_batches_is_waited_for_no_longer_than_before(caplog, monkeypatch):
    class Falling(Client):
        async def record(self, session_id, body):
            if self.heard:
                await asyncio.Event().wait()
            await super().record(session_id, body)

    monkeypatch.setattr(reporting, "LAST_S", 0.2)
    client = Falling()
    await reported(client, BATCH + 3)
    assert len(client.heard) == BATCH
    assert "its last 3 events could not be recorded" in caplog.text
