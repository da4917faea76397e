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
from swarmworks.policy.tiers import WIRES
from swarmworks.runtime.builtin import BuiltIn
from swarmworks.runtime.claude import CLAUDE
from swarmworks.runtime.command import Command
from swarmworks.runtime.fake import Fake
from swarmworks.runtime.housing import Native, NodePackage
from swarmworks.runtime.protocol import SPARE_S, Facts, Shown
from swarmworks.runtime.sheet import SheetRuntime
from swarmworks.wire.handoff import HandoffDocument
from swarmworks.wire.session_events import End, Garbage, Message, ToolCall, ToolResult, dump_line
from swarmworks.wiring.runtimes import SHEETS
from tests.agent.scripted_model import ScriptedModel, call, hand_in
from tests.runtime.agents import program
from tests.runtime.conformance.recorded import BY_ITSELF, HANDOFF, RECORDED

TOKEN = "swk_conformance_token"
PROMPT = "# Task t0: --help\nDo it; say nothing of it."
END = End(outcome="submitted", reason="handed in", handoff=HandoffDocument.model_validate(HANDOFF))
NORMAL = [
    Message(text="I look."),
    ToolCall(id="c1", tool="read_file", arguments={"path": "a"}),
    ToolResult(id="c1", ok=True, summary="a"),
    END,
]


def installed(name: str, folder: Path) -> SheetRuntime:
    """As if the program were there: the file, package or environment that its sheet is about."""
    sheet = SHEETS[name]
    if isinstance(sheet.housing, Native):
        program = folder / name
        program.write_bytes(b"\x7fELF and more")
    elif isinstance(sheet.housing, NodePackage):
        program = folder / "node_modules/.bin" / name
        script = folder / "node_modules/@vendor/package/main.js"
        script.parent.mkdir(parents=True)
        program.parent.mkdir()
        script.write_text("#!/usr/bin/env node\n")
        program.symlink_to("../@vendor/package/main.js")
        (program.parent / "node").write_bytes(b"\x7fELF")
    else:
        python = folder / "bin/python3"
        program = python.with_name(name)
        python.parent.mkdir()
        python.touch()
        program.write_text(f"#!{python}\n")
    return SheetRuntime(sheet, program, lambda python: (Shown(python.parents[1], str(python.parents[1])),))


@dataclass(frozen=True)
class Case:
    """A runtime, and what its program writes in a session that reads a file and hands in."""

    runtime: object
    lines: list[bytes]


@pytest.fixture(params=["builtin", "fake", "command", *SHEETS])
def case(request, tmp_path):
    normal = [dump_line(event).rstrip() for event in NORMAL]
    package = Path(swarmworks.__file__).parent
    if request.param == "builtin":
        return Case(BuiltIn(package, Path(sys.executable), tuple), normal)
    if request.param == "fake":
        return Case(Fake(NORMAL), normal)
    if request.param == "command":
        return Case(Command("my-agent --headless"), normal)
    return Case(installed(request.param, tmp_path), RECORDED[request.param]())


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
    assert "Do it; say nothing" in json.dumps([launch.first_input.decode(), dict(launch.files)])
    assert launch.first_input.endswith(b"\n")
    assert launch.first_input.count(b"\n") == 1 or not launch.input_stays_open
    for name in launch.files:
        path = PurePosixPath(name)
        assert not path.is_absolute()
        assert ".." not in path.parts
    assert case.runtime.own_home or not launch.files
    for shown in launch.shown:
        assert PurePosixPath(shown.target).is_absolute()
    assert case.runtime.name not in SHEETS or any(
        PurePosixPath(launch.argv[0]).is_relative_to(shown.target) for shown in launch.shown
    )


def test_it_may_be_silent_for_as_long_as_a_command_takes_that_it_is_allowed(case):
    if case.runtime.name == "fake":
        pytest.skip("it runs no command")
    slow, patient = SessionLimits(idle_s=120.0), SessionLimits(idle_s=800.0)
    launch = case.runtime.launch(facts(limits=slow, command_timeout_s=600.0))
    assert (launch.working_s or launch.silence_s) >= 600.0 + SPARE_S
    launch = case.runtime.launch(facts(limits=patient))
    assert (launch.working_s or launch.silence_s) >= 800.0


def test_the_built_in_agent_may_be_silent_for_longer_only_while_a_tool_of_its_runs():
    assert BuiltIn(Path("/package"), Path(sys.executable), tuple).launch(facts()).silence_s is None


@pytest.mark.parametrize("writable", [True, False])
def test_the_built_in_agent_has_the_calls_of_its_session_and_writes_where_its_role_may(writable):
    limits = SessionLimits(calls=250)
    launch = BuiltIn(Path("/package"), Path(sys.executable), tuple).launch(facts(limits=limits, writable=writable))
    document = json.loads(launch.first_input)
    assert (document["max_turns"], document["writable_hint"]) == (250, writable)


def test_its_token_and_the_gateway_reach_it(case):
    launch = case.runtime.launch(facts())
    given_to_it = json.dumps([dict(launch.environment), dict(launch.files)])
    assert TOKEN in given_to_it
    assert TOKEN not in repr(facts())


@pytest.mark.parametrize("name", ["pi", "aider", "mini"])
def test_one_without_the_platforms_tools_finds_what_their_command_needs(name, tmp_path):
    """`swarm-agent` takes the session's token from there."""
    assert installed(name, tmp_path).launch(facts()).environment["SWARM_TOKEN"] == TOKEN


def test_only_one_that_repeats_itself_may_print_more_than_others(tmp_path):
    more = {}
    for name in SHEETS:
        (tmp_path / name).mkdir()
        more[name] = installed(name, tmp_path / name).launch(facts()).output_bytes
    assert {name: limit for name, limit in more.items() if limit is not None} == {"pi": 1 << 30}


def test_it_speaks_a_wire_the_gateway_serves(case):
    assert case.runtime.wires
    assert case.runtime.wires <= {wire for wires in WIRES.values() for wire in wires}


def test_a_session_is_told_in_the_normal_form_and_ends_once_with_its_handoff(case):
    reading, name = case.runtime.reading(), case.runtime.name
    events = [event for line in case.lines for event in reading.hear(line).events]
    if not any(isinstance(event, End) for event in events):
        events += reading.finish(0)
    last = BY_ITSELF.get(name, ["tool_call", "tool_result"] if name in RECORDED else [])
    assert [event.type for event in events if event.type != "usage"] == [
        *("message", "tool_call", "tool_result"),
        *last,
        "end",
    ]
    assert events[0] == NORMAL[0]
    _message, called, answered = [event for event in events if event.type != "usage"][:3]
    assert called.id == answered.id
    assert answered.ok
    if name in BY_ITSELF:
        assert (events[-1].outcome, events[-1].reason) == ("submitted", "ended by itself")
        assert "did it" in events[-1].handoff.done
    else:
        assert events[-1] == END


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_program_that_ends_in_the_middle_has_handed_in_nothing(name):
    reading = SHEETS[name].reading()
    for line in RECORDED[name]()[:1]:
        reading.hear(line)
    assert all(isinstance(event, End) and event.handoff is None for event in reading.finish(1))


def test_what_it_cannot_read_is_garbage_and_no_error(case):
    reading = case.runtime.reading()
    for line in (b"<html>", b"\xff\xfe", b"[" * 50_000, b'{"type": 3}'[:-1]):
        (event,) = reading.hear(line).events
        assert isinstance(event, Message if case.runtime.name in {"command", "aider"} else Garbage)


def words_of(value, found):
    if isinstance(value, dict):
        for key, inner in value.items():
            found[0].add(key)
            words_of(inner, found)
    elif isinstance(value, list):
        for inner in value:
            words_of(inner, found)
    elif isinstance(value, str):
        found[1].add(value)
    return found


KEYS, VALUES = (sorted(found) for found in words_of(
    [json.loads(line) for recorded in RECORDED.values() for line in recorded() if line.startswith(b"{")], (set(), set())
))  # fmt: skip


@given(st.one_of(st.binary(max_size=200), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(KEYS) | st.text(max_size=5), inner | st.sampled_from(VALUES),
        max_size=5),
    max_leaves=12).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_no_line_whatever_stops_the_reader(line):
    for runtime in (Fake(NORMAL), Command(None), *(SheetRuntime(sheet, None) for sheet in SHEETS.values())):
        reading = runtime.reading()
        for event in (*reading.hear(line).events, *reading.finish(0)):
            assert dump_line(event)


def test_words_of_a_person_are_one_line_for_a_program_that_can_be_spoken_to(case):
    said = case.runtime.says("make it\nblue")
    if said is None:
        assert not case.runtime.launch(facts()).input_stays_open
        return
    assert said.endswith(b"\n")
    assert said.count(b"\n") == 1
    assert b"blue" in said


def test_words_of_the_platform_are_one_line_for_those_that_hear_a_person(case):
    told = case.runtime.tells("The platform says: mind\nthis")
    if case.runtime.says("anything") is None:
        assert told is None
        return
    assert told.endswith(b"\n")
    assert told.count(b"\n") == 1
    assert b"The platform says" in told
    assert b"A person says" not in told


def test_it_is_asked_to_hand_over_in_one_line(case):
    asked = case.runtime.asks_to_hand_over("hand over\nnow")
    if asked is None:
        assert case.runtime.says("anything") is None
        return
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
    runtime = SheetRuntime(CLAUDE, program("claude"))
    found = runtime.probe()
    assert (found.version, found.lost, found.lacking) == (found.tested, (), "")
    (end,) = [event for event in _played(runtime, tmp_path, gateway_url="http://127.0.0.1:9") if isinstance(event, End)]
    assert (end.outcome, end.reason) == (
        "failed",
        "the session could not be run: Claude Code did not reach the platform's tools",
    )
