"""What telling operators of a model call costs: the counts alone, with a collector, and with content; in microseconds of CPU
for each call, on the event loop and on the thread that sends. Beside the instruments of OpenTelemetry's SDK, fed with the
same calls in the same run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from statistics import median

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from tests.telemetry.collector import at, collecting

from swarmworks.base.ids import SessionId, SwarmId, TaskId
from swarmworks.domain.budget import Amount, Usage
from swarmworks.service.gateway.content import answer_of, prompt_of
from swarmworks.service.gateway.record import CallRecord
from swarmworks.telemetry.counting import CallCounts
from swarmworks.telemetry.otlp import OtlpExporter
from swarmworks.telemetry.shipping import BATCH_CALLS, Shipping
from swarmworks.wiring.telemetry import CONTENT_CHARS, call_of

ROUNDS = 7
EVENT = (
    'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"some words "}}]}\n\n'
)
NOW_NS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 10**9


def record(number: int) -> CallRecord:
    return CallRecord(
        session_id=SessionId(f"ses_{number % 50}"),
        task_id=TaskId(f"task-{number % 50}"),
        model="p:real-model",
        wire_format="openai.chat",
        status=200,
        reserved=Amount(1_000_000, 30_000),
        settled=Amount(105_000, 15),
        usage=Usage(10, 5),
        estimated=False,
        duration_s=1.5,
        first_byte_s=0.3,
        refusal=None,
        swarm_id=SwarmId("swm_1"),
    )


def each_us(act: Callable[[], object], calls: int) -> float:
    """The median over rounds of the CPU time of this thread for one call."""
    times: list[float] = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        act()
        times.append(time.thread_time() - began)
    return median(times) / calls * 1e6


def sdk_instruments(records: list[CallRecord]) -> Callable[[], None]:
    """The same numbers by the SDK's own histograms and counters."""
    meter = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False).get_meter("bench")
    duration, tokens = meter.create_histogram("duration"), meter.create_histogram("tokens")
    first, calls, cost = meter.create_histogram("first"), meter.create_counter("calls"), meter.create_counter("cost")

    def tell() -> None:
        for each in records:
            call = call_of(each, NOW_NS)
            labels = {"provider": call.target.vendor, "model": call.target.model, "operation": call.target.operation}
            ended = {**labels, "outcome": call.outcome.value}
            assert call.tokens is not None
            duration.record(call.duration_s, ended)
            calls.add(1, ended)
            first.record(call.first_byte_s or 0, labels)
            tokens.record(call.tokens.input, {**labels, "type": "input"})
            tokens.record(call.tokens.output, {**labels, "type": "output"})
            cost.add(call.cost_nano_usd or 0, labels)

    return tell


def run(*, smoke: bool) -> None:
    number = 200 if smoke else 5_000
    records = [record(each) for each in range(number)]
    counts = CallCounts()

    def count() -> None:
        for each in records:
            counts.add(call_of(each, NOW_NS))

    def count_and_queue() -> None:
        shipping = Shipping(exporter, counts, "bench", queue_calls=number)  # not started: its thread is measured apart
        for each in records:
            call = call_of(each, NOW_NS)
            counts.add(call)
            shipping.add(call)

    with collecting() as collector:
        exporter = OtlpExporter(at(collector.url), "bench", "0", lambda: NOW_NS)
        calls = [call_of(each, NOW_NS) for each in records]

        def send() -> None:
            for at_call in range(0, number, BATCH_CALLS):
                assert exporter.spans(calls[at_call : at_call + BATCH_CALLS])

        off, on = each_us(count, number), each_us(count_and_queue, number)
        sdk = each_us(sdk_instruments(records), number)
        with ThreadPoolExecutor(1) as thread:
            sent = thread.submit(each_us, send, number).result()
        exporter.stop()
    print(f"a call, on the event loop: counted {off:.1f} us, and queued for a collector {on:.1f} us")
    print(f"  by the SDK's instruments {sdk:.1f} us ({sdk / off:.1f}x)")
    print(f"a call, on the thread that sends: {sent:.1f} us")
    body = {"messages": [{"role": "user", "content": "some words " * 100}] * 90}
    for events in (50, 1_000):
        raw = (EVENT * events).encode()

        def read(raw: bytes = raw) -> None:
            prompt_of(body, CONTENT_CHARS, ("sk-key",))
            answer_of(raw, CONTENT_CHARS, ("sk-key",))

        times = each_us(read, 1)
        print(f"content, when it is switched on: {times:.0f} us for a prompt of 100 KB and {events} events")
    loading("opentelemetry.exporter.otlp.proto.http.metric_exporter", "swarmworks.wiring.plane")


def loading(*modules: str) -> None:
    for module in modules:
        code = f"import time; b = time.process_time(); import {module}; print(time.process_time() - b)"
        took = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        print(f"loading {module}: {json.loads(took) * 1e3:.0f} ms CPU")


if __name__ == "__main__":
    run(smoke="--smoke" in sys.argv)
