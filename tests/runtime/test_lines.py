"""What programs' lines mean where their word alone must not be believed."""

from __future__ import annotations

import json

import pytest

from swarmworks.runtime.reading import Calls
from swarmworks.wire.session_events import MAX_TOKENS, End, ToolCall, ToolResult, Usage
from swarmworks.wiring.runtimes import SHEETS
from tests.runtime.conformance.recorded import HANDED_IN, HANDOFF


def told(name, *rows, status=0):
    """The events of a session that wrote these lines and then ended."""
    reading = SHEETS[name].reading()
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    events = [event for line in lines for event in reading.hear(line).events]
    return events if any(isinstance(event, End) for event in events) else [*events, *reading.finish(status)]


def codex_item(kind, status, **more):
    return {"type": "item.completed", "item": {"id": "i", "type": kind, "status": status, **more}}


def pi_answer(reason, **more):
    return {"type": "message_end", "message": {"role": "assistant", "content": [], "stopReason": reason, **more}}


def qwen_says(words):
    return {"type": "assistant", "message": {"content": [{"type": "text", "text": words}]}}


FULL = "the budget of swarm s is full"
FAILED = [
    ("codex", [{"type": "error", "message": FULL}, {"type": "turn.failed", "error": {"message": FULL}}], FULL),
    ("codex", [{"type": "turn.completed", "usage": {}}], "without a handoff"),
    ("gemini", [{"type": "result", "status": "error", "error": {"message": FULL}, "stats": {}}], FULL),
    ("gemini", [{"type": "error", "message": "the stream was cut"}, {"type": "result", "status": "error"}], "was cut"),
    ("gemini", [{"type": "result", "status": "success", "stats": {}}], "without a handoff"),
    ("opencode", [{"type": "error", "error": {"name": "APIError", "data": {"message": FULL}}}], FULL),
    ("opencode", [{"type": "text", "part": {"text": "all is well"}}], "without a handoff"),
    ("qwen", [{"type": "result", "subtype": "error_during_execution", "is_error": True, "error": {"message": FULL}}], FULL),
    ("qwen", [qwen_says(f"[API Error: {FULL}]"), {"type": "result", "subtype": "success", "is_error": False}], FULL),
    ("qwen", [qwen_says("all is well"), {"type": "result", "subtype": "success"}], "without a handoff"),
    ("pi", [pi_answer("error", errorMessage=FULL), {"type": "agent_end"}], FULL),
    ("mini", [{"role": "exit", "content": FULL, "status": "BadRequestError"}], FULL),
    ("mini", [{"role": "exit", "content": "", "status": "RepeatedFormatError"}], "RepeatedFormatError"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rows", "why"), FAILED)
def test_an_end_that_is_none_is_a_failure_with_the_programs_own_words(name, rows, why):
    (end,) = [event for event in told(name, *rows) if isinstance(event, End)]
    assert (end.outcome, end.handoff) == ("failed", None)
    assert why in end.reason


def test_an_answer_that_failed_and_was_asked_for_again_is_no_failure_of_the_session():
    *_, end = told("pi", pi_answer("error", errorMessage="overloaded"), pi_answer("stop"), {"type": "agent_end"})
    assert end.outcome == "submitted"


def test_a_text_program_that_ends_with_another_status_has_failed():
    (*_, end) = told("aider", b"Traceback: something", status=2)
    assert (end.outcome, "Traceback" in end.reason) == ("failed", True)


REFUSED = {"status": "failed", "result": {"content": [{"type": "text", "text": "not handed in"}]}}


def test_a_handoff_counts_only_when_the_platform_accepted_it():
    ours = {"server": "swarm", "tool": "hand_in", "arguments": HANDOFF}
    events = told("codex", codex_item("mcp_tool_call", **ours, **REFUSED), {"type": "turn.completed"})
    assert [event.ok for event in events if isinstance(event, ToolResult)] == [False]
    assert events[-1].outcome == "failed"
    theirs = {**ours, "server": "other", "status": "completed", "result": {"content": HANDED_IN}}
    *_, end = told("codex", codex_item("mcp_tool_call", **theirs), {"type": "turn.completed"})
    assert end.outcome == "failed"


def test_tools_that_fail_are_told_as_such_and_later_kinds_of_lines_are_passed_over():
    for name, row in (
        ("codex", codex_item("command_execution", "failed", command="false", aggregated_output="no")),
        ("opencode", {"type": "tool_use", "part": {"callID": "c", "tool": "bash", "state": {"status": "error", "error": "no"}}}),
        ("gemini", {"type": "tool_result", "tool_id": "c", "status": "error", "error": {"message": "no"}}),
        ("pi", {"type": "tool_execution_end", "toolCallId": "c", "result": {"content": [{"type": "text", "text": "no"}]}, "isError": True}),
        ("mini", {"role": "tool", "call": "c", "content": "no", "status": 1}),
    ):  # fmt: skip
        (result,) = [event for event in told(name, {"type": "of.later"}, row) if isinstance(event, ToolResult)]
        assert (name, result.ok, result.summary) == (name, False, "no")


def test_figures_are_told_with_what_was_cached_in_them():
    cached = {"read": 60, "write": 5}
    rows = {
        "codex": {
            "type": "turn.completed",
            "usage": {"input_tokens": 100, "cached_input_tokens": 60, "output_tokens": 20},
        },
        "gemini": {"type": "result", "stats": {"input_tokens": 100, "cached": 60, "output_tokens": 20}},
        "opencode": {
            "type": "step_finish",
            "part": {"tokens": {"input": 35, "output": 15, "reasoning": 5, "cache": cached}},
        },
        "pi": pi_answer("stop", usage={"input": 35, "output": 20, "cacheRead": 60, "cacheWrite": 5}),
        "aider": b"Tokens: 100 sent, 60 cache hit, 20 received. Cost: $0.0001 message, $0.0001 session.",
    }
    for name, row in rows.items():
        (usage,) = [event for event in told(name, row) if isinstance(event, Usage)]
        assert (name, usage.input_tokens, usage.output_tokens) == (name, 100, 20)


def test_an_end_that_is_longer_than_any_line_is_told_by_how_the_program_ended():
    """Pi's last line repeats the whole conversation; what is longer than a line comes in pieces."""
    said = pi_answer("stop", content=[{"type": "text", "text": "I did it."}])
    pieces = [b'{"type": "agent_end", "messages": [', b"x" * 1_000_000]
    *_, end = told("pi", said, *pieces)
    assert (end.outcome, end.handoff.done) == ("submitted", "I did it.")
    *_, end = told("pi", said, pi_answer("error", errorMessage=FULL), *pieces)
    assert (end.outcome, FULL in end.reason) == ("failed", True)
    assert not [event for event in told("pi", said, *pieces, status=1) if isinstance(event, End)]


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize("arguments", [nested(100_000), {"a": 10**5_000}], ids=["too deep", "too large a number"])
def test_arguments_that_cannot_be_written_again_are_told_as_such_and_hand_nothing_in(arguments):
    calls = Calls()
    assert calls.begun("c", "hand_in", arguments).arguments == {"a": "[cannot be shown]"}
    assert calls.done("c", "not handed in", ok=True).ok
    assert calls.accepted is None


def test_names_that_are_no_text_are_told_all_the_same():
    for server in ("\ud800", None, ["x"]):
        row = codex_item("mcp_tool_call", "completed", server=server, tool=server)
        (call,) = [event for event in told("codex", row) if isinstance(event, ToolCall)]
        assert call.tool in {"?.?", "."}


def test_figures_beyond_all_sense_count_as_nothing():
    (usage,) = [
        event for event in told("aider", b"Tokens: 99999999999k sent, 20 received.") if isinstance(event, Usage)
    ]
    assert MAX_TOKENS < 99_999_999_999_000
    assert (usage.input_tokens, usage.output_tokens) == (0, 20)
