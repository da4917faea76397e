"""Who is told of model calls: the counts always, a collector where one is configured."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from swarmworks import __version__
from swarmworks.base.clock import Clock
from swarmworks.base.findings import Check, Finding
from swarmworks.policy.capability import REHEARSAL
from swarmworks.provider.content import Said as Piece
from swarmworks.service.gateway.record import CallRecord
from swarmworks.settings import Project, collector, telemetry_disabled
from swarmworks.telemetry.calls import Call, Outcome, Said, Target, Tokens, linked_by
from swarmworks.telemetry.collector import lacks
from swarmworks.telemetry.counting import CallCounts
from swarmworks.telemetry.shipping import QUEUE_CALLS, QUEUE_CONTENT_CALLS, Shipping

_log = logging.getLogger(__name__)
CONTENT_CHARS = 16_384
"""Of a prompt, and of an answer, that a collector is told where the project asks for it."""
_VENDORS = {"google": "gcp.gemini"}
_OPERATIONS = {"google": "generate_content"}


def start_telemetry(
    stack: AsyncExitStack, project: Project, counts: CallCounts, clock: Clock, instance: str
) -> Callable[[CallRecord], None]:
    """What is to be called with every call that ended, until the stack unwinds. The libraries of OpenTelemetry are loaded
    here, when there is a collector: without one they cost nothing.
    """
    to = collector(project.config)
    if to is not None and telemetry_disabled():
        _log.warning("OTEL_SDK_DISABLED is set: the collector at %s is told nothing", to.endpoint)
        to = None
    if to is None:
        return lambda record: counts.add(call_of(record, now_ns(clock)))
    otlp: Any = importlib.import_module("swarmworks.telemetry.otlp")
    exporter = otlp.OtlpExporter(to, instance, __version__, lambda: now_ns(clock))
    queue = QUEUE_CONTENT_CALLS if project.config.telemetry.content else QUEUE_CALLS
    shipping = Shipping(exporter, counts, to.endpoint, queue_calls=queue)
    shipping.start()
    stack.push_async_callback(shipping.close)

    def tell(record: CallRecord) -> None:
        call = call_of(record, now_ns(clock))
        counts.add(call)
        shipping.add(call)

    return tell


def content_chars(project: Project) -> int:
    return CONTENT_CHARS if project.config.telemetry.content else 0


def check(project: Project) -> list[Check]:
    """Whether the collector answers; nothing where none is configured."""
    to = collector(project.config)
    if to is None:
        return []
    if telemetry_disabled():
        return [Check("telemetry", Finding.NOTE, f"OTEL_SDK_DISABLED is set: {to.endpoint} is told nothing")]
    lack = lacks(to)
    if lack is None:
        return [Check("telemetry", Finding.OK, f"the collector at {to.endpoint} answers")]
    mend = "start the collector, or correct [telemetry] in swarm.toml; calls go on without it"
    return [Check("telemetry", Finding.LACKING, f"the collector at {to.endpoint}: {lack}", mend)]


def now_ns(clock: Clock) -> int:
    return int(clock.now().timestamp() * 1_000_000) * 1_000


def call_of(record: CallRecord, ended_ns: int) -> Call:
    """The gateway's record in the words of operators. What the ledger could not settle yet counts in full."""
    account, _, model = record.model.partition(":")
    spoken = record.wire_format.partition(".")[0]
    vendor = REHEARSAL if account == REHEARSAL else _VENDORS.get(spoken, spoken)
    target = Target(account, vendor, model, _OPERATIONS.get(spoken, "chat"))
    booked = record.settled or record.reserved
    usage = record.usage
    content = record.content
    return Call(
        target=target,
        outcome=_outcome(record),
        reason=record.refusal,
        status=record.status,
        session_id=record.session_id,
        task_id=record.task_id,
        swarm_id=record.swarm_id,
        ended_ns=ended_ns,
        duration_s=record.duration_s,
        first_byte_s=record.first_byte_s,
        reserved_nano_usd=record.reserved.nano_usd if record.reserved else None,
        cost_nano_usd=booked.nano_usd if booked else None,
        estimated=record.estimated,
        tokens=Tokens(usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
        if usage
        else None,
        linked=linked_by(record.traceparent),
        prompt=_said(content.prompt) if content else (),
        answer=_said(content.answer) if content else (),
    )


def _outcome(record: CallRecord) -> Outcome:
    if record.reserved is None:
        return Outcome.REFUSED
    if record.refusal is not None:
        return Outcome.FAILED
    return Outcome.ANSWERED if record.status else Outcome.LEFT


def _said(pieces: Sequence[Piece]) -> tuple[Said, ...]:
    return tuple(Said(each.role, each.kind, each.text, each.name) for each in pieces)
