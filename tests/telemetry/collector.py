"""A collector on loopback that keeps every byte it gets and decodes it, and can hang or refuse."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from swarmworks.telemetry.calls import Call, Outcome, Target, Tokens
from swarmworks.telemetry.collector import Collector

TARGET = Target("local", "openai", "real-model", "chat")


def call(number: int = 0, **changes) -> Call:
    given = {
        "target": TARGET,
        "outcome": Outcome.ANSWERED,
        "reason": None,
        "status": 200,
        "session_id": f"ses_{number}",
        "task_id": f"task-{number}",
        "swarm_id": "swm_1",
        "ended_ns": 1_800_000_000_000_000_000,
        "duration_s": 1.5,
        "first_byte_s": 0.3,
        "reserved_nano_usd": 900_000,
        "cost_nano_usd": 105_001,
        "estimated": False,
        "tokens": Tokens(10, 5, 4, 2),
    }
    return Call(**(given | changes))


def at(url: str, **changes) -> Collector:
    return Collector(**({"endpoint": url, "headers": {}, "service_name": "swarmworks", "sample_ratio": 1.0} | changes))


class FakeCollector:
    """`status` is what it answers; with `hangs` it answers nothing until `release`."""

    def __init__(self) -> None:
        self.status = 200
        self.hangs = False
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        self._released = threading.Event()
        self._came = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector._take(self)

            def log_message(self, *_) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # who is no longer waited for has hung up
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["content-length"]))
        with self._came:
            self.received.append((request.path, {k.lower(): v for k, v in request.headers.items()}, body))
            self._came.notify_all()
        if self.hangs:
            self._released.wait()
        request.send_response(self.status)
        request.send_header("content-length", "0")
        request.end_headers()

    def reached(self, enough, timeout_s: float = 20) -> bool:
        with self._came:
            return self._came.wait_for(lambda: enough(self), timeout_s)

    def release(self) -> None:
        self.hangs = False
        self._released.set()

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def bytes(self) -> bytes:
        """Everything it was sent, headers too."""
        return b"".join(f"{path} {headers}".encode() + body for path, headers, body in self.received)

    @property
    def spans(self) -> list:
        found = []
        for path, _headers, body in self.received:
            if path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    found += [span for scope in resource.scope_spans for span in scope.spans]
        return found

    @property
    def resources(self) -> list[dict]:
        return [
            attributes(resource.resource)
            for path, _headers, body in self.received
            if path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        ]

    @property
    def metrics(self) -> dict:
        """The latest of each name."""
        found = {}
        for path, _headers, body in self.received:
            if path == "/v1/metrics":
                for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    found |= {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
        return found


def attributes(holder) -> dict:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in holder.attributes}


def points(metric) -> list:
    return list(getattr(metric, metric.WhichOneof("data")).data_points)


@contextmanager
def collecting():
    collector = FakeCollector()
    try:
        yield collector
    finally:
        collector.close()


@contextmanager
def nobody():
    """An address at which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
