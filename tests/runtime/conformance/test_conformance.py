"""What the worker counts on, of every runtime: one suite for all of them, the fake included."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

import swarmworks
from swarmworks.domain.session import SessionLimits
from swarmworks.runtime.builtin import BuiltIn
from swarmworks.runtime.claude import CLAUDE, HAND_IN
from swarmworks.runtime.fake import Fake
from swarmworks.runtime.protocol import Facts
from swarmworks.runtime.sheet import SheetRuntime
from swarmworks.wire.handoff import HandoffDocument
from swarmworks.wire.session_events import End, Garbage, Message, ToolCall, ToolResult, dump_line
from tests.agent.scripted_model import ScriptedModel, call, hand_in
from tests.runtime.claude_code import claude

TOKEN = "swk_conformance_token"
PROMPT = "# Task t0: --help\nDo it; say nothing of it."
HANDOFF = {"outcome": "submitted", "done": "did it", "changed": [], "notes": [], "risks": []}
END = End(outcome="submitted", reason="handed in", handoff=HandoffDocument.model_validate(HANDOFF))
NORMAL = [
    Message(text="I look."),
    ToolCall(id="c1", tool="read_file", arguments={"path": "a"}),
    ToolResult(id="c1", ok=True, summary="a"),
    END,
]


def _native(folder: Path) -> Path:
    program = folder / "claude"
    program.write_bytes(b"\x7fELF and more")
    return program


def _claude_lines() -> list[bytes]:
    """As Claude Code 2.1.197 writes them, cut to what matters."""
    servers = [{"name": "swarm", "status": "connected"}]
    rows = [
        {"type": "system", "subtype": "init", "tools": ["Bash"], "mcp_servers": servers, "model": "m"},
        {"type": "assistant", "message": {"content": [{"type": "text", "text": "I look."}], "usage": {}}},
        _claude_call("c1", "Read", {"file_path": "a"}),
        _claude_result("c1", "a"),
        _claude_call("c2", HAND_IN, HANDOFF),
        _claude_result("c2", [{"type": "text", "text": "Handed in. The session ends now."}]),
    ]
    return [json.dumps(row).encode() for row in rows]


def _claude_call(number, name, arguments):
    use = {"type": "tool_use", "id": number, "name": name, "input": arguments}
    return {"type": "assistant", "message": {"content": [use], "usage": {"output_tokens": 1}}}


def _claude_result(number, content, *, wrong=False):
    result = {"type": "tool_result", "tool_use_id": number, "content": content, "is_error": wrong}
    return {"type": "user", "message": {"role": "user", "content": [result]}}


@dataclass(frozen=True)
class Case:
    """A runtime, and what its program writes in a session that reads a file and hands in."""

    runtime: object
    lines: list[bytes]


@pytest.fixture(params=["builtin", "fake", "claude"])
def case(request, tmp_path):
    normal = [dump_line(event).rstrip() for event in NORMAL]
    package = Path(swarmworks.__file__).parent
    return {
        "builtin": lambda: Case(BuiltIn(package, Path(sys.executable), tuple), normal),
        "fake": lambda: Case(Fake(NORMAL), normal),
        "claude": lambda: Case(SheetRuntime(CLAUDE, _native(tmp_path)), _claude_lines()),
    }[request.param]()


def facts(**changes) -> Facts:
    values = {
        "system": "You are an agent.",
        "prompt": PROMPT,
        "model": "m-1",
        "wire": "anthropic",
        "token": TOKEN,
        "gateway_url": "http://127.0.0.1:8181",
        "workdir": "/work/copy",
        "home": "/work/home",
        "owned": ("a.txt",),
        "limits": SessionLimits(),
        "command_timeout_s": 60.0,
        "search_path": "/usr/bin:/bin",
    }
    return Facts(**{**values, **changes})


def test_it_is_started_by_a_path_inside_with_neither_token_nor_prompt_in_its_words(case):
    launch = case.runtime.launch(facts())
    assert PurePosixPath(launch.argv[0]).is_absolute()
    words = " ".join(launch.argv)
    assert TOKEN not in words
    assert "say nothing of it" not in words
    assert "Do it; say nothing" in json.dumps(launch.first_input.decode())
    assert launch.first_input.endswith(b"\n")
    assert launch.first_input.count(b"\n") == 1
    for name in launch.files:
        path = PurePosixPath(name)
        assert not path.is_absolute()
        assert ".." not in path.parts
    assert case.runtime.own_home or not launch.files
    for shown in launch.shown:
        assert PurePosixPath(shown.target).is_absolute()


def test_its_token_and_the_gateway_reach_it(case):
    launch = case.runtime.launch(facts())
    given_to_it = json.dumps([dict(launch.environment), dict(launch.files)])
    assert TOKEN in given_to_it
    assert TOKEN not in repr(facts())


def test_it_speaks_a_wire_the_gateway_serves(case):
    assert case.runtime.wires
    assert case.runtime.wires <= {"openai", "anthropic"}


def test_a_session_is_told_in_the_normal_form_and_ends_once_with_its_handoff(case):
    reading = case.runtime.reading()
    events = [event for line in case.lines for event in reading.hear(line).events]
    assert [event.type for event in events if event.type != "usage"] == [
        *("message", "tool_call", "tool_result"),
        *(("tool_call", "tool_result") if case.runtime.name == "claude" else ()),
        "end",
    ]
    assert events[0] == NORMAL[0]
    assert (events[1].id, events[2].id, events[2].summary) == ("c1", "c1", "a")
    assert events[-1] == END


def test_what_it_cannot_read_is_garbage_and_no_error(case):
    reading = case.runtime.reading()
    for line in (b"<html>", b"\xff\xfe", b"[" * 50_000, b'{"type": 3}'[:-1]):
        (event,) = reading.hear(line).events
        assert isinstance(event, Garbage)


@given(st.one_of(st.binary(max_size=200), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["type", "message", "content", "usage", "id", "name", "input", "mcp_servers", "subtype", "text"])
        | st.text(max_size=5), inner | st.sampled_from(["system", "assistant", "user", "result", "init", "tool_use"]),
        max_size=5),
    max_leaves=12).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_no_line_whatever_stops_the_reader(line):
    for runtime in (Fake(NORMAL), SheetRuntime(CLAUDE, None)):
        for event in runtime.reading().hear(line).events:
            assert event.type


def test_words_of_a_person_are_one_line(case):
    said = case.runtime.says("make it\nblue")
    assert said.endswith(b"\n")
    assert said.count(b"\n") == 1
    assert b"blue" in said


def test_it_is_asked_to_hand_over_in_one_line(case):
    asked = case.runtime.asks_to_hand_over("hand over\nnow")
    assert asked.endswith(b"\n")
    assert asked.count(b"\n") == 1
    assert b"now" in asked


def _played(runtime, home: Path, **changes):
    """The program itself, without a sandbox: what its lines become until the end."""
    launch = runtime.launch(facts(home=str(home), **changes))
    for name, content in launch.files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    outside = [str(shown.source) for shown in launch.shown if shown.target == launch.argv[0]]
    argv = [*(outside or launch.argv[:1]), *launch.argv[1:]]
    for shown in launch.shown:
        argv = [word.replace(shown.target, str(shown.source)) for word in argv]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), **launch.environment}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=home) as process:
        process.stdin.write(launch.first_input)
        process.stdin.flush()
        reading = runtime.reading()
        for line in process.stdout:
            heard = reading.hear(line.rstrip(b"\n"))
            yield from heard.events
            if any(isinstance(event, End) for event in heard.events):
                process.kill()
                return


def test_the_programs_themselves_reach_their_end(tmp_path):
    assert list(_played(Fake(NORMAL), tmp_path))[-1] == END
    builtin = BuiltIn(Path(swarmworks.__file__).parent, Path(sys.executable), tuple)
    with ScriptedModel([call("list_files"), hand_in("nothing_to_do", done="nothing")]) as model:
        url = model.base_url.removesuffix("/v1")
        events = list(_played(builtin, tmp_path, gateway_url=url, workdir=str(tmp_path)))
    assert (events[-1].outcome, events[-1].handoff.done) == ("nothing_to_do", "nothing")


@pytest.mark.slow
def test_the_real_claude_code_says_its_version_and_that_it_does_not_reach_the_platform(tmp_path):
    runtime = SheetRuntime(CLAUDE, claude())
    assert "Claude Code" in runtime.probe().version
    (end,) = [event for event in _played(runtime, tmp_path, gateway_url="http://127.0.0.1:9") if isinstance(event, End)]
    assert (end.outcome, end.reason) == (
        "failed",
        "the session could not be run: Claude Code did not reach the platform's tools",
    )
