from __future__ import annotations

from swarmworks.policy.breaker import GARBAGE, SAME_CALLS
from swarmworks.wire.session_events import Message, ToolCall, ToolResult, parse_line
from swarmworks.worker.circuit import CLIPPED_FROM, Circuit


def test_a_session_that_calls_the_same_thing_for_ever_is_ended_with_a_reason_that_says_so():
    circuit = Circuit()
    said = [
        circuit.hears(ToolCall(id=f"c{n}", tool="read_file", arguments={"path": "a.py"})) for n in range(SAME_CALLS)
    ]
    assert said[:-1] == [None] * (SAME_CALLS - 1)
    assert said[-1] is not None
    assert said[-1].startswith("loop: read_file")


def test_long_arguments_that_are_reported_clipped_are_never_taken_for_the_same():
    circuit = Circuit()
    clipped = {"content": "x" * CLIPPED_FROM + " [... 900 more characters]"}
    assert not any(circuit.hears(ToolCall(id=f"c{n}", tool="write_file", arguments=clipped)) for n in range(50))


def test_words_between_the_calls_and_results_that_are_good_end_nothing():
    circuit = Circuit()
    for n in range(100):
        assert circuit.hears(Message(text="thinking")) is None
        assert circuit.hears(ToolCall(id=f"c{n}", tool="run", arguments={"command": f"test {n}"})) is None
        assert circuit.hears(ToolResult(id=f"c{n}", ok=n % 2 == 0)) is None


def test_a_program_that_only_babbles_is_ended():
    circuit = Circuit()
    assert [circuit.hears(parse_line(b"?")) for _ in range(GARBAGE)][-1] is not None
