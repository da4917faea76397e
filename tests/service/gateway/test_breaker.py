"""The breaker in the gateway: a session that goes in circles is stopped, on record, and served by no replica any more."""

from dataclasses import replace

from swarmworks.policy.circuit import CircuitRules
from tests.service.gateway.plant import plant, quick


def breaking(**rules):
    return replace(quick(), circuit=CircuitRules(**rules))


async def asked(p, times, *more):
    """One after the other: the next when the gateway is done with the one before."""
    answers = []
    for _ in range(times):
        before = len(p.calls)
        answers.append(await p.ask("openai", *more))
        await p.recorded(before + 1)
    return answers


async def stops(p):
    return await p.store.read(lambda reader: reader.session_stops(p.sessions))


async def test_a_session_that_asks_the_same_again_and_again_is_stopped_with_a_reason():
    async with plant(settings=breaking(same_calls=3)) as p:
        answers = await asked(p, 5)
        assert [status for status, *_ in answers] == [200, 200, 200, 400, 400]
        assert b"sent to the model 3 times in a row" in answers[3][1]
        assert answers[3][2]["x-should-retry"] == "false"
        assert len(p.upstream.received) == 3
        records = await p.recorded(5)
        assert [record.stop for record in records] == [False, False, True, True, True]
        assert [bool(record.broken) for record in records] == [False, False, True, False, False]
        assert "in a row" in (await stops(p))[p.sessions[0]]
        [event] = await p.store.read(lambda r: [e for e in r.events("swm_1") if e.kind == "session.stopping"])
        assert (event.session_id, "in a row" in event.data) == (p.sessions[0], True)


async def test_other_requests_and_other_sessions_go_on():
    async with plant(settings=breaking(same_calls=3), sessions=2) as p:
        for number in range(6):
            status, *_ = await p.ask("openai", {"messages": [{"role": "user", "content": f"number {number}"}]})
            assert status == 200
        await asked(p, 3)
        status, *_ = await p.ask("openai", token=p.tokens[1])
        assert status == 200


async def test_a_session_whose_requests_are_refused_one_after_the_other_is_stopped():
    async with plant(settings=breaking(failed_calls=2)) as p:
        wrong = {"store": True, "conversation": "conv_1"}
        answers = await asked(p, 3, wrong)
        assert [status for status, *_ in answers] == [400, 400, 400]
        status, body, _ = await p.ask("openai")
        assert (status, b"was stopped: loop: 2 model calls failed" in body) == (400, True)
        assert p.upstream.received == []


async def test_another_replica_serves_a_stopped_session_no_more():
    async with plant(settings=breaking(same_calls=3), others=True) as p:
        await p.store.transact(lambda tx: tx.stop_session(p.sessions[0], "loop: seen elsewhere"))
        status, body, _ = await p.ask("openai")
        assert (status, b"loop: seen elsewhere" in body) == (400, True)
