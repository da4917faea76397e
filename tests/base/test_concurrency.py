import asyncio

from swarmworks.base.concurrency import end_all


async def test_what_it_ends_has_ended():
    tidied = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            tidied.append("yes")

    tasks = [asyncio.create_task(work()) for _ in range(3)]
    await asyncio.sleep(0)
    await end_all(tasks)
    assert tidied == ["yes"] * 3
    assert all(task.cancelled() for task in tasks)


async def test_what_was_raised_meanwhile_is_told_nobody(caplog):
    async def fails_when_it_ends():
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("the connection is gone")

    async def failed_before():
        raise OSError("no answer")

    tasks = [asyncio.create_task(fails_when_it_ends()), asyncio.create_task(failed_before())]
    await asyncio.sleep(0)
    await end_all(tasks)
    assert all(task.done() for task in tasks)
    del tasks
    assert caplog.records == []


async def test_nothing_to_end():
    await end_all(())
