"""Calls and their counts as OpenTelemetry data, by the official libraries, over HTTP.

The only module that imports them, and imported by wiring only where a collector is configured. What the libraries log
themselves is left out: `shipping` says once what is to be said.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

from swarmworks.telemetry import names
from swarmworks.telemetry.calls import Call, Outcome, Said, Target
from swarmworks.telemetry.collector import Collector
from swarmworks.telemetry.counting import Histogram, Snapshot, Tally

TIMEOUT_S = 5.0
"""Of one export with all its tries."""
MOST_ATTRIBUTE_CHARS = 200_000
_NANO = 1_000_000_000

Attributes = Mapping[str, str | int | float | bool]


def trace_of(session_id: str) -> int:
    """The calls of a session are one trace, whichever control plane they went through."""
    return int.from_bytes(hashlib.sha256(f"swarm session {session_id}".encode()).digest()[:16]) or 1


def sampled(session_id: str, ratio: float) -> bool:
    """By the trace's last eight bytes, as OpenTelemetry's own sampler by ratio."""
    return (trace_of(session_id) & (1 << 64) - 1) < round(ratio * (1 << 64))


class _SessionTraces(RandomIdGenerator):
    """Random span ids, in the trace that is set before a span begins."""

    trace_id = 1

    def generate_trace_id(self) -> int:
        return self.trace_id


class _Ended(SpanProcessor):
    """Keeps what ended, for the export that follows."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


class OtlpExporter:
    """`instance` sets apart the counts of control planes that share a collector. `now_ns` is the wall clock."""

    def __init__(self, collector: Collector, instance: str, version: str, now_ns: Callable[[], int]) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        about = {
            "service.name": collector.service_name,
            "service.version": version,
            "service.instance.id": instance,
        }
        self._resource = Resource.create(about)
        self._scope = InstrumentationScope(names.SCOPE, version)
        self._now_ns = now_ns
        self._ratio = collector.sample_ratio
        self._started_ns = now_ns()
        self._traces = _SessionTraces()
        self._ended = _Ended()
        limits = SpanLimits(max_span_attribute_length=MOST_ATTRIBUTE_CHARS)
        provider = TracerProvider(ALWAYS_ON, self._resource, False, None, self._traces, limits)
        provider.add_span_processor(self._ended)
        self._tracer = provider.get_tracer(names.SCOPE, version)
        headers = dict(collector.headers)
        plain = Compression.NoCompression
        self._span_exporter = OTLPSpanExporter(
            collector.address("traces"), headers=headers, timeout=TIMEOUT_S, compression=plain
        )
        self._metrics: MetricExporter = OTLPMetricExporter(
            collector.address("metrics"), headers=headers, timeout=TIMEOUT_S, compression=plain
        )
        self._stopped = False

    def spans(self, calls: Sequence[Call]) -> bool:
        for call in calls:
            if sampled(call.session_id, self._ratio):
                self._begin_and_end(call)
        ended, self._ended.spans = self._ended.spans, []
        return not ended or self._span_exporter.export(ended) is SpanExportResult.SUCCESS

    def counts(self, now: Snapshot) -> bool:
        metrics = list(_metrics(now, self._started_ns, self._now_ns()))
        if not metrics:
            return True
        scoped = ScopeMetrics(self._scope, metrics, "")
        data = MetricsData([ResourceMetrics(self._resource, [scoped], "")])
        result = self._metrics.export(data)  # pyright: ignore[reportUnknownMemberType] - its **kwargs have no type
        return result is MetricExportResult.SUCCESS

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._span_exporter.shutdown()
            self._metrics.shutdown()  # pyright: ignore[reportUnknownMemberType] - as above

    def _begin_and_end(self, call: Call) -> None:
        self._traces.trace_id = trace_of(call.session_id)
        span = self._tracer.start_span(
            f"{call.target.operation} {call.target.model}",
            Context(),
            SpanKind.CLIENT,
            {**_of_target(call.target), **_of_call(call)},
            [Link(SpanContext(call.linked.trace_id, call.linked.span_id, is_remote=True))] if call.linked else (),
            call.ended_ns - int(call.duration_s * _NANO),
        )
        if call.outcome in {Outcome.REFUSED, Outcome.FAILED}:
            span.set_status(Status(StatusCode.ERROR, call.reason))
        span.end(call.ended_ns)


def _of_target(target: Target) -> Attributes:
    return {
        names.OPERATION: target.operation,
        names.PROVIDER: target.vendor,
        names.REQUEST_MODEL: target.model,
        names.ACCOUNT: target.account,
    }


def _of_call(call: Call) -> Attributes:
    """What is not known is left out."""
    found: dict[str, str | int | float | bool | None] = {
        names.OUTCOME: call.outcome.value,
        names.ERROR_TYPE: call.reason,
        names.STATUS: call.status or None,
        names.SESSION: call.session_id,
        names.TASK: call.task_id,
        names.SWARM: call.swarm_id,
        names.RESERVED: call.reserved_nano_usd,
        names.COST: call.cost_nano_usd,
        names.ESTIMATED: call.estimated if call.cost_nano_usd is not None else None,
        names.FIRST_BYTE: call.first_byte_s,
        names.INPUT_MESSAGES: _messages(call.prompt),
        names.OUTPUT_MESSAGES: _messages(call.answer),
    }
    if call.tokens is not None:
        found[names.INPUT_TOKENS] = call.tokens.input
        found[names.OUTPUT_TOKENS] = call.tokens.output
        found[names.CACHE_READ_TOKENS] = call.tokens.cache_read
        found[names.CACHE_WRITE_TOKENS] = call.tokens.cache_write
    return {name: value for name, value in found.items() if value is not None}


def _messages(said: Sequence[Said]) -> str | None:
    """In the conventions' form: messages with a role and parts."""
    messages: list[dict[str, object]] = []
    for each in said:
        part = {"type": each.kind, "content": each.text}
        if each.kind == "tool_call":
            part = {"type": each.kind, "name": each.name, "arguments": each.text}
        elif each.kind == "tool_call_response":
            part = {"type": each.kind, "response": each.text}
        messages.append({"role": each.role, "parts": [part]})
    return json.dumps(messages, ensure_ascii=False) if messages else None


def _metrics(now: Snapshot, started_ns: int, at_ns: int) -> Iterator[Metric]:
    rows = [(_of_target(target), tally) for target, tally in now.tallies.items()]
    if not rows:
        return

    def histogram(name: str, unit: str, words: str, values: Sequence[tuple[Attributes, Histogram]]) -> Metric:
        points = [_point(attributes, value, started_ns, at_ns) for attributes, value in values if value.count]
        return Metric(name, words, unit, HistogramData(points, AggregationTemporality.CUMULATIVE))

    def total(name: str, unit: str, words: str, values: Sequence[tuple[Attributes, int]]) -> Metric:
        points = [NumberDataPoint(attributes, started_ns, at_ns, value) for attributes, value in values]
        return Metric(name, words, unit, Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True))

    ended = [(_ended(one, key), durations) for one, tally in rows for key, durations in tally.durations.items()]
    tokens = [row for one, tally in rows for row in _tokens(one, tally)]
    cost = [row for one, tally in rows for row in _cost(one, tally)]
    cached = [row for one, tally in rows for row in _cached(one, tally)]
    yield histogram(names.DURATION_METRIC, "s", "Of a call, from its arrival to the end of its answer.", ended)
    yield histogram(names.TOKENS_METRIC, "{token}", "Of a call; input includes cached ones.", tokens)
    yield histogram(
        names.FIRST_BYTE_METRIC,
        "s",
        "From a call's arrival to the provider's first byte.",
        [(one, tally.first_bytes) for one, tally in rows],
    )
    yield total(names.CALLS_METRIC, "{call}", "Calls by outcome.", [(one, value.count) for one, value in ended])
    yield total(names.CACHED_TOKENS_METRIC, "{token}", "Input tokens read from, written to a cache.", cached)
    yield total(names.COST_METRIC, "{nano_usd}", "What was booked, in nano-dollars.", cost)


def _point(attributes: Attributes, value: Histogram, started_ns: int, at_ns: int) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes, started_ns, at_ns, value.count, value.sum, value.counts, value.bounds, value.least, value.most
    )


def _ended(one: Attributes, key: tuple[Outcome, str | None]) -> Attributes:
    outcome, reason = key
    return {**one, names.OUTCOME: outcome.value, **({names.ERROR_TYPE: reason} if reason else {})}


def _tokens(one: Attributes, tally: Tally) -> list[tuple[Attributes, Histogram]]:
    return [
        ({**one, names.TOKEN_TYPE: "input"}, tally.input_tokens),
        ({**one, names.TOKEN_TYPE: "output"}, tally.output_tokens),
    ]


def _cached(one: Attributes, tally: Tally) -> list[tuple[Attributes, int]]:
    return [
        ({**one, names.TOKEN_TYPE: "read"}, tally.cache_read_tokens),
        ({**one, names.TOKEN_TYPE: "write"}, tally.cache_write_tokens),
    ]


def _cost(one: Attributes, tally: Tally) -> list[tuple[Attributes, int]]:
    return [
        ({**one, names.ESTIMATED: False}, tally.exact_nano_usd),
        ({**one, names.ESTIMATED: True}, tally.estimated_nano_usd),
    ]
