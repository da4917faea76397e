"""Everything that goes wrong in a session, each seen from outside: the events, the files, the requests."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from itertools import pairwise

import pytest

from swarmworks.agent.events import EventWriter
from swarmworks.wire.session_events import End, Garbage, parse_line
from tests.agent.conftest import TOKEN
from tests.agent.scripted_model import (
    Answer,
    Call,
    Hang,
    Raw,
    Refuse,
    ScriptedModel,
    Stall,
    call,
    hand_in,
    say,
)
from tests.agent.test_session import told

UNTOUCHED = "VALUE = 1\n"


def one_tool(agent, step, wire="openai", **changes):
    """Run one scripted answer and hand in; what the tool answered, in full."""
    with ScriptedModel([step, hand_in()]) as model:
        run = agent.run(model, wire=wire, **changes)
        assert run.end.outcome == "submitted"
        return told(model.requests[1])[0]


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("raw", ['{"path": "app/x', "not json", "[1, 2]", '"text"', "[" * 100_000])
def test_arguments_that_are_no_object_come_back_as_a_tool_error(agent, wire, stream, raw):
    text = one_tool(agent, Answer(calls=(Call("read_file", raw),)), wire, stream=stream)
    assert text.startswith("error: the arguments of read_file are not a JSON object")


def test_a_call_cut_at_the_output_limit_says_what_to_do(agent):
    text = one_tool(agent, Answer(calls=(Call("write_file", '{"path": "app/x.py", "content": "abc'),), cut=True))
    assert "cut at the output limit: write smaller pieces" in text
    assert (agent.workdir / "app/x.py").read_text() == UNTOUCHED


WRONG_CALLS = [
    (call("fly"), "there is no tool 'fly'; there are: list_files"),
    (call("read_file"), "path is missing"),
    (call("read_file", path=3), "path must be of type string"),
    (call("read_file", path="app/x.py", start_line=True), "start_line must be of type integer"),
    (call("read_file", path="app/x.py", start_line=0), "start_line must be at least 1"),
    (call("read_file", path="app/x.py", color="red"), "there is no argument 'color', there are: path"),
    (call("read_file", path="app/missing.py"), "does not exist"),
    (call("read_file", path="app"), "is a folder"),
    (call("read_file", path="."), "is a folder"),
    (call("read_file", path="app/x.py/deeper"), "cannot be opened"),
    (call("read_file", path="n" * 5000), "cannot be"),
    (call("read_file", path="a\0b"), "NUL"),
    (call("list_files", path="missing"), "does not exist"),
    (call("search", pattern="("), "is not a regular expression"),
    (call("edit_file", path="app/x.py", old="nowhere", new=""), "old occurs 0 times"),
    (call("edit_file", path="app/x.py", old="", new=""), "old must not be empty"),
    (call("write_file", path="app/y.py", content=""), "not yours to write; this task owns: app/x.py, tests/"),
    (call("edit_file", path="app/y.py", old="OTHER", new="x"), "not yours to write"),
    (call("write_file", path="tests", content=""), "not yours to write"),
    (call("write_file", path="tests/", content=""), "not yours to write"),
    (call("write_file", path="tests/../app/y.py", content=""), "not yours to write"),
    (call("write_file", path="app/x.py/y", content=""), "not yours to write"),
    (call("write_file", path="app/x.py", content="x" * 3_000_000), "larger than"),
    (call("run_command", command="true", timeout_s=-1), "timeout_s must be more than 0"),
    (call("run_command", command="x" * 100_000), "at most"),
]


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_a_wrong_call_comes_back_as_a_tool_error(agent, wire):
    calls = tuple(step.calls[0] for step, _words in WRONG_CALLS)
    with ScriptedModel([Answer(calls=calls), hand_in()]) as model:
        assert agent.run(model, wire=wire, context_limit_bytes=5_000_000).end.outcome == "submitted"
        answers = told(model.requests[1])
    assert len(answers) == len(WRONG_CALLS)
    for text, (step, words) in zip(answers, WRONG_CALLS, strict=True):
        assert text.startswith("error: "), step
        assert words in text, step
    assert (agent.workdir / "app/x.py").read_text() == UNTOUCHED
    assert (agent.workdir / "app/y.py").read_text() == "OTHER = 2\n"


@pytest.fixture
def outside(agent):
    """A secret beside the working copy, and links in it that lead there, owned ones too."""
    secret = agent.workdir.parent / "secret"
    secret.mkdir()
    (secret / "key").write_text("the secret\n")
    (agent.workdir / "tests" / "out").symlink_to(secret)
    (agent.workdir / "tests" / "key").symlink_to(secret / "key")
    (agent.workdir / "tests" / "loop").symlink_to("loop")
    (agent.workdir / "tests" / "dangling").symlink_to(secret / "new")
    (agent.workdir / "tests" / "inner").symlink_to("../app/y.py")
    (agent.workdir / ".git").mkdir()
    (agent.workdir / ".git" / "config").write_text("[core]\n")
    return secret


ESCAPES = [
    "../secret/key",
    "app/../../secret/key",
    "{secret}/key",
    "/etc/passwd",
    "tests/out/key",
    "tests/key",
    "tests/loop",
    "tests/dangling",
    "tests/out/../secret/key",
    ".git/config",
    "app/../.git/config",
    "/proc/self/environ",
]


@pytest.mark.parametrize("tool", ["read_file", "write_file", "list_files", "search"])
def test_no_path_leads_out_of_the_working_copy(agent, outside, tool):
    more = {"write_file": {"content": "owned"}, "search": {"pattern": "secret"}}.get(tool, {})
    calls = tuple(Call(tool, {"path": path.format(secret=outside), **more}) for path in ESCAPES)
    with ScriptedModel([Answer(calls=calls), hand_in()]) as model:
        agent.run(model, owned=["app/x.py", "tests/", ".git/"])
        answers = told(model.requests[1])
    for path, text in zip(ESCAPES, answers, strict=True):
        assert text.startswith("error: "), path
        assert "the secret" not in text, path
    assert [path.name for path in outside.iterdir()] == ["key"]
    assert (outside / "key").read_text() == "the secret\n"
    assert (agent.workdir / ".git" / "config").read_text() == "[core]\n"


def test_walks_do_not_follow_links(agent, outside):
    assert "key" not in [row.rpartition("/")[2] for row in one_tool(agent, call("list_files")).split() if "out/" in row]
    assert one_tool(agent, call("search", pattern="secret")) == "(no matches)"


def test_a_link_inside_is_followed_but_ownership_is_that_of_its_target(agent, outside):
    assert one_tool(agent, call("read_file", path="tests/inner")) == "OTHER = 2\n"
    assert "'app/y.py' is not yours" in one_tool(agent, call("write_file", path="tests/inner", content="x"))


def test_an_absolute_path_inside_is_understood(agent):
    assert one_tool(agent, call("read_file", path=str(agent.workdir / "app/x.py"))) == UNTOUCHED


def test_a_huge_file_is_read_in_parts(agent):
    huge = agent.workdir / "app/huge.txt"
    with huge.open("w") as file:
        file.writelines(f"line {n}\n" for n in range(1, 200_001))
        file.truncate(2 << 30)
    text = one_tool(agent, call("read_file", path="app/huge.txt"))
    assert text.startswith("line 1\nline 2\n")
    assert len(text) < 50_000
    assert "go on with start_line=" in text
    part = one_tool(agent, call("read_file", path="app/huge.txt", start_line=150_000, end_line=150_001))
    assert part == "line 150000\nline 150001\n"
    assert "too large to edit" in one_tool(
        agent, call("edit_file", path="app/huge.txt", old="a", new="b"), owned=["app/"]
    )


def test_one_endless_line_is_cut(agent):
    (agent.workdir / "app/long.txt").write_text("x" * 3_000_000)
    assert len(one_tool(agent, call("read_file", path="app/long.txt"))) < 50_000


def test_binary_files_pipes_and_other_encodings(agent):
    (agent.workdir / "app/x.py").write_bytes(b"\x00\x01secret")
    (agent.workdir / "tests/latin").write_bytes(b"caf\xe9 = 1\n")
    os.mkfifo(agent.workdir / "tests/pipe")
    assert "is a binary file (8 bytes)" in one_tool(agent, call("read_file", path="app/x.py"))
    assert one_tool(agent, call("search", pattern="secret")) == "(no matches)"
    assert "is not a regular file" in one_tool(agent, call("read_file", path="tests/pipe"))
    assert one_tool(agent, call("read_file", path="tests/latin")) == "caf\N{REPLACEMENT CHARACTER} = 1\n"
    assert "not UTF-8" in one_tool(agent, call("edit_file", path="tests/latin", old="= 1", new="= 2"))


def test_an_edit_must_be_unambiguous_and_keeps_the_rest(agent):
    (agent.workdir / "app/x.py").write_bytes(b"a = 1\r\nb = 1\r\n")
    assert "old occurs 2 times" in one_tool(agent, call("edit_file", path="app/x.py", old="= 1", new="= 2"))
    one_tool(agent, call("edit_file", path="app/x.py", old="b = 1", new="b = 2"))
    assert (agent.workdir / "app/x.py").read_bytes() == b"a = 1\r\nb = 2\r\n"


def test_listing_leaves_out_caches_and_says_when_it_is_cut(agent):
    for name in ("app/__pycache__/x.pyc", "node_modules/m/i.js", ".git/config"):
        (agent.workdir / name).parent.mkdir(parents=True, exist_ok=True)
        (agent.workdir / name).write_text("")
    assert one_tool(agent, call("list_files", path=".")) == "app/x.py\napp/y.py"
    assert one_tool(agent, call("list_files", limit=1)).startswith("app/x.py\n[cut: 1 more files")


def test_search_rows_are_bounded(agent):
    (agent.workdir / "app/many.py").write_text("hit\n" * 500)
    text = one_tool(agent, call("search", pattern="hit"))
    assert len(text.splitlines()) == 101
    assert text.endswith("[cut: only the first 100 matches are shown]")


def test_a_runaway_expression_ends_with_the_session_at_the_latest(agent):
    (agent.workdir / "app/x.py").write_text("a" * 40 + "b\n")
    with ScriptedModel([call("search", pattern="(a+)+$")]) as model:
        run = agent.run(model, deadline_s=1)
    assert run.end.reason.startswith("deadline: ")


def test_a_command_sees_no_secret_and_no_input(agent):
    text = one_tool(agent, call("run_command", command="env; cat; echo end"))
    assert TOKEN not in text
    assert "OTHER" not in text
    assert {row.partition("=")[0] for row in text.splitlines() if "=" in row} <= {
        "PATH", "HOME", "LANG", "VIRTUAL_ENV", "PWD", "SHLVL", "_", "OLDPWD",
    }  # fmt: skip
    assert text.endswith("end\n")


def test_endless_output_is_killed_and_cut(agent):
    text = one_tool(agent, call("run_command", command="yes"))
    assert text.startswith("error: killed: it wrote more than")
    assert len(text) < 30_000


def test_long_output_keeps_head_and_tail(agent):
    text = one_tool(agent, call("run_command", command="echo first; seq 100000; echo last"))
    assert text.startswith("exit code 0\nfirst\n1\n2\n")
    assert text.endswith("\n100000\nlast\n")
    assert "bytes left out]" in text
    assert len(text) < 30_000


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_out_of_time_is_killed_with_its_children(agent):
    command = "sleep 300 & echo $! > tests/pid; echo begun; sleep 300"
    text = one_tool(agent, call("run_command", command=command, timeout_s=0.5))
    assert text == "error: killed: it was still running after 0.5 s\nbegun\n"
    assert not is_running(int((agent.workdir / "tests/pid").read_text()))


def test_the_commands_time_cannot_be_raised_above_the_sessions(agent):
    text = one_tool(agent, call("run_command", command="sleep 300", timeout_s=900), command_timeout_s=0.3)
    assert "after 0.3 s" in text


def test_a_background_process_does_not_hold_the_command_open(agent):
    text = one_tool(agent, call("run_command", command="sleep 300 & echo $! > tests/pid; echo done"))
    assert text == "exit code 0\ndone\n"
    assert not is_running(int((agent.workdir / "tests/pid").read_text()))


def test_a_command_that_closes_its_output_is_waited_for(agent):
    text = one_tool(agent, call("run_command", command="exec >&- 2>&-; sleep 0.2; exit 7"))
    assert text == "exit code 7\n"


def test_a_command_killed_by_a_signal_says_so(agent):
    assert one_tool(agent, call("run_command", command="kill -9 $$")) == "exit code 137\n"


@pytest.mark.parametrize("status", [500, 401, 404, 418])
def test_an_error_that_is_not_temporary_ends_the_session_at_once(agent, status):
    with ScriptedModel([Refuse(status, "broken")]) as model:
        run = agent.run(model)
        assert len(model.requests) == 1
    assert (run.end.outcome, run.end.reason) == ("failed", f"model_error: HTTP {status}: broken")


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_a_refusal_ends_the_session_at_once(agent, wire):
    with ScriptedModel([Refuse(400, "budget reached", {"x-should-retry": "false"})]) as model:
        run = agent.run(model, wire=wire)
        assert len(model.requests) == 1
    assert (run.end.outcome, run.end.reason) == ("refused", "HTTP 400: budget reached")


@pytest.mark.parametrize("status", [429, 503, 529])
def test_a_temporary_error_is_retried_when_the_server_says(agent, status):
    with ScriptedModel([Refuse(status, "wait", {"retry-after": "0"}), hand_in()]) as model:
        assert agent.run(model).end.outcome == "submitted"


def test_retries_are_few(agent):
    with ScriptedModel(lambda _request: Refuse(429, "wait", {"retry-after": "0"})) as model:
        run = agent.run(model)
        assert len(model.requests) == 4
    assert (run.end.outcome, run.end.reason) == ("failed", "model_unavailable: HTTP 429: wait")


def test_a_wait_beyond_the_deadline_is_not_begun(agent):
    started = time.monotonic()
    with ScriptedModel([Refuse(429, "wait", {"retry-after": "30"})]) as model:
        run = agent.run(model, deadline_s=20)
    assert run.end.reason == "model_unavailable: HTTP 429: wait"
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize(
    "bad",
    [Hang(), Raw(b"<html>"), Raw(b"{}"), Raw(b"[]"), Raw(b"\xff\xfe"), Answer("half", stream_cut=True),
     Raw(b'data: {"error": {"message": "overloaded"}}\n\n', "text/event-stream"),
     Raw(b'data: {"type": "error", "error": {"message": "overloaded"}}\n\n', "text/event-stream"),
     Raw(b"data: nonsense\n\n", "text/event-stream")],
    ids=["cut connection", "html", "empty", "list", "bytes", "cut stream", "stream error", "error event", "bad event"],
)  # fmt: skip
def test_a_broken_answer_is_asked_for_again(agent, wire, bad):
    with ScriptedModel([call("list_files"), bad, hand_in()]) as model:
        run = agent.run(model, wire=wire)
        assert model.requests[1].body == model.requests[2].body
    assert run.end.outcome == "submitted"
    assert [message.text for message in run.messages] == []


def test_a_connection_closed_while_idle_is_opened_again_at_once(agent):
    script = iter([call("list_files"), Hang(), hand_in()])
    started = time.monotonic()
    with ScriptedModel(lambda _request: next(script)) as model:
        assert agent.run(model).end.outcome == "submitted"
    assert time.monotonic() - started < 2


def test_a_model_that_never_answers_ends_by_the_deadline(agent):
    started = time.monotonic()
    with ScriptedModel([Stall()]) as model:
        run = agent.run(model, deadline_s=0.7)
    assert (run.end.outcome, run.end.reason) == ("failed", "deadline: the session's 0.7 s are over")
    assert time.monotonic() - started < 5


def test_nobody_listening_ends_the_session_within_its_time(agent):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        run = agent.run(None, base_url=url, deadline_s=1)
    assert run.end.outcome == "failed"
    assert run.end.reason.startswith("model_unavailable: the connection failed: ConnectionRefusedError")


def test_the_same_call_over_and_over_is_warned_and_ended(agent):
    with ScriptedModel(lambda _request: call("read_file", path="app/x.py")) as model:
        run = agent.run(model)
        assert len(model.requests) == 6
        assert "warning" not in told(model.requests[2])[0]
        assert "same call for the 3. time" in told(model.requests[3])[0]
    assert (run.end.outcome, run.end.reason) == ("failed", "loop: the same call of read_file 6 times running")


def test_calls_that_differ_are_no_loop(agent):
    script = [call("read_file", path=path) for path in ["app/x.py", "app/y.py"] * 4]
    with ScriptedModel([*script, hand_in()]) as model:
        assert agent.run(model).end.outcome == "submitted"


def test_only_words_over_and_over_are_a_loop(agent):
    with ScriptedModel(lambda _request: say("I am thinking.")) as model:
        run = agent.run(model)
    assert run.end.reason == "loop: 6 answers running without a tool call"


def test_turns_are_bounded(agent):
    paths = iter(range(100))
    with ScriptedModel(lambda _request: call("read_file", path=f"f{next(paths)}")) as model:
        run = agent.run(model, max_turns=5)
        assert len(model.requests) == 5
    assert (run.end.outcome, run.end.reason) == ("failed", "max_turns: not handed in after 5 answers")


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_old_results_are_shortened_to_keep_the_context_bounded(agent, wire):
    numbers = iter(range(1000))

    def script(_request):
        n = next(numbers)
        if n == 30:
            return hand_in()
        return call("run_command", command=f"echo {n}; seq 1000")

    prompt = "# Task t1: " + "keep me whole. " * 300
    with ScriptedModel(script) as model:
        run = agent.run(model, wire=wire, context_limit_bytes=40_000, max_turns=40, prompt=prompt)
        requests = model.requests
    assert run.end.outcome == "submitted"
    assert all(prompt in json.dumps(recorded.body) for recorded in requests)
    assert max(len(json.dumps(recorded.body, ensure_ascii=False)) for recorded in requests) <= 40_000
    assert "shortened to save context" in json.dumps(requests[-1].body)
    assert "exit code 0\n29\n1\n2\n" in told(requests[-1])[0]
    assert told(requests[-1])[0].endswith("999\n1000\n"), "the newest result stays whole"


def test_the_conversation_is_shortened_seldom_so_that_its_beginning_stays_cached(agent):
    numbers = iter(range(30))
    with ScriptedModel(lambda _request: call("run_command", command=f"echo {next(numbers)}; seq 1000")) as model:
        agent.run(model, context_limit_bytes=60_000, max_turns=30)
        messages = [recorded.body["messages"] for recorded in model.requests]
    assert sum(after[: len(before)] != before for before, after in pairwise(messages)) < 10


def test_one_answer_that_asks_for_too_much_is_shortened_too(agent):
    calls = tuple(Call("run_command", {"command": f"echo {n}; seq 3000"}) for n in range(5))
    with ScriptedModel([Answer(calls=calls), hand_in()]) as model:
        assert agent.run(model, context_limit_bytes=30_000).end.outcome == "submitted"
        assert "shortened to save context" in told(model.requests[1])[0]


def test_a_full_context_is_handed_off_with_what_was_written(agent):
    numbers = iter(range(1000))

    def script(_request):
        n = next(numbers)
        if n == 0:
            return Answer("I write it.", (Call("write_file", {"path": "app/x.py", "content": "half = 1\n"}),))
        return call("run_command", command=f"echo {n}; seq 50")

    with ScriptedModel(script) as model:
        run = agent.run(model, context_limit_bytes=10_000, max_turns=100)
        assert len(model.requests) < 60
    assert run.end.outcome == "handed_off"
    assert run.end.reason.startswith("context: ")
    handoff = run.end.handoff
    assert handoff.outcome == "handed_off"
    assert [file.path for file in handoff.changed] == ["app/x.py"]
    assert handoff.notes == ("Last words: I write it.",)


@pytest.mark.parametrize("message", ["context_length_exceeded", "prompt is too long: 9 tokens"])
def test_a_provider_that_says_the_context_is_full_is_a_hand_off(agent, message):
    with ScriptedModel([Refuse(400, message)]) as model:
        assert agent.run(model).end.outcome == "handed_off"


@pytest.mark.parametrize(
    "during",
    [Stall(), call("run_command", command="echo $$ > tests/pid; sleep 300"), Refuse(429, "", {"retry-after": "25"})],
    ids=["model call", "command", "wait"],
)
def test_sigterm_ends_promptly_with_an_end_event(agent, during):
    with ScriptedModel([during]) as model:
        process = agent.start(model, deadline_s=60, command_timeout_s=60)
        assert model.asked.wait(10)
        pid_file = agent.workdir / "tests/pid"
        while isinstance(during, Answer) and not (pid_file.exists() and pid_file.read_text()):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        run = agent.finish(process)
        assert time.monotonic() - started < 2
    assert run.status == 0
    assert (run.end.outcome, run.end.reason.partition(":")[0]) == ("failed", "terminated")
    if pid_file.exists():
        assert not is_running(int(pid_file.read_text()))


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (b"", "not JSON"),
        (b"nonsense", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "an object was expected"),
        (b'{"format": 2}', "format: 1 was expected"),
    ],
)
def test_a_request_that_makes_no_sense_is_an_end_event(agent, stdin, words):
    run = agent.finish(agent.start_raw(stdin))
    assert run.status == 0
    assert run.end.outcome == "failed"
    assert words in run.end.reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wire": "fax"}, "wire: one of openai, anthropic"),
        ({"max_turns": 0}, "max_turns: a number from 1"),
        ({"deadline_s": "soon"}, "deadline_s: a number"),
        ({"owned": "app/"}, "owned: a list of paths"),
        ({"stream": 1}, "stream: a truth value"),
        ({"base_url": "https://api.example.com/v1"}, "not a plain http address"),
        ({"base_url": "http://127.0.0.1:none/v1"}, "not a plain http address"),
        ({"workdir": "/nowhere/at/all"}, "No such file"),
    ],
)
def test_a_request_with_a_wrong_field_names_it(agent, change, words):
    run = agent.run(None, **change)
    assert run.end.outcome == "failed"
    assert words in run.end.reason


def test_nobody_reading_is_the_one_end_without_an_end_event(agent):
    with ScriptedModel([hand_in()]) as model:
        process = agent.start(model)
        process.stdout.close()
        process.stdout = None
        run = process.communicate(timeout=20)
    assert process.returncode == 1
    assert run[1] == b""


def test_events_of_a_cut_line_do_not_swallow_the_end():

    reader, writer = os.pipe()
    events = EventWriter(writer)
    os.write(writer, b'{"type":"message","te')
    events._in_line = True
    events.end("failed", "terminated: x", None)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        kinds = [type(parse_line(line)) for line in file.read().splitlines()]
    assert kinds == [Garbage, End]
