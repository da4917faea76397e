"""A limit on each of many waits, in virtual time."""

import asyncio

import pytest

from swarmworks.service.gateway.patience import Patience
from tests.virtual_time import run

LIMIT_S = 60.0


def timed(story):
    """What the story returns, beside the seconds it took."""

    async def main():
        loop = asyncio.get_running_loop()
        return await story(Patience(LIMIT_S)), loop.time()

    return run(main())


def test_a_wait_that_is_too_long_ends_at_its_limit():
    async def story(patience):
        with pytest.raises(TimeoutError), patience:
            await asyncio.Event().wait()

    assert timed(story) == (None, LIMIT_S)


def test_every_wait_has_its_whole_limit_however_many_went_before():
    async def story(patience):
        for _ in range(100):
            with patience:
                await asyncio.sleep(LIMIT_S - 1)
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError), patience:
            await asyncio.Event().wait()
        return asyncio.get_running_loop().time() - began

    waited, took = timed(story)
    assert waited == pytest.approx(LIMIT_S)
    assert took == pytest.approx(100 * (LIMIT_S - 1) + LIMIT_S)


def test_time_between_waits_does_not_count_and_a_later_wait_is_still_limited():
    async def story(patience):
        with patience:
            await asyncio.sleep(1)
        await asyncio.sleep(10 * LIMIT_S)
        for _ in range(2):
            with pytest.raises(TimeoutError), patience:
                await asyncio.Event().wait()

    assert timed(story)[1] == pytest.approx(1 + 12 * LIMIT_S)


def test_being_cancelled_is_not_a_limit():
    async def story(patience):
        async def waits():
            with patience:
                await asyncio.Event().wait()

        task = asyncio.create_task(waits())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert timed(story) == (None, 1)


@pytest.mark.parametrize("outer_s", [LIMIT_S, LIMIT_S + 1])
def test_a_limit_around_it_holds_too(outer_s):
    async def story(patience):
        async def waits():
            async with asyncio.timeout(outer_s):
                with patience:
                    await asyncio.Event().wait()

        with pytest.raises(TimeoutError):
            await waits()
        await asyncio.sleep(0)  # nothing is left that would cancel this task

    assert timed(story) == (None, LIMIT_S)


def test_an_error_of_what_was_waited_for_stays_itself():
    async def story(patience):
        async def fails():
            await asyncio.sleep(1)
            raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"), patience:
            await fails()
        await asyncio.sleep(2 * LIMIT_S)

    assert timed(story)[1] == 1 + 2 * LIMIT_S


def test_after_close_no_timer_is_left():
    async def story(patience):
        with patience:
            await asyncio.sleep(1)
        patience.close()
        await asyncio.Event().wait()

    with pytest.raises(AssertionError, match="everybody waits for ever"):
        timed(story)


def test_once_an_end_is_set_all_waits_share_what_is_left():
    async def story(patience):
        with patience:
            await asyncio.sleep(1)
        for _ in range(2):  # each time 2 of the 5 seconds; saying it again gives no more
            patience.end_in(5)
            with patience:
                await asyncio.sleep(2)
        with pytest.raises(TimeoutError), patience:
            await asyncio.sleep(2)

    assert timed(story) == (None, 6)
