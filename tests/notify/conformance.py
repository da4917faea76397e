"""What every channel keeps to. Each is made three ways: with a receiver that takes, refuses for good, and says nothing."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from swarmworks.domain.notice import Severity
from swarmworks.notify.protocol import Channel, NotToldError
from tests.notify.fakes import dispatch, notice

SECRET = "hunter2-very-secret"
LIMIT_S = 0.3


@dataclass
class Receiver:
    """`texts` is what arrived, each dispatch as one text."""

    channel: Channel
    texts: list[str]


class ChannelConformance(ABC):
    @abstractmethod
    def taking(self) -> AsyncIterator[Receiver]: ...

    @abstractmethod
    def refusing(self) -> AsyncIterator[Receiver]: ...

    @abstractmethod
    def silent(self) -> AsyncIterator[Receiver]:
        """Its own limit is `LIMIT_S`."""

    @staticmethod
    @asynccontextmanager
    async def of(made: AsyncIterator[Receiver]) -> AsyncIterator[Receiver]:
        async for receiver in made:
            yield receiver

    async def test_a_notice_arrives_with_what_happened_and_what_to_type(self):
        async with self.of(self.taking()) as receiver:
            assert receiver.channel.lacks() is None
            await receiver.channel.send(dispatch())
            (text,) = receiver.texts
            for said in ("Task users-7 is blocked", "rejected 3 times", "swarm inbox"):
                assert said in text

    async def test_a_digest_names_every_notice_and_counts_the_rest(self):
        async with self.of(self.taking()) as receiver:
            await receiver.channel.send(dispatch(notice(1), notice(2, Severity.URGENT), more=5))
            (text,) = receiver.texts
            for said in ("7 notices of shop", "users-1", "users-2", "5 more"):
                assert said in text

    async def test_words_that_mean_something_to_the_receiver_stay_words(self):
        """An agent chose them."""
        hostile = '\'; "$(reboot)" `x` <b>&amp; <!channel> %s {0}\n.\nSubject: x\n[1, 2]'
        async with self.of(self.taking()) as receiver:
            await receiver.channel.send(dispatch(notice(text=hostile, title="Größe: \"x\" & 'y' <z> ü€")))
            (text,) = receiver.texts
            assert "swarm inbox" in text
            assert "$(reboot)" in text

    async def test_a_refusal_is_an_error_that_is_not_repeated(self):
        async with self.of(self.refusing()) as receiver:
            with pytest.raises(NotToldError) as caught:
                await receiver.channel.send(dispatch())
            assert caught.value.what
            assert SECRET not in str(caught.value)

    async def test_silence_ends_at_the_limit_and_may_be_tried_again(self):
        async with self.of(self.silent()) as receiver:
            began = time.monotonic()
            with pytest.raises(NotToldError) as caught:
                await receiver.channel.send(dispatch())
            assert caught.value.again
            assert time.monotonic() - began < 5
            assert SECRET not in str(caught.value)

    async def test_it_can_be_cancelled(self):
        async with self.of(self.silent()) as receiver:
            sending = asyncio.create_task(receiver.channel.send(dispatch()))
            await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

    async def test_no_secret_is_shown(self):
        async with self.of(self.taking()) as receiver:
            assert SECRET not in f"{receiver.channel!r} {receiver.channel.address} {receiver.channel.name}"
            assert receiver.channel.address
