"""Providers that break and clients that leave: what is booked, and what the client is told."""

import asyncio
import json

import aiohttp
import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.base.errors import StoreUnavailableError
from swarmworks.base.ids import ReservationId
from swarmworks.domain.budget import Amount
from swarmworks.domain.provider import BreakerState, Outage
from swarmworks.policy.circuit import CircuitRules
from swarmworks.service.gateway import ledger
from tests.service.gateway.plant import KINDS, RATE_IN, RATE_OUT, plant, quick
from tests.service.gateway.upstream import Answer, chat_events, generate_events, message_events, response_events

EXACT = 10 * RATE_IN + 5 * RATE_OUT


def always(answer):
    return lambda number, body: answer


def events_of(kind):
    makers = (chat_events, response_events, message_events, generate_events)
    return dict(zip(KINDS, makers, strict=True))[kind]({"stream_options": {"include_usage": True}}, Answer())


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_cut_at_any_event_is_charged_in_full_unless_its_usage_was_final(kind):
    final = {
        "openai": b'"usage"',
        "responses": b"response.completed",
        "anthropic": b"message_delta",
        "google": b"finishReason",
    }[kind]
    events = events_of(kind)
    async with plant(kind, settings=quick(idle_s=5)) as p:
        p.upstream.script = lambda number, body: Answer(cut_after=number)
        for cut in range(len(events)):
            status, body, _headers = await p.ask(kind, {"stream": True})
            call = (await p.recorded(cut + 1))[-1]
            assert (call.settled == call.reserved) == call.estimated
            assert call.estimated == (final not in b"".join(events[:cut]))
            if status == 200:
                assert b"error" in body.split(b"\n\n")[-2]
                assert json.loads(body.rsplit(b"data: ", 1)[1])["error"]["message"]
            assert call.refusal in ("cut", "unavailable")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_in_the_middle_is_passed_on_and_charged_in_full(kind):
    async with plant(kind) as p:
        p.upstream.script = always(Answer(error_after=2))
        status, body, _headers = await p.ask(kind, {"stream": True})
        assert status == 200
        assert b"overloaded_error" in body
        [call] = await p.recorded(1)
        assert call.estimated
        assert call.settled == call.reserved


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_that_breaks_off_for_overload_is_a_failure_of_the_model_and_no_loop(kind):
    async with plant(kind, clock=ManualClock()) as p:
        p.upstream.script = always(Answer(error_after=2))
        assert (await p.ask(kind, {"stream": True}))[0] == 200
        [call] = await p.recorded(1)
        assert call.refusal == "cut"
        [lane] = p.gateway.accounts.lanes("p", "real-model")
        assert (lane.breaker.state, lane.breaker.reason) == (BreakerState.OPEN, Outage.OVERLOADED)
        held = p.gateway.held_up(call.session_id)
        assert (held.unanswered, held.failed) == (True, "cut")


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_that_breaks_off_for_the_requests_sake_harms_no_account_and_ends_the_session_that_repeats_it(
    kind, after
):
    settings = quick(circuit=CircuitRules(failed_calls=2))
    async with plant(kind, settings=settings) as p:
        p.upstream.script = always(Answer(error_after=after, error={"code": "content_filter", "message": "x"}))
        for _ in range(2):
            status, body, _headers = await p.ask(kind, {"stream": True})
            assert (status, b"content_filter" in body) == (200, True)
        assert [call.refusal for call in await p.recorded(2)] == ["provider_400"] * 2
        assert all(call.settled == call.reserved and call.tries == 1 for call in p.calls)
        [lane] = p.gateway.accounts.lanes("p", "real-model")
        assert (lane.account.breaker.failures, lane.account.in_flight) == (0, 0)
        status, body, _headers = await p.ask(kind, {"stream": True})
        assert (status, b"loop" in body) == (400, True)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_that_is_closed_before_its_end_is_a_failure_and_the_client_is_told(kind):
    async with plant(kind) as p:
        p.upstream.script = always(Answer(stop_after=2))
        _status, body, _headers = await p.ask(kind, {"stream": True})
        assert b"stream_cut" in body
        [call] = await p.recorded(1)
        assert (call.refusal, call.settled) == ("cut", call.reserved)
        [lane] = p.gateway.accounts.lanes("p", "real-model")
        assert lane.account.breaker.failures == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_without_usage_the_whole_reservation_is_charged(kind, stream):
    async with plant(kind) as p:
        p.upstream.script = always(Answer(omit_usage=True))
        assert (await p.ask(kind, {"stream": stream}))[0] == 200
        [call] = await p.recorded(1)
        assert call.estimated
        assert call.settled == call.reserved


@pytest.mark.parametrize("kind", KINDS)
async def test_repeated_usage_is_charged_once(kind):
    async with plant(kind) as p:
        p.upstream.script = always(Answer(repeat_usage=True))
        _status, body, _headers = await p.ask(kind, {"stream": True})
        assert kind == "anthropic" or b"prompt_tokens" not in body
        [call] = await p.recorded(1)
        assert (call.settled.nano_usd, call.estimated) == (EXACT, False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", [Answer(hang=True), Answer(cut_json=True)])
async def test_an_answer_that_never_comes_is_retryable_and_charged_in_full(kind, answer):
    async with plant(kind, settings=quick(first_byte_s=0.2)) as p:
        p.upstream.script = always(answer)
        status, body, headers = await p.ask(kind)
        assert status == (529 if kind == "anthropic" else 503)
        told = json.loads(body)["error"]
        assert told.get("type", told.get("status")) in ("server_error", "overloaded_error", "UNAVAILABLE")
        assert int(headers["retry-after"]) > 0
        [call] = await p.recorded(1)
        assert call.estimated
        assert call.settled == call.reserved
        assert not call.stop


async def test_a_provider_known_to_answer_sooner_is_given_up_sooner_and_the_next_call_is_served():
    async with plant(settings=quick(first_byte_s=60), first_byte_s=0.2) as p:
        p.upstream.script = always(Answer(hang=True))
        assert (await p.ask("openai"))[0] == 503
        p.upstream.script = always(Answer())
        assert (await p.ask("openai"))[0] == 200
        stalled, served = await p.recorded(2)
        assert stalled.settled == stalled.reserved
        assert served.settled.nano_usd == EXACT


async def test_a_stream_that_falls_silent_is_ended_and_charged_in_full():
    async with plant(settings=quick(idle_s=0.2)) as p:
        p.upstream.script = always(Answer(gate=asyncio.Event(), gate_at=2))
        _status, body, _headers = await p.ask("openai", {"stream": True})
        assert b"stream_cut" in body
        [call] = await p.recorded(1)
        assert call.settled == call.reserved


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("status", "charged", "stop"),
    [
        (400, False, False),
        (404, False, False),
        (429, False, False),
        (401, False, True),
        (500, True, False),
        (529, True, False),
    ],
)
async def test_a_refusal_by_the_provider(kind, status, charged, stop):
    async with plant(kind) as p:
        p.upstream.script = always(Answer(status=status, headers={"retry-after": "7"} if status == 429 else {}))
        told, body, headers = await p.ask(kind)
        assert told == (403 if status == 401 else status)
        assert "message" in json.loads(body)["error"]
        if status == 429:
            assert headers["retry-after"] == "7"
        if status >= 500:
            assert int(headers["retry-after"]) > 0
        [call] = await p.recorded(1)
        assert (call.settled == call.reserved) is charged
        assert (call.settled.nano_usd == 0) is not charged
        assert (call.refusal, call.stop) == (f"provider_{status}", stop)


async def test_googles_wrong_key_stops_the_session_although_it_comes_as_a_wrong_request():
    reason = {"error": {"code": 400, "message": "API key not valid.", "details": [{"reason": "API_KEY_INVALID"}]}}
    async with plant("google") as p:
        p.upstream.script = always(Answer(status=400, body=json.dumps(reason).encode()))
        told, body, _headers = await p.ask("google")
        assert (told, json.loads(body)["error"]["status"]) == (403, "PERMISSION_DENIED")
        [call] = await p.recorded(1)
        assert (call.refusal, call.stop, call.settled.nano_usd) == ("provider_403", True, 0)


async def test_an_error_page_is_put_into_the_vendors_shape():
    async with plant() as p:
        p.upstream.script = always(Answer(status=502, body=b"<html>bad gateway</html>"))
        status, body, _headers = await p.ask("openai")
        assert (status, json.loads(body)["error"]["code"]) == (502, "provider_502")


async def test_a_redirect_is_not_followed():
    async with plant() as p:
        p.upstream.script = always(Answer(status=302, headers={"location": p.upstream.url + "/v1/messages"}))
        assert (await p.ask("openai"))[0] == 503
        assert len(p.upstream.received) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_provider_that_is_not_there_costs_nothing(kind, unused_tcp_port):
    async with plant(kind, base_url=f"http://127.0.0.1:{unused_tcp_port}") as p:
        status, _body, headers = await p.ask(kind)
        assert status in (503, 529)
        assert "retry-after" in headers
        [call] = await p.recorded(1)
        assert (call.settled.nano_usd, call.estimated, call.refusal) == (0, False, "unavailable")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_vanishes_is_charged_what_was_used(kind, stream):
    gate = asyncio.Event()
    async with plant(kind) as p:
        p.upstream.script = always(Answer(gate=gate))
        if stream:
            async with p.post(kind, {"stream": True}) as response:
                await response.content.readany()
                response.close()
        else:
            asking = asyncio.create_task(p.ask(kind))
            await p.upstream.streaming.wait()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await p.upstream.streaming.wait()
        gate.set()
        [call] = await p.recorded(1)
        assert (call.settled.nano_usd, call.estimated) == (EXACT, False)
        assert p.upstream.finished.is_set()


async def test_reading_on_for_a_vanished_client_is_bounded():
    for settings in (quick(drain_s=0.1), quick(drains=0)):
        async with plant(settings=settings) as p:
            p.upstream.script = always(Answer(gate=asyncio.Event(), gate_at=2))
            async with p.post("openai", {"stream": True}) as response:
                await response.content.readany()
                response.close()
            [call] = await p.recorded(1)
            assert call.estimated
            assert call.settled == call.reserved


async def test_a_client_that_takes_nothing_does_not_hold_the_meter_up():
    long = tuple("x" * 60_000 for _ in range(400))
    async with plant(settings=quick(client_idle_s=0.2)) as p:
        p.upstream.script = always(Answer(texts=long))
        async with p.post("openai", {"stream": True}):
            [call] = await p.recorded(1)
        assert (call.settled.nano_usd, call.estimated) == (EXACT, False)


async def test_without_the_ledger_nothing_is_sent():
    async with plant() as p:
        p.store.fail_next = [StoreUnavailableError("disk full")]
        status, body, _headers = await p.ask("openai")
        assert status == 503
        assert "disk full" in json.loads(body)["error"]["message"]
        assert p.upstream.received == []


async def test_closing_charges_what_is_still_under_way():
    async with plant(settings=quick(close_s=0.1)) as p:
        p.upstream.script = always(Answer(gate=asyncio.Event(), gate_at=2))
        async with p.post("openai", {"stream": True}) as response:
            await response.content.readany()
            await p.gateway.close()
            [call] = await p.recorded(1)
            assert call.settled == call.reserved
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        assert (await p.ask("openai"))[0] == 503


async def test_a_provider_that_charges_more_than_was_reserved_freezes_the_account():
    async with plant() as p:
        p.upstream.script = always(Answer(completion=1_000_000))
        assert (await p.ask("openai"))[0] == 200
        [call] = await p.recorded(1)
        assert call.settled.nano_usd > call.reserved.nano_usd
        status, _body, _headers = await p.ask("openai")
        assert status == 400
        assert (await p.recorded(2))[1].refusal == "closed"
        assert len(p.upstream.received) == 1
        p.wrong_on_purpose = True


async def test_a_settlement_that_somebody_else_made_ends_the_call_all_the_same():
    gate = asyncio.Event()
    async with plant() as p:
        p.upstream.script = always(Answer(gate=gate))
        asking = asyncio.create_task(p.ask("openai"))
        await p.upstream.streaming.wait()
        await p.store.transact(lambda tx: tx.recover_reservations())
        gate.set()
        assert (await asking)[0] == 200
        [call] = await p.recorded(1)
        assert call.estimated
        assert call.settled == call.reserved


async def test_the_ledger_lost_while_a_call_is_under_way_is_charged_when_it_is_back():
    gate = asyncio.Event()
    async with plant() as p:
        p.upstream.script = always(Answer(gate=gate))
        asking = asyncio.create_task(p.ask("openai"))
        await p.upstream.streaming.wait()
        p.store.fail_next = [StoreUnavailableError("disk full")] * 3
        gate.set()
        assert (await asking)[0] == 200
        [call] = await p.recorded(1)
        assert call.settled is None
        assert call.estimated
        [lost] = await p.store.transact(lambda tx: tx.recover_reservations())
        assert lost.settled == call.reserved


async def test_a_call_that_could_not_be_settled_is_when_the_ledger_is_back(monkeypatch):
    monkeypatch.setattr(ledger, "SETTLE_AGAIN_S", 0.01)
    gate = asyncio.Event()
    async with plant() as p:
        p.upstream.script = always(Answer(gate=gate))
        asking = asyncio.create_task(p.ask("openai"))
        await p.upstream.streaming.wait()
        p.store.fail_next = [StoreUnavailableError("disk full")] * 5
        gate.set()
        assert (await asking)[0] == 200
        await asyncio.gather(*p.gateway._ledger._later)
        settled = await p.store.read(lambda reader: reader.reservation(ReservationId("res_1")))
        assert settled.settled.nano_usd == EXACT


async def test_a_reservation_whose_commit_is_unknown_costs_nothing(monkeypatch):
    monkeypatch.setattr(ledger, "SETTLE_AGAIN_S", 0.01)
    async with plant() as p:
        p.store.lose_next = [StoreUnavailableError("the connection was lost at a commit")] * 2
        assert (await p.ask("openai"))[0] == 503
        assert p.upstream.received == []
        await asyncio.gather(*p.gateway._ledger._later)
        [reservation] = await p.reservations()
        assert reservation.settled.nano_usd == reservation.settled.tokens == 0
        assert (await p.totals()).held.nano_usd == 0


async def test_a_reservation_that_was_never_made_is_not_asked_for_again(monkeypatch):
    monkeypatch.setattr(ledger, "SETTLE_AGAIN_S", 0.01)
    async with plant() as p:
        caller = await p.gateway._ledger.caller(p.tokens[0])
        p.store.fail_next = [StoreUnavailableError("disk full")] * 2
        with pytest.raises(StoreUnavailableError):
            await p.gateway._ledger.reserve(caller, "real-model", Amount(1, 1))
        async with asyncio.timeout(5):
            await asyncio.gather(*p.gateway._ledger._later)
        assert await p.reservations() == [None]


async def test_a_caller_that_leaves_while_the_commit_becomes_unknown_costs_nothing(monkeypatch):
    monkeypatch.setattr(ledger, "SETTLE_AGAIN_S", 0.01)
    async with plant() as p:
        caller = await p.gateway._ledger.caller(p.tokens[0])
        p.store.lose_next = [StoreUnavailableError("the connection was lost at a commit")]
        reserving = asyncio.create_task(p.gateway._ledger.reserve(caller, "real-model", Amount(1, 1)))
        await asyncio.sleep(0)
        reserving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reserving
        await asyncio.gather(*p.gateway._ledger._later)
        [reservation] = await p.reservations()
        assert reservation.settled.nano_usd == 0
