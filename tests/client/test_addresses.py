import asyncio

import pytest

from swarmworks.client.addresses import Addresses


async def test_an_answer_that_fails_as_its_asker_leaves_is_told_nobody(caplog):
    fails = asyncio.Event()

    async def asked():
        await fails.wait()
        raise ConnectionError("all connection attempts failed")

    asking = asyncio.create_task(Addresses(["http://one"]).unless_left("http://one", asked()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    fails.set()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    del asking
    assert [record.message for record in caplog.records] == []
