"""Faults by seed: the same seed errs the same way, a fault in files is mended only by who is told of it, and what happens to
a request on its way looks as it does with a real provider."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pytest

from swarmworks.provider.rehearsal.faults import RUNNING, Behaviour, Fault, Level, Temper, choose, temper_of
from swarmworks.provider.rehearsal.mistakes import STRAY
from tests.provider.rehearsal.loop import AnthropicChat, OpenAIChat, Workspace, run_task
from tests.provider.rehearsal.prompts import prompt

MANY = Temper(Level.MANY, 3)
NAME = "faults-many-3"
MODULE = "app/api/hive_list.py"
TESTS = "tests/test_hive_list.py"
RESOURCE = """
resource:
  name: hive
  class: Hive
  module: app/models/hive.py
  table: hives
  fields:
  - {name: code, type: string, required: true}
"""
FACTS = "{method: GET, path: /hives, verb: list, action: list, success: 200, module: app/api/hive_list.py}"
ENDPOINT = f"about: endpoint\nendpoint: {FACTS}{RESOURCE}"
TESTING = f"about: tests\nendpoint: {FACTS}{RESOURCE}cases: [{{case: success, expect: 200}}]\n"
SUMMARY = (
    "kind: gate_failed\nsummary: the tests failed\nfindings:\n- {{gate: tests, file: {file}, line: 3, message: boom}}\n"
)


class Quick(Workspace):
    """Writes what commands write, and checks nothing."""

    def tool_run_command(self, command: str, timeout_s: int = 120) -> str:
        if command.startswith("mkdir"):
            return super().tool_run_command(command, timeout_s)
        return "exit code 0\n"


class Chat(OpenAIChat):
    model = NAME

    def turn(self):
        body = {"model": self.model, "messages": self.messages, "tools": self.tools}
        response = self.client.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, response.text
        message = response.json()["choices"][0]["message"]
        self.messages.append(message)
        calls = message.get("tool_calls") or []
        return message["content"] or "", [
            (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls
        ]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("log") / "faults.jsonl"


@pytest.fixture(scope="module")
def erring(log):
    command = [sys.executable, "-m", "swarmworks.provider.rehearsal", "--fault-log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        ready = json.loads(process.stdout.readline())
        with httpx.Client(base_url=f"http://{ready['host']}:{ready['port']}", timeout=20) as client:
            yield client
        process.terminate()


def tasks(wanted, count: int = 1) -> list[str]:
    """Ids of tasks whose first session behaves as wanted."""
    found = (f"t{number}" for number in range(100_000) if wanted(choose(MANY, f"t{number}", attempt=1, mends=False)))
    return [next(found) for _ in range(count)]


def running(fault: Fault) -> str:
    return tasks(lambda b: b.running is fault and not b.content and not b.conflict)[0]


def writing() -> list[str]:
    return tasks(lambda b: b.running is None and b.content, 12)


def asked(task: str, **more) -> str:
    return prompt(**{"task": task, "kind": "implement_endpoint", "owns": [MODULE], "specification": ENDPOINT} | more)


def play(client, text: str, root, model: str = NAME):
    chat = Chat(client, text)
    chat.model = model
    root.mkdir(exist_ok=True)
    (root / "app").mkdir(exist_ok=True)
    run_task(chat, Quick(root))
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*.py")}


def logged(log, task: str) -> list[dict]:
    return [row for line in log.read_text().splitlines() if (row := json.loads(line))["task"] == task]


def test_a_seed_fixes_who_errs_and_how():
    ids = [f"t{number}" for number in range(200)]
    first, again = ([choose(MANY, one, attempt=1, mends=False) for one in ids] for _ in range(2))
    assert first == again
    assert first != [choose(Temper(Level.MANY, 4), one, attempt=1, mends=False) for one in ids]
    assert {each.running for each in first} == {None, *RUNNING}
    assert sum(each.content for each in first) > sum(each.conflict for each in first) > 0


@pytest.mark.parametrize("seed", range(20))
def test_some_is_a_handful_over_a_demo_and_many_is_most_of_it(seed):
    def erring(level: Level) -> int:
        found = [choose(Temper(level, seed), f"task-{number}", attempt=1, mends=False) for number in range(55)]
        return sum(bool(each.content or each.conflict or each.running) for each in found)

    assert erring(Level.NONE) == 0
    assert 3 <= erring(Level.SOME) <= 30
    assert erring(Level.MANY) > 30


def test_a_session_errs_in_the_first_attempt_only_and_who_mends_makes_no_mistakes():
    for number in range(200):
        assert choose(MANY, f"t{number}", attempt=2, mends=False).running is None
        mender = choose(MANY, f"t{number}", attempt=1, mends=True)
        assert not mender.content
        assert not mender.conflict


@pytest.mark.parametrize(
    ("name", "temper"),
    [
        ("rehearsal", MANY),
        ("faults-some-12", Temper(Level.SOME, 12)),
        ("faults-none-1", None),
        ("faults-many-", None),
        ("gpt-5", None),
    ],
)
def test_the_models_name_says_how_it_errs(name, temper):
    assert temper_of(name, MANY) == temper


def test_the_same_prompt_to_the_steady_model_is_answered_without_a_fault(erring, tmp_path):
    task = writing()[0]
    right = play(erring, asked(task), tmp_path / "right", model="rehearsal")
    assert right == play(erring, asked("another"), tmp_path / "another", model="rehearsal")


def test_a_fault_in_files_stays_until_the_rejection_names_it(erring, log, tmp_path):
    """With the rejection hidden from its prompt, the next attempt is as wrong as the last."""
    right = play(erring, asked("any"), tmp_path / "right", model="rehearsal")
    kinds = set()
    for task in writing():
        wrong = play(erring, asked(task), tmp_path / task)
        rows = logged(log, task)
        if not rows:
            assert wrong == right
            continue
        kinds.add(rows[0]["fault"])
        assert wrong != right
        assert rows[0]["what"]
        hidden = asked(task).replace("Attempt: 1", "Attempt: 2")
        assert play(erring, hidden, tmp_path / f"{task}-hidden") == wrong
        elsewhere = SUMMARY.format(file="app/other.py")
        assert play(erring, asked(task, rejection=elsewhere), tmp_path / f"{task}-elsewhere") == wrong
        told = SUMMARY.format(file=rows[0]["path"])
        assert play(erring, asked(task, rejection=told), tmp_path / f"{task}-told") == right
    assert kinds == {"bug", "dropped_requirement", "scope"}


def test_a_stray_file_is_written_past_the_tools_and_not_again_once_told(erring, log, tmp_path):
    task = next(each for each in writing() if (play(erring, asked(each), tmp_path / each).keys() >= {STRAY}))
    assert {row["fault"] for row in logged(log, task)} == {"scope"}
    told = play(erring, asked(task, rejection=SUMMARY.format(file=STRAY)), tmp_path / "told")
    assert STRAY not in told


def test_two_tasks_that_err_write_the_same_line_of_the_file_they_share(erring, tmp_path):
    names = tasks(lambda b: b.conflict and b.running is None, 2)
    shared = "docs/endpoints.md"
    before = "# Endpoints\n\nLast described: nothing yet\n\n" + "".join(
        f"## {name}\n\nTo be described.\n\n" for name in names
    )
    written = []
    for name in names:
        for rejection in ("", SUMMARY.format(file=shared)):
            root = tmp_path / f"{name}-{bool(rejection)}"
            (root / "docs").mkdir(parents=True)
            (root / shared).write_text(before)
            play(erring, asked(name, owns=[MODULE, shared], title=f"Do {name}", rejection=rejection), root)
            written.append((root / shared).read_text())
    wrong, right, other, _ = written
    assert wrong.splitlines()[2] == f"Last described: Do {names[0]}"
    assert other.splitlines()[2] == f"Last described: Do {names[1]}"
    assert right == before.replace("To be described.", f"Do {names[0]}: `{MODULE}`.", 1)


def test_the_one_that_comes_second_keeps_what_landed_and_names_the_line_it_leaves_out(erring, tmp_path):
    (name,) = tasks(lambda b: b.conflict and b.running is None, 1)
    shared = "docs/endpoints.md"
    both = "<<<<<<< 1234\nLast described: theirs\n=======\nLast described: Do it\n>>>>>>> 5678\n"
    (tmp_path / "docs").mkdir()
    (tmp_path / "app").mkdir()
    (tmp_path / shared).write_text(f"# Endpoints\n\n{both}\n## {name}\n\nTo be described.\n")
    chat = Chat(erring, asked(name, owns=[MODULE, shared], title="Do it", rejection=SUMMARY.format(file=shared)))
    chat.model = NAME
    outcome = run_task(chat, Quick(tmp_path))
    written = (tmp_path / shared).read_text()
    assert written == f"# Endpoints\n\nLast described: theirs\n\n## {name}\n\nDo it: `{MODULE}`.\n"
    (dropped,) = outcome.handoff["dropped"]
    assert (dropped["path"], dropped["line"], bool(dropped["why"])) == (shared, "Last described: Do it", True)


def test_429_comes_in_the_providers_shape_with_a_time_to_wait_and_ends(erring, log):
    task = running(Fault.RATE_LIMITED)
    turn = choose(MANY, task, attempt=1, mends=False).turn
    messages = at_turn(erring, task, turn)
    body = {"model": NAME, "messages": messages, "tools": OpenAIChat(erring, "").tools}
    refused = [erring.post("/v1/chat/completions", json=body) for _ in range(3)]
    assert refused[0].status_code == 429
    assert float(refused[0].headers["retry-after"]) > 0
    assert refused[0].json()["error"]["code"] == "rate_limit_exceeded"
    assert refused[-1].status_code == 200
    assert [row["fault"] for row in logged(log, task)] == ["rate_limited"]


def test_429_in_the_other_wire_format(erring):
    task = next(
        one
        for one in tasks(lambda b: b.running is Fault.RATE_LIMITED and b.turn == 0, 3)
        if one != running(Fault.RATE_LIMITED)
    )
    chat = AnthropicChat(erring, asked(task))
    body = {"model": NAME, "messages": chat.messages, "tools": chat.tools, "max_tokens": 100}
    refused = erring.post("/v1/messages", json=body)
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "rate_limit_error"


def test_a_stream_is_cut_once_and_whole_when_asked_for_again(erring):
    task = running(Fault.CUT_STREAM)
    messages = at_turn(erring, task, choose(MANY, task, attempt=1, mends=False).turn)
    body = {"model": NAME, "messages": messages, "tools": OpenAIChat(erring, "").tools, "stream": True}
    first, second = (erring.post("/v1/chat/completions", json=body) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert "[DONE]" not in first.text
    assert '"finish_reason": "' not in first.text
    assert second.text.rstrip().endswith("[DONE]")
    assert second.text.startswith(first.text)


def test_a_stalled_request_is_never_answered_and_one_that_repeats_it_is(erring, log):
    task = running(Fault.STALL)
    messages = at_turn(erring, task, choose(MANY, task, attempt=1, mends=False).turn)
    body = {"model": NAME, "messages": messages, "tools": OpenAIChat(erring, "").tools}
    with pytest.raises(httpx.ReadTimeout):
        erring.post("/v1/chat/completions", json=body, timeout=0.3)
    assert erring.post("/v1/chat/completions", json=body).status_code == 200
    assert [row["fault"] for row in logged(log, task)] == ["stall"]


def test_an_unparseable_answer_comes_once_and_both_kinds_come(erring):
    seen = set()
    for task in tasks(lambda b: b.running is Fault.UNPARSEABLE and not b.content, 8):
        messages = at_turn(erring, task, 1)
        message = answer(erring, messages)
        calls = message.get("tool_calls")
        seen.add(bool(calls))
        if calls:
            with pytest.raises(ValueError, match=r"line 1 column"):
                json.loads(calls[0]["function"]["arguments"])
        later = [*messages, {"role": "assistant", "content": "?"}, {"role": "user", "content": "Use a tool."}]
        assert [call["function"]["name"] for call in answer(erring, later)["tool_calls"]] == ["write_file"]
    assert seen == {True, False}


def test_a_loop_repeats_one_call_and_garbage_calls_nothing(erring):
    looping, babbling = running(Fault.LOOP), running(Fault.GARBAGE)
    said = [answer(erring, at_turn(erring, looping, turn))["tool_calls"][0]["function"] for turn in (1, 2, 5)]
    assert said == [{"name": "list_files", "arguments": '{"path": "."}'}] * 3
    assert answer(erring, at_turn(erring, babbling, 2))["tool_calls"]
    for turn in (3, 4, 9):
        assert not answer(erring, at_turn(erring, babbling, turn)).get("tool_calls")


def test_a_bug_that_parked_tests_show_is_mended_and_the_tests_stay(erring, tmp_path):
    """Only with the rejection: without one there is nothing to go by."""
    root = tmp_path / "fix"
    (root / "app/api").mkdir(parents=True)
    (root / "tests").mkdir()
    (root / MODULE).write_text("wrong = True\n")
    (root / TESTS).write_text("# parked\n")
    fix = {
        "kind": "fix_bug",
        "owns": [TESTS, MODULE],
        "specification": f"{ENDPOINT}---\n{TESTING}",
    }
    blind = run_task(Chat(erring, asked("fix-tests", **fix)), Quick(root))
    assert blind.handoff is None
    assert blind.text.startswith("cannot: ")
    assert (root / MODULE).read_text() == "wrong = True\n"
    told = run_task(Chat(erring, asked("fix-tests", **fix, rejection=SUMMARY.format(file=TESTS))), Quick(root))
    assert [entry["path"] for entry in told.handoff["changed"]] == [MODULE]
    assert "def list_hives" in (root / MODULE).read_text()
    assert (root / TESTS).read_text() == "# parked\n"


def at_turn(client, task: str, turn: int) -> list[dict]:
    """The messages of a session after so many answers, asked for without the fault."""
    steady = OpenAIChat(client, asked(task))
    for _ in range(turn):
        _, calls = steady.turn()
        steady.answer([(call_id, "ok") for call_id, *_ in calls])
        if not calls:
            steady.remind()
    return steady.messages


def answer(client, messages: list[dict]) -> dict:
    body = {"model": NAME, "messages": messages, "tools": OpenAIChat(client, "").tools}
    response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]


def test_a_behaviour_picks_the_same_each_time():
    behaviour = Behaviour(MANY, "t1", content=True)
    assert len({behaviour.pick(5, "mistake") for _ in range(3)}) == 1
