"""What a collector is told, decoded from the bytes it was sent."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter

import pytest

from swarmworks.telemetry.calls import Linked, Outcome, Said, Target
from swarmworks.telemetry.collector import lacks
from swarmworks.telemetry.counting import CallCounts
from swarmworks.telemetry.otlp import OtlpExporter, sampled, trace_of
from swarmworks.telemetry.prometheus import text
from swarmworks.telemetry.shipping import Shipping
from tests.telemetry.collector import at, attributes, call, collecting, nobody, points

NOW_NS = 1_800_000_100_000_000_000


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def collector():
    with collecting() as found:
        yield found


def exporter(url, **changes) -> OtlpExporter:
    return OtlpExporter(at(url, **changes), "rpl_1", "1.2.3", lambda: NOW_NS)


def told(collector, *calls, **changes):
    """The spans of these calls."""
    one = exporter(collector.url, **changes)
    try:
        assert one.spans(calls)
    finally:
        one.stop()
    return collector.spans


def test_a_span_has_the_names_of_the_conventions_and_ours_and_the_exact_cost(collector):
    [span] = told(collector, call(7, cost_nano_usd=2**53 + 1))
    assert span.name == "chat real-model"
    assert span.kind == span.SPAN_KIND_CLIENT
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_500_000_000
    assert span.end_time_unix_nano == 1_800_000_000_000_000_000
    assert span.parent_span_id == b""
    assert span.status.code == span.status.STATUS_CODE_UNSET
    assert attributes(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "real-model",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.cache_write.input_tokens": 2,
        "http.response.status_code": 200,
        "swarm.provider.name": "local",
        "swarm.outcome": "answered",
        "swarm.cost.nano_usd": 2**53 + 1,
        "swarm.cost.estimated": False,
        "swarm.reserved.nano_usd": 900_000,
        "swarm.time_to_first_byte_s": 0.3,
        "swarm.session.id": "ses_7",
        "swarm.task.id": "task-7",
        "swarm.swarm.id": "swm_1",
    }
    [resource] = collector.resources
    assert (resource["service.name"], resource["service.version"]) == ("swarmworks", "1.2.3")
    assert resource["service.instance.id"] == "rpl_1"


def test_the_environment_adds_to_the_resource_and_never_says_where_to(collector, monkeypatch):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging,service.name=other")
    for signal in ("", "TRACES_"):
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    told(collector, call())
    [resource] = collector.resources
    assert (resource["deployment.environment.name"], resource["service.name"]) == ("staging", "swarmworks")


def test_a_refusal_is_an_error_of_its_type_that_cost_nothing(collector):
    none = {"reserved_nano_usd": None, "cost_nano_usd": None, "tokens": None, "first_byte_s": None}
    [span] = told(collector, call(outcome=Outcome.REFUSED, reason="budget", status=400, **none))
    found = attributes(span)
    assert (found["error.type"], found["swarm.outcome"]) == ("budget", "refused")
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert not {"swarm.cost.nano_usd", "swarm.cost.estimated", "swarm.reserved.nano_usd"} & found.keys()
    assert not any(name.startswith("gen_ai.usage") for name in found)


def test_the_calls_of_a_session_are_one_trace_and_a_clients_span_is_a_link_only(collector):
    linked = Linked(int("a" * 32, 16), int("b" * 16, 16))
    spans = told(collector, call(1), call(1, linked=linked), call(2))
    traces = [span.trace_id for span in spans]
    assert traces[0] == traces[1] == trace_of("ses_1").to_bytes(16)
    assert traces[2] == trace_of("ses_2").to_bytes(16)
    assert len({span.span_id for span in spans}) == 3
    [link] = spans[1].links
    assert (link.trace_id.hex(), link.span_id.hex()) == ("a" * 32, "b" * 16)
    assert spans[1].parent_span_id == b""
    assert "a" * 32 not in traces[1].hex()
    assert [len(span.links) for span in spans] == [0, 1, 0]


def test_content_is_told_in_the_form_of_the_conventions(collector):
    prompt = (Said("user", "text", "hällo"), Said("tool", "tool_call_response", "42"))
    [span] = told(collector, call(prompt=prompt, answer=(Said("assistant", "tool_call", '{"a":1}', "look"),)))
    found = attributes(span)
    assert found["gen_ai.input.messages"] == (
        '[{"role": "user", "parts": [{"type": "text", "content": "hällo"}]}, '
        '{"role": "tool", "parts": [{"type": "tool_call_response", "response": "42"}]}]'
    )
    assert '"name": "look", "arguments": "{\\"a\\":1}"' in found["gen_ai.output.messages"]


def test_sampling_takes_whole_sessions_and_about_as_many_as_asked(collector):
    calls = [call(number) for number in range(500) for _ in range(2)]
    spans = told(collector, *calls, sample_ratio=0.3)
    by_session = Counter(attributes(span)["swarm.session.id"] for span in spans)
    assert set(by_session.values()) == {2}
    assert 100 < len(by_session) < 200
    assert sampled("ses_1", 1.0)
    assert not sampled("ses_1", 0.0)


def test_the_counts_are_those_of_prometheus(collector):
    counts = CallCounts()
    refused = {"outcome": Outcome.REFUSED, "reason": "budget", "cost_nano_usd": None, "tokens": None}
    lost = {"outcome": Outcome.FAILED, "reason": "cut", "estimated": True, "cost_nano_usd": 900_000}
    for each in (
        call(),
        call(1),
        call(**refused),
        call(**lost, target=Target("g", "gcp.gemini", "m", "generate_content")),
    ):
        counts.add(each)
    one = exporter(collector.url)
    assert one.counts(counts.snapshot())
    one.stop()
    metrics = collector.metrics
    assert set(metrics) == {
        "gen_ai.client.operation.duration",
        "gen_ai.client.token.usage",
        "swarm.gateway.time_to_first_byte",
        "swarm.gateway.calls",
        "swarm.gateway.cached_tokens",
        "swarm.gateway.cost",
    }
    shown = text(counts.snapshot())
    [budget] = [p for p in points(metrics["swarm.gateway.calls"]) if attributes(p).get("error.type") == "budget"]
    assert budget.as_int == 1
    assert 'outcome="refused",reason="budget"} 1\n' in shown
    cost = {
        (attributes(point)["swarm.provider.name"], attributes(point)["swarm.cost.estimated"]): point.as_int
        for point in points(metrics["swarm.gateway.cost"])
    }
    assert cost == {("local", False): 210_002, ("local", True): 0, ("g", False): 0, ("g", True): 900_000}
    assert 'estimated="false"} 0.000210002\n' in shown
    tokens = {
        (attributes(point)["swarm.provider.name"], attributes(point)["gen_ai.token.type"]): point
        for point in points(metrics["gen_ai.client.token.usage"])
    }
    assert (tokens["local", "input"].sum, tokens["local", "input"].count) == (20, 2)
    assert (tokens["local", "output"].sum, tokens["local", "output"].max) == (10, 5)
    duration = metrics["gen_ai.client.operation.duration"]
    assert (duration.unit, metrics["gen_ai.client.token.usage"].unit) == ("s", "{token}")
    assert sum(point.count for point in points(duration)) == 4
    assert all(sum(point.bucket_counts) == point.count for point in points(duration))
    for metric in metrics.values():
        for point in points(metric):
            assert point.time_unix_nano == NOW_NS
            assert not {"swarm.session.id", "swarm.task.id", "swarm.swarm.id"} & attributes(point).keys()


def test_what_the_collector_wants_to_be_shown_is_shown(collector):
    told(collector, call(), headers={"x-team": "secret-of-the-collector"})
    assert collector.received[0][1]["x-team"] == "secret-of-the-collector"


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_a_collector_that_refuses_takes_nothing(collector, status, caplog):
    collector.status = status
    one = exporter(collector.url)
    assert not one.spans([call()])
    counts = CallCounts()
    counts.add(call())
    assert not one.counts(counts.snapshot())
    one.stop()
    one.stop()
    assert not one.spans([call()])
    assert caplog.records == []


async def test_a_collector_that_is_away_or_says_later_is_no_longer_tried_at_the_end(collector):
    collector.status = 503
    with nobody() as url:
        for address in (url, collector.url):
            ship = Shipping(exporter(address), CallCounts(), address, spans_every_s=0.01, flush_s=0.3)
            ship.start()
            ship.add(call())
            began = time.monotonic()
            await ship.close()
            assert time.monotonic() - began < 3
            ship._thread.join(10)
            assert not ship._thread.is_alive()


async def test_the_thread_of_a_collector_that_hangs_is_left_behind_and_ends_with_it(collector):
    collector.hangs = True
    ship = Shipping(exporter(collector.url), CallCounts(), collector.url, spans_every_s=0.01, flush_s=0.1)
    ship.start()
    ship.add(call())
    assert collector.reached(lambda it: it.received)
    await ship.close()
    assert ship._thread.daemon
    collector.release()
    ship._thread.join(20)
    assert not ship._thread.is_alive()


def test_whether_a_collector_answers(collector):
    assert lacks(at(collector.url)) is None
    collector.status = 401
    assert lacks(at(collector.url)) == "it answers 401"
    with nobody() as url:
        assert lacks(at(url)) == "it cannot be reached: ConnectError"


def test_a_control_plane_without_a_collector_loads_no_library_of_opentelemetrys():
    code = (
        "import sys, swarmworks.wiring.plane, swarmworks.wiring.launcher\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter',"
        " 'google.protobuf', 'requests'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
