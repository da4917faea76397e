"""Where a collector of OpenTelemetry data is, and whether it answers. Needs nothing of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

PROBE_S = 3.0


@dataclass(frozen=True, slots=True)
class Collector:
    """`endpoint` without the path of a signal. `sample_ratio` of the sessions, from zero to one, have their calls told as
    spans; counts are of all calls.
    """

    endpoint: str
    headers: Mapping[str, str] = field(repr=False)
    service_name: str
    sample_ratio: float

    def address(self, signal: str) -> str:
        return f"{self.endpoint.rstrip('/')}/v1/{signal}"


def lacks(collector: Collector) -> str | None:
    """Why the collector would take no spans; None when it takes them. It is sent a message with nothing in it."""
    headers = {**collector.headers, "content-type": "application/x-protobuf"}
    try:
        answer = httpx.post(collector.address("traces"), content=b"", headers=headers, timeout=PROBE_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"it cannot be reached: {type(error).__name__}"
    return None if answer.is_success else f"it answers {answer.status_code}"
