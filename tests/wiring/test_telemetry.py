"""From the gateway to a collector: real calls through it, told by what wiring puts together."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import UsageError
from swarmworks.base.findings import Finding
from swarmworks.service.gateway.content import SECRET_CHARS, UNSURE_CHARS, without_secrets
from swarmworks.service.gateway.record import ProviderAccount, Upstream
from swarmworks.settings import clean_environment, collector, load_project
from swarmworks.telemetry.counting import CallCounts
from swarmworks.telemetry.prometheus import text
from swarmworks.wiring import telemetry
from swarmworks.wiring.telemetry import CONTENT_CHARS, check, content_chars, start_telemetry
from tests.service.gateway.plant import KEY, KINDS, RATE_IN, RATE_OUT, plant, quick
from tests.service.gateway.upstream import Answer
from tests.telemetry.collector import attributes, collecting, nobody, points

EXACT = 10 * RATE_IN + 5 * RATE_OUT
SECRETS = ("swk_" + "a" * 43, "sk-proj-" + "b" * 40, "ghp_" + "c" * 36)


def project(folder, url, more=""):
    folder.joinpath("swarm.toml").write_text(
        f'gates = "none"\n[project]\nname = "shop"\n[telemetry]\notlp_endpoint = "{url}"\n{more}\n'
    )
    return load_project(folder)


@asynccontextmanager
async def told(folder, url, *, more="", kind="openai", settings=None, **given):
    """A plant whose calls a collector is told of, and the counts."""
    found, counts = project(folder, url, more), CallCounts()
    async with AsyncExitStack() as stack:
        tell = start_telemetry(stack, found, counts, SystemClock(), "rpl_1")
        recording = settings or quick(content_chars=content_chars(found))
        p = await stack.enter_async_context(plant(kind, settings=recording, **given))
        observe = p.observe

        def both(record):
            tell(record)
            observe(record)

        p.gateway._observer = both
        yield p, counts


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "OTEL_SDK_DISABLED",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_in_every_format_is_one_span_with_its_exact_cost_and_no_word_of_it(tmp_path, kind, stream):
    with collecting() as there:
        async with told(tmp_path, there.url, kind=kind) as (p, _counts):
            parent = f"00-{'a' * 32}-{'b' * 16}-01"
            status, body, _ = await p.ask(
                kind, {"stream": stream}, headers={"traceparent": parent, "tracestate": "v=1"}
            )
            assert (status, b"hel" in body) == (200, True)
            await p.recorded(1)
            [session] = p.sessions
            [received] = p.upstream.received
            assert not {"traceparent", "tracestate"} & received.headers.keys()
        [span] = there.spans
        operation = "generate_content" if kind == "google" else "chat"
        vendor = {"google": "gcp.gemini", "anthropic": "anthropic"}.get(kind, "openai")
        assert span.name == f"{operation} real-model"
        found = attributes(span)
        assert (found["gen_ai.provider.name"], found["swarm.provider.name"]) == (vendor, "p")
        assert found["swarm.cost.nano_usd"] == EXACT
        assert found["swarm.reserved.nano_usd"] > EXACT
        assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (10, 5)
        assert (found["swarm.session.id"], found["swarm.task.id"], found["swarm.swarm.id"]) == (
            session,
            "task-0",
            "swm_1",
        )
        assert [link.trace_id.hex() for link in span.links] == ["a" * 32]
        [cost] = [p.as_int for p in points(there.metrics["swarm.gateway.cost"]) if p.as_int]
        assert cost == EXACT
        everything = there.bytes
        for word in (b"hello", b"hel", b"role", KEY.encode(), p.tokens[0].encode()):
            assert word not in everything, word


async def test_a_refused_call_is_told_with_its_reason(tmp_path):
    with collecting() as there:
        async with told(tmp_path, there.url, limit=10) as (p, counts):
            assert (await p.ask("openai"))[0] == 400
            await p.recorded(1)
        [span] = there.spans
        assert attributes(span)["error.type"] == "budget"
        assert 'outcome="refused",reason="budget"} 1\n' in text(counts.snapshot())


async def test_a_cut_call_is_told_at_its_whole_reservation_as_estimated(tmp_path):
    with collecting() as there:
        async with told(tmp_path, there.url) as (p, _counts):
            p.upstream.script = lambda *_: Answer(cut_after=2)
            await p.ask("openai", {"stream": True})
            await p.recorded(1)
        found = attributes(there.spans[0])
        assert found["swarm.cost.nano_usd"] == found["swarm.reserved.nano_usd"] > EXACT
        assert (found["swarm.cost.estimated"], found["swarm.outcome"], found["error.type"]) == (True, "failed", "cut")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_content_when_switched_on_is_what_was_said_bounded_and_without_secrets(tmp_path, kind, stream):
    with collecting() as there:
        async with told(tmp_path, there.url, more="content = true", kind=kind) as (p, _counts):
            # a secret that no single event of the stream holds
            pieces = ("it is ", SECRETS[1][:12], SECRETS[1][12:], " and ", KEY, "!")
            p.upstream.script = lambda *_: Answer(texts=pieces)
            await p.ask(kind, {"stream": stream})
            await p.recorded(1)
        found = attributes(there.spans[0])
        [asked] = json.loads(found["gen_ai.input.messages"])
        assert asked == {"role": "user", "parts": [{"type": "text", "content": "hello"}]}
        *thought, answered = json.loads(found["gen_ai.output.messages"])
        assert [each["parts"] for each in thought] == [[{"type": "reasoning", "content": "hm"}]] * (
            stream and kind == "google"
        )
        said = "it is [secret removed] and [key]!"
        assert answered == {"role": "assistant", "parts": [{"type": "text", "content": said}]}
        for secret in (*SECRETS, KEY):
            assert secret.encode() not in there.bytes


async def test_the_keys_of_all_accounts_of_a_provider_are_kept_out_of_content(tmp_path):
    accounts = (ProviderAccount("one", "key-first"), ProviderAccount("two", "key-second"))
    with collecting() as there:
        given = {"providers": lambda url: {"p": Upstream("p", "openai", url, accounts=accounts)}}
        async with told(tmp_path, there.url, more="content = true", **given) as (p, _counts):
            p.upstream.script = lambda *_: Answer(texts=("key-first ", "key-sec", "ond"))
            await p.ask("openai", {"messages": [{"role": "user", "content": "key-second"}], "stream": True})
            await p.recorded(1)
        found = attributes(there.spans[0])
        assert '"content": "[key] [key]"' in found["gen_ai.output.messages"]
        assert b"key-first" not in there.bytes
        assert b"key-second" not in there.bytes


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_tool_call_is_content_too(tmp_path, kind, stream):
    with collecting() as there:
        async with told(tmp_path, there.url, more="content = true", kind=kind) as (p, _counts):
            p.upstream.script = lambda *_: Answer(tool=True)
            await p.ask(kind, {"stream": stream})
            await p.recorded(1)
        *_thought, answered = json.loads(attributes(there.spans[0])["gen_ai.output.messages"])
        [part] = answered["parts"]
        assert (part["type"], part["name"], json.loads(part["arguments"])) == ("tool_call", "look", {"a": 1})


async def test_of_a_long_conversation_the_end_is_told_up_to_the_stated_size(tmp_path):
    messages = [{"role": "user", "content": f"message {n} " + "x" * 3_000} for n in range(40)]
    messages[-1]["content"] += SECRETS[2] + "\ud800"
    with collecting() as there:
        async with told(tmp_path, there.url, more="content = true") as (p, _counts):
            p.upstream.script = lambda *_: Answer(texts=("word " * 50,) * 1_000)
            await p.ask("openai", {"messages": messages, "stream": True})
            await p.recorded(1)
        found = attributes(there.spans[0])
        asked = json.loads(found["gen_ai.input.messages"])
        text_of = [message["parts"][0]["content"] for message in asked]
        assert sum(map(len, text_of)) == CONTENT_CHARS
        assert text_of[-1].startswith("message 39 ")
        assert text_of[-1].endswith("[secret removed]?")
        assert text_of[0].startswith("message 34 ")
        [answered] = json.loads(found["gen_ai.output.messages"])
        assert len(answered["parts"][0]["content"]) == CONTENT_CHARS


def test_no_part_of_a_secret_is_left_where_text_is_cut():
    for secret in SECRETS:
        for at in range(4_000, 4_700, 7):
            text = "-" * at + secret + "-" * 6_000
            for most in (100, 4_010, 4_400):
                assert "aaaa" not in (clean := without_secrets(text, most, ()))
                assert "bbbb" not in clean
                assert "cccc" not in clean
                assert len(clean) <= most
    assert max(map(len, SECRETS)) < UNSURE_CHARS
    key = "-----BEGIN PRIVATE KEY-----" + "d" * 3_000 + "-----END PRIVATE KEY-----"
    for seen in range(12):  # of the secret, before the looking stops
        text = (2 * key).ljust(4_000 + SECRET_CHARS - seen, "-") + SECRETS[0] + "-" * 6_000
        assert "swk_" not in without_secrets(text, 4_000, ())
    pem = "-----BEGIN RSA PRIVATE KEY-----\n" + "d" * 3_000
    assert "dddd" not in without_secrets(f"{pem}\n-----END RSA PRIVATE KEY-----" * 3 + "tail", 200, ())


@pytest.mark.parametrize("how", ["hangs", "refuses", "away"])
async def test_a_collector_that_does_not_answer_holds_up_no_call_and_loses_no_money(tmp_path, monkeypatch, how):
    monkeypatch.setattr(telemetry, "QUEUE_CALLS", 20)
    with collecting() as there, nobody() as empty:
        there.hangs, there.status = how == "hangs", 500 if how == "refuses" else 200
        async with told(tmp_path, empty if how == "away" else there.url, sessions=10) as (p, counts):
            asked = [p.ask("openai", {"stream": True}, token) for token in p.tokens for _ in range(8)]
            answers = await asyncio.gather(*asked)
            assert {status for status, _body, _headers in answers} == {200}
            await p.recorded(80)
            assert (await p.totals()).spent.nano_usd == 80 * EXACT
            assert counts.snapshot().untold == 60
        assert f"0.{80 * EXACT:09}" in text(counts.snapshot())


async def test_many_calls_at_once_are_each_told_once(tmp_path):
    with collecting() as there:
        async with told(tmp_path, there.url, sessions=30) as (p, counts):
            await asyncio.gather(*(p.ask("openai", {"stream": True}, token) for token in p.tokens for _ in range(10)))
            await p.recorded(300)
            spent = (await p.totals()).spent
        spans = [attributes(span) for span in there.spans]
        assert len(spans) == 300
        assert {span["swarm.session.id"] for span in spans} == set(p.sessions)
        assert sum(span["swarm.cost.nano_usd"] for span in spans) == spent.nano_usd == 300 * EXACT
        assert sum(point.as_int for point in points(there.metrics["swarm.gateway.cost"])) == spent.nano_usd
        assert counts.snapshot().untold == 0
        assert len({span.trace_id for span in there.spans}) == 30


async def test_without_a_collector_calls_are_counted_all_the_same(tmp_path):
    tmp_path.joinpath("swarm.toml").write_text('gates = "none"\n[project]\nname = "shop"\n')
    counts = CallCounts()
    async with AsyncExitStack() as stack, plant() as p:
        p.gateway._observer = start_telemetry(stack, load_project(tmp_path), counts, SystemClock(), "rpl_1")
        await p.ask("openai")
    shown = text(counts.snapshot())
    assert 'llm_calls_total{provider="p",model="real-model",operation="chat",outcome="answered"} 1\n' in shown
    assert "telemetry_untold_calls_total" not in shown


def test_the_headers_come_from_the_variable_that_is_named_and_no_worker_sees_them(tmp_path, monkeypatch):
    found = project(tmp_path, "http://127.0.0.1:4318", 'headers_env = "COLLECTOR_SHOWN"')
    monkeypatch.setenv("COLLECTOR_SHOWN", "authorization=Bearer%20abc, x-team = shop")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x=y")
    to = collector(found.config)
    assert to.headers == {"authorization": "Bearer abc", "x-team": "shop"}
    assert "abc" not in repr(to)
    assert not {"COLLECTOR_SHOWN", "OTEL_EXPORTER_OTLP_HEADERS"} & clean_environment(found.config).keys()
    for wrong in ("", "nothing", "a=b%0d%0ac", "=x", "a b=c"):
        monkeypatch.setenv("COLLECTOR_SHOWN", wrong)
        with pytest.raises(UsageError) as caught:
            collector(found.config)
        assert "COLLECTOR_SHOWN" in str(caught.value)
        assert not wrong or f"holds {wrong}" not in str(caught.value)


def test_doctor_says_whether_the_collector_answers(tmp_path, monkeypatch):
    with collecting() as there:
        [found] = check(project(tmp_path, there.url))
        assert (found.finding, found.found) == (Finding.OK, f"the collector at {there.url} answers")
        there.status = 403
        [found] = check(project(tmp_path, there.url))
        assert found.finding is Finding.LACKING
        assert "it answers 403" in found.found
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
        [found] = check(project(tmp_path, there.url))
        assert found.finding is Finding.NOTE
    tmp_path.joinpath("swarm.toml").write_text('gates = "none"\n[project]\nname = "shop"\n')
    assert check(load_project(tmp_path)) == []


async def test_the_standard_variable_switches_it_off_and_the_log_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    with collecting() as there:
        async with told(tmp_path, there.url) as (p, counts):
            await p.ask("openai")
            await p.recorded(1)
        assert there.received == []
    assert len(counts.snapshot().tallies) == 1
    assert "OTEL_SDK_DISABLED" in caplog.text
