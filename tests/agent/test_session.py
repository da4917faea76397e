"""A whole session of the real agent process against a scripted model, in both wire formats."""

from __future__ import annotations

import json

import pytest

from tests.agent.conftest import TOKEN
from tests.agent.scripted_model import Answer, Call, ScriptedModel, call, hand_in, say

WIRES = [
    pytest.param(wire, stream, id=f"{wire}-{'stream' if stream else 'whole'}")
    for wire in ("openai", "anthropic")
    for stream in (True, False)
]


def told(recorded):
    """What the model was told last: the texts of the newest message(s), whatever the wire format."""
    if recorded.path.endswith("/messages"):
        content = recorded.body["messages"][-1]["content"]
        return [block.get("text", block.get("content")) for block in content]
    texts = []
    for message in reversed(recorded.body["messages"]):
        if message["role"] == "assistant":
            break
        texts.insert(0, message["content"])
    return texts


@pytest.mark.parametrize(("wire", "stream"), WIRES)
def test_a_session_edits_tests_and_hands_in(agent, wire, stream):
    script = [
        Answer("I look first.", (Call("list_files", {}), Call("read_file", {"path": "app/x.py"}))),
        call("edit_file", path="app/x.py", old="VALUE = 1", new="VALUE = 2"),
        call("write_file", path="tests/deep/test_x.py", content="import app.x\nassert app.x.VALUE == 2\n"),
        call("run_command", command="grep -c VALUE app/x.py; echo done >&2; exit 3"),
        call("search", pattern=r"VALUE\s=", path="."),
        hand_in(changed=[{"path": "app/x.py", "what": "2 now"}], notes=["n"], risks=["r"]),
    ]
    with ScriptedModel(script) as model:
        run = agent.run(model, wire=wire, stream=stream)
        requests = model.requests
    assert (agent.workdir / "app/x.py").read_text() == "VALUE = 2\n"
    assert (agent.workdir / "tests/deep/test_x.py").read_text().endswith("VALUE == 2\n")
    assert told(requests[1]) == ["app/x.py\napp/y.py", "VALUE = 1\n"]
    assert told(requests[3]) == ["wrote tests/deep/test_x.py (2 lines)"]
    assert told(requests[4]) == ["exit code 3\n1\ndone\n"]
    assert told(requests[5]) == ["app/x.py:1: VALUE = 2\ntests/deep/test_x.py:2: assert app.x.VALUE == 2"]
    assert run.end.outcome == "submitted"
    assert run.end.handoff.to_domain().changed[0].what == "2 now"
    assert [c.tool for c in run.calls] == [
        "list_files", "read_file", "edit_file", "write_file", "run_command", "search", "hand_in",
    ]  # fmt: skip
    assert all(result.ok for result in run.results)
    assert run.messages[0].text == "I look first."
    assert (run.usage[0].input_tokens, run.usage[0].output_tokens, run.usage[0].cache_read_tokens) == (100, 20, 60)
    assert len({recorded.client for recorded in requests}) == 1, "the connection was not kept alive"


def test_openai_request_has_prompt_tools_limits_and_token(agent):
    with ScriptedModel([hand_in()]) as model:
        agent.run(model, stream=False)
        request = model.requests[0]
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.body["model"] == "m-1"
    assert request.body["max_completion_tokens"] == 1000
    assert [m["role"] for m in request.body["messages"]] == ["system", "user"]
    assert [t["function"]["name"] for t in request.body["tools"]] == [
        "list_files", "read_file", "search", "write_file", "edit_file", "run_command", "hand_in",
    ]  # fmt: skip


def test_anthropic_request_alternates_roles_and_marks_the_prefix_for_the_cache(agent):
    with ScriptedModel([say("hm"), call("list_files"), hand_in()]) as model:
        agent.run(model, wire="anthropic")
        request = model.requests[2]
    assert request.path == "/v1/messages"
    assert request.headers["x-api-key"] == TOKEN
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert [m["role"] for m in request.body["messages"]] == ["user", "assistant"] * 2 + ["user"]
    assert request.body["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}
    assert json.dumps(request.body).count("cache_control") == 2


def test_an_answer_without_a_tool_call_is_reminded(agent):
    with ScriptedModel([say("I think it is done."), hand_in("nothing_to_do")]) as model:
        run = agent.run(model)
        assert told(model.requests[1]) == ["Use a tool, or hand_in when done."]
    assert run.end.outcome == "nothing_to_do"


def test_a_read_only_session_is_not_offered_the_writing_tools(agent):
    with ScriptedModel([call("write_file", path="app/x.py", content=""), hand_in()]) as model:
        run = agent.run(model, writable_hint=False)
        assert "write_file" not in [t["function"]["name"] for t in model.requests[0].body["tools"]]
    assert "there is no tool 'write_file'" in run.results[0].summary
    assert (agent.workdir / "app/x.py").read_text() == "VALUE = 1\n"


def test_calls_after_hand_in_are_not_run(agent):
    last = Answer(calls=(*hand_in().calls, Call("write_file", {"path": "app/x.py", "content": "late"})))
    with ScriptedModel([last]) as model:
        run = agent.run(model)
    assert run.end.outcome == "submitted"
    assert (agent.workdir / "app/x.py").read_text() == "VALUE = 1\n"


def test_an_invalid_handoff_comes_back_to_be_mended(agent):
    bad = hand_in(outcome="submitted", done="x" * 2001, changed=[{"path": 3}], notes=["n"] * 21)
    with ScriptedModel([bad, hand_in()]) as model:
        run = agent.run(model)
        text = told(model.requests[1])[0]
    assert text.startswith("error: not handed in: ")
    for part in ("done has 2001 characters", "changed[0].path must be a text", "notes has 21 items"):
        assert part in text
    assert run.end.outcome == "submitted"


def test_events_are_bounded(agent):
    script = [
        Answer("w" * 50_000, (Call("write_file", {"path": "app/x.py", "content": "c" * 50_000}),)),
        call("read_file", path="app/x.py"),
        hand_in(),
    ]
    with ScriptedModel(script) as model:
        run = agent.run(model)
    assert len(run.messages[0].text) < 4_100
    assert len(run.calls[0].arguments["content"]) < 600
    assert len(run.results[1].summary) < 600


def test_lone_surrogates_from_a_model_do_no_harm(agent):
    raw = '{"path": "app/x.py", "content": "a\\ud800b"}'
    with ScriptedModel([Answer("\ud800", (Call("write_file", raw),)), hand_in(done="\udfff done")]) as model:
        run = agent.run(model)
    assert run.end.outcome == "submitted"
    assert (agent.workdir / "app/x.py").read_text() == "a?b"


def test_what_the_platform_tells_is_heard_as_its_own_words_and_keeps_nobody_from_handing_in(agent):
    words = "The platform says: another agent changes the same lines."
    with ScriptedModel([hand_in("nothing_to_do")]) as model:
        lines = [agent.request(model), {"tell": words}]
        run = agent.finish(agent.start_raw("".join(f"{json.dumps(line)}\n" for line in lines).encode()))
        heard = [m["content"] for m in model.requests[0].body["messages"] if m["role"] == "user"]
    assert words in "".join(map(str, heard))
    assert "A person says" not in str(heard)
    assert run.end.outcome == "nothing_to_do"
    assert len(model.requests) == 1
