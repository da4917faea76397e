"""What a session did last, as any control plane sees it."""

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds, WorkerId
from swarmworks.service.auditing import MOST_BEHIND, Auditing
from tests.store.sample import SWARM, agents_of, claim, planned, swarm_of, worker
from tests.stores import open_test_store


@pytest.fixture
async def store(tmp_path):
    opened = await open_test_store(tmp_path / "state.db", SystemClock(), RandomIds())
    yield opened
    await opened.close()


@pytest.fixture
async def session(store):
    def begin(tx):
        tx.set_agents("shop", agents_of(1))
        tx.insert_swarm(swarm_of(planned("t")))
        [(session, _work)] = claim(tx, worker(tx))
        tx.start_session(session.id, "0" * 64)
        return session

    return await store.transact(begin)


def call(tool, **arguments):
    return {"type": "tool_call", "tool": tool, "arguments": arguments}


async def doing(store, auditing, session):
    return (await store.read(lambda reader: auditing.doing(reader, SWARM))).get(session.id, "")


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (call("read_file", path="src/a.py", lines=3), "read_file src/a.py"),
        (call("run", command="it's -q"), "run it's -q"),
        (call("run", seconds=3), "run 3"),
        (call("check"), "check"),
        (call("write_file", text="x" * 5000), f"write_file {'x' * 69}"),
        (call("run", command="curl -H 'x: sk-abcdefghijklmnopqrstuvwx'"), None),
    ],
)
async def test_it_is_the_tool_and_its_first_argument(store, session, event, words):
    auditing = Auditing(store)
    await auditing.record(session.id, WorkerId("w1"), [event])
    said = await doing(store, auditing, session)
    assert said == words or (words is None and "sk-abc" not in said)


async def test_another_control_plane_sees_it_and_the_end_of_it(store, session):
    one, other = Auditing(store), Auditing(store)
    await one.record(session.id, WorkerId("w1"), [call("read_file", path="a.py")])
    assert await doing(store, other, session) == "read_file a.py"
    await one.record(session.id, WorkerId("w1"), [call("read_file", path="b.py")])
    assert [await doing(store, each, session) for each in (one, other)] == ["read_file b.py"] * 2
    await one.record(session.id, WorkerId("w1"), [{"type": "end"}])
    assert [await doing(store, each, session) for each in (one, other)] == [""] * 2


async def test_what_lies_far_back_is_not_looked_for(store, session):
    auditing = Auditing(store)
    await auditing.record(session.id, WorkerId("w1"), [call("read_file", path="a.py")])
    await auditing.record(session.id, WorkerId("w1"), [{"type": "said", "text": "hm"}] * MOST_BEHIND)
    assert await doing(store, auditing, session) == ""
