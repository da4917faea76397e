from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.wire.handoff import HandoffDocument
from swarmworks.wire.session_events import (
    MAX_LINE_BYTES,
    End,
    Garbage,
    Message,
    ToolCall,
    ToolResult,
    Usage,
    dump_line,
    parse_line,
)


@pytest.mark.parametrize(
    "event",
    [
        Message(text="hi"),
        ToolCall(id="1", tool="read_file", arguments={"path": "a", "all": True, "none": None}),
        ToolResult(id="1", ok=False, summary="error: x", duration_s=0.5),
        Usage(input_tokens=1, output_tokens=2, cache_read_tokens=3, cache_write_tokens=4),
        End(outcome="refused", reason="refused"),
        End(outcome="submitted", handoff=HandoffDocument(outcome="submitted", done="x")),
    ],
)
def test_events_survive_their_line(event):
    assert parse_line(dump_line(event)) == event


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Traceback (most recent call last):",
        b"[]",
        b"{}",
        b'{"type": "promote"}',
        b'{"type": "end", "outcome": "landed"}',
        b'{"type": "end", "outcome": "submitted", "handoff": {"outcome": "submitted"}}',
        b'{"type": "message", "text": "%s"}' % (b"x" * 5000),
        b'{"type": "usage", "input_tokens": -1}',
        b'{"type": "tool_result", "id": "1", "ok": true, "duration_s": NaN}',
        b'{"type": "message", "text": "\xff"}',
        b"[" * 100_000,
        b" " * (MAX_LINE_BYTES + 1),
    ],
)
def test_a_line_that_is_no_event_is_garbage_with_a_reason(line):
    event = parse_line(line)
    assert isinstance(event, Garbage)
    assert event.reason
    assert event.size_bytes == len(line)
    assert len(event.begins) <= 200


@given(st.binary(max_size=300))
def test_reading_never_raises(line):
    parse_line(line)


def test_fields_of_later_versions_are_ignored():
    assert parse_line(b'{"type": "message", "text": "hi", "mood": "good"}') == Message(text="hi")
