"""A test that finds a real fault, through the real worker, sandbox and gates: parked, mended, and both landed in one commit."""

from __future__ import annotations

import re

import pytest

from tests.scenario.driver import CountedModel, Site, ended, job, trailer
from tests.scenario.harness import git, plan
from tests.scenario.writing_model import _call, _text

pytestmark = [pytest.mark.sandbox]

CODE, TEST = "app/price.py", "tests/test_price.py"
WRONG, RIGHT = "def price(n):\n    return n\n", "def price(n):\n    return 2 * n\n"
TESTED = "from app.price import price\n\n\ndef test_price():\n    assert price(2) == 4\n"
WEAKER = TESTED.replace("    assert price(2)", "    return\n    assert price(2)")

RUNNER = """
import os, pathlib, sys, traceback
from xml.sax.saxutils import escape, quoteattr

sys.path.insert(0, ".")
rows, failed = ['<testcase classname="runner" name="it_runs"/>'], 0
for path in map(pathlib.Path, sys.argv[1:] or sorted(pathlib.Path("tests").glob("test_*.py"))):
    space = {}
    exec(compile(path.read_text(), str(path), "exec"), space)
    for name in [each for each in space if each.startswith("test_")]:
        text = ""
        try:
            space[name]()
        except AssertionError as error:
            line = traceback.extract_tb(error.__traceback__)[-1].lineno
            text = "E       assert 2 == 4\\n\\n%s:%d: AssertionError" % (path, line)
            failed += 1
        body = "<failure message=%s>%s</failure>" % (quoteattr("assert 2 == 4"), escape(text)) if text else ""
        rows.append('<testcase classname="tests.%s" name="%s" file="%s">%s</testcase>' % (path.stem, name, path, body))
report = pathlib.Path(os.environ["SWARM_REPORTS"]) / "junit.xml"
report.write_text("<testsuite>%s</testsuite>" % "".join(rows))
sys.exit(1 if failed else 0)
"""

GATES = """
[gates.tests]
run = "python3 run_tests.txt"
reads = "junit"
nothing_exit_codes = [5]
{on_change}
[gates.required]
default = ["scope", "secrets", "tests"]
"""
ON_CHANGE = """
run_on_change = '''
found=$(grep '^tests/test_' "$SWARM_CHANGED") || exit 5
python3 run_tests.txt $found
'''
"""


class ScriptedModel(CountedModel):
    """Writes the wrong code, the right test, and as its third task the mended code, having weakened the test at first."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        super().__init__()

    def answer(self, body: dict) -> dict:
        prompt = next(_text(message) for message in body["messages"] if message["role"] == "user")
        self.prompts.append(prompt)
        task = re.match(r"# Task (\S+):", prompt)
        assert task is not None
        files = {
            "code": {CODE: WRONG},
            "tests": {TEST: TESTED},
            "fix-tests": {CODE: RIGHT} if "Attempt: 2" in prompt else {CODE: RIGHT, TEST: WEAKER},
        }[task[1]]
        done = sum(1 for message in body["messages"] if message["role"] == "tool")
        answer = super().answer({**body, "messages": [{"role": "user", "content": ""}]})
        if done < len(files):
            path, text = list(files.items())[done]
            calls = [_call(done, "write_file", {"path": path, "content": text})]
        else:
            changed = [{"path": path, "what": "written"} for path in files]
            calls = [_call(done, "hand_in", {"outcome": "submitted", "done": f"did {task[1]}", "changed": changed})]
        answer["choices"][0]["message"]["tool_calls"] = calls
        return answer


@pytest.fixture
def model():
    made = ScriptedModel()
    yield made
    made.close()


@pytest.fixture(params=["", ON_CHANGE], ids=["found in the queue", "found before the queue"])
def site(request, tmp_path, model):
    tasks = plan(
        job("code", owns=(CODE,)),
        job("tests", after=("code",), kind="write_tests", role="testing", owns=(TEST,), covers=(CODE,)),
    )
    made = Site(tmp_path / "site", model.url, tasks, gates=GATES.format(on_change=request.param), agents=2)
    (made.root / "run_tests.txt").write_text(RUNNER)
    git(made.root, "add", "-A")
    git(made.root, "commit", "-qm", "a test runner")
    yield made
    made.close()


async def test_a_fault_that_a_test_finds_is_mended_and_the_test_lands_as_it_was_written(site, model):
    done = ended(site.start_run())
    assert (done.code, done.json["state"]) == (0, "landed"), done
    truth = await site.truth()
    states = {task.id: str(task.state) for task in truth.tasks}
    assert states == {"code": "landed", "tests": "superseded", "fix-tests": "landed"}

    commits = truth.landed()
    assert [trailer(row, "Swarm-Task") for row in commits] == ["fix-tests", "code"]
    assert trailer(commits[0], "Swarm-Supersedes") == "tests"
    parked = trailer(commits[0], "Swarm-Parked")
    assert truth.hub.read_file(parked, TEST).decode() == TESTED
    assert truth.hub.read_file(commits[0]["commit"], TEST).decode() == TESTED
    assert truth.hub.read_file(commits[0]["commit"], CODE).decode() == RIGHT

    early = "run_on_change" in (site.root / "swarm.toml").read_text()
    built = [event.task_id for event in truth.events if event.kind == "change.building"]
    assert built == (["code", "fix-tests"] if early else ["code", "tests", "fix-tests"])

    first = next(prompt for prompt in model.prompts if prompt.startswith("# Task fix-tests:"))
    assert "holds the parked change of tests already, in tests/test_price.py" in first
    assert f"### {TEST}\n\n```python\n{TESTED}```" in first
    rejection = first.partition("## Why the last attempt was rejected")[2]
    assert all(part in rejection for part in ("file: tests/test_price.py", "line: 5", "expected: '4'", "provided: '2'"))
    second = next(prompt for prompt in model.prompts if "Attempt: 2" in prompt)
    rejection = second.partition("## Why the last attempt was rejected")[2]
    assert "kind: weakened" in rejection
    assert "test_price was changed" in rejection
    assert "+    return\n" in second.partition("## Last attempt's diff")[2]
