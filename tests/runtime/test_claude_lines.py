"""What Claude Code's lines mean where its word alone must not be believed."""

from __future__ import annotations

import json

from swarmworks.runtime.claude import HAND_IN, StreamJson
from swarmworks.wire.session_events import End, ToolCall

HANDOFF = {"outcome": "submitted", "done": "did it"}


class Talk:
    def __init__(self) -> None:
        self.reading = StreamJson()
        self.replies: list[bytes] = []

    def hear(self, **row):
        heard = self.reading.hear(json.dumps(row).encode())
        if heard.reply:
            self.replies.append(heard.reply)
        return list(heard.events)

    def calls(self, *uses):
        blocks = [{"type": "tool_use", "id": number, "name": name, "input": value} for number, name, value in uses]
        return self.hear(type="assistant", message={"content": blocks})

    def answer(self, number, *, wrong=False):
        block = {"type": "tool_result", "tool_use_id": number, "content": "x", "is_error": wrong}
        return self.hear(type="user", message={"content": [block]})

    def result(self, **more):
        row = {"type": "result", "subtype": "success", "is_error": False, "result": "done", "usage": {}}
        return [event for event in self.hear(**{**row, **more}) if isinstance(event, End)]


def test_lines_that_nobody_would_write_stop_nothing():
    talk = Talk()
    (call,) = talk.calls(("c1", "Bash", {"\ud800": 1}))
    assert isinstance(call, ToolCall)
    assert call.arguments == {"?": "1"}
    assert talk.hear(type="system", subtype="init", mcp_servers=[{"status": ["connected"]}])[0].reason
    most = (1 << 39) - 1
    usage = dict.fromkeys(("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"), most)
    assert talk.hear(type="result", subtype="success", usage=usage)


def test_to_stop_speaking_is_no_handoff_it_is_reminded_once_and_then_has_failed():
    talk = Talk()
    assert talk.result() == []
    (reply,) = talk.replies
    assert HAND_IN in json.loads(reply)["message"]["content"][0]["text"]
    (end,) = talk.result()
    assert (end.outcome, "without a handoff" in end.reason) == ("failed", True)
    assert len(talk.replies) == 1


def test_a_handoff_counts_only_when_the_platform_accepted_it():
    talk = Talk()
    talk.calls(("c1", HAND_IN, HANDOFF))
    (result,) = talk.answer("c1", wrong=True)
    assert not result.ok
    talk.calls(("c2", HAND_IN, HANDOFF))
    *_, end = talk.answer("c2")
    assert (end.outcome, end.handoff.done) == ("submitted", "did it")


def test_what_it_still_does_beside_its_handoff_is_waited_for():
    talk = Talk()
    calls = talk.calls(("c1", HAND_IN, HANDOFF), ("c2", "Write", {"file_path": "a", "content": "a" * 9000}))
    assert [call.tool for call in calls] == ["hand_in", "Write"]
    assert isinstance(calls[1], ToolCall)
    assert len(calls[1].arguments["content"]) < 600
    assert not any(isinstance(event, End) for event in talk.answer("c1"))
    assert isinstance(talk.answer("c2")[-1], End)


def test_success_that_is_an_error_is_a_failure_and_a_refusal_for_good_says_so():
    (end,) = Talk().result(is_error=True, result="it broke")
    assert end.outcome == "failed"
    (end,) = Talk().result(is_error=True, api_error_status=400, result="API Error: 400 the budget of swarm s is full")
    assert (end.outcome, "the budget of swarm s is full" in end.reason) == ("refused", True)
    (end,) = Talk().result(is_error=True, api_error_status=529, result="overloaded")
    assert end.reason.startswith("model_unavailable:")
    (end,) = Talk().result(subtype="error_max_turns", is_error=True, result="")
    assert end.reason.startswith("max_turns:")


def test_without_the_platform_s_tools_nothing_could_be_handed_in():
    (end,) = Talk().hear(type="system", subtype="init", mcp_servers=[{"name": "swarm", "status": "failed"}])
    assert end.outcome == "failed"
    assert Talk().hear(type="system", subtype="init", mcp_servers=[{"name": "swarm", "status": "pending"}]) == []


def test_its_figures_are_told_and_lines_of_a_later_release_are_passed_over():
    talk = Talk()
    usage = {"input_tokens": 5, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 1, "output_tokens": 3}
    (told,) = talk.hear(type="result", subtype="success", is_error=False, usage=usage)
    assert (told.input_tokens, told.output_tokens, told.cache_read_tokens) == (13, 3, 7)
    assert talk.hear(type="rate_limit_event", what="ever") == []
    assert talk.hear(type="system", subtype="new") == []
