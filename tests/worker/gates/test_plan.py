"""What the gate `plan` says of a file that a model wrote."""

from __future__ import annotations

import pytest

from swarmworks.domain.gate import GateOutcome
from swarmworks.wire.config_gates import plan_gate
from swarmworks.wire.protected import ALWAYS_PROTECTED, DEFAULT_PROTECTED
from swarmworks.worker.gates.plan import MAX_BYTES, check_plan
from tests.worker.gates.bench import command

PROTECTED = (*ALWAYS_PROTECTED, *DEFAULT_PROTECTED)
GOOD = """\
format: 1
id: slugs
name: Slugs
tasks:
  - id: slug
    kind: implement_feature
    title: "#12 Add slugify"
    role: api
    owns: [lib/slug.py, tests/test_slug.py]
    reads: [lib/text.py]
    instructions: Write slugify in lib/slug.py, and its tests in tests/test_slug.py.
    output: lib/slug.py with slugify.
    contracts: ["lib.slug.slugify(text: str) -> str"]
    acceptance:
      - statement: slugify('A b') is 'a-b'
        gate: tests
    gates: [scope, secrets, tests]
"""


def judge(bench, text: str | None, *, issues: str = ""):
    bench.write("lib/text.py")
    changes = () if text is None else (bench.write("plan.yaml", text),)
    tests = command("pytest", name="tests")
    request = bench.request(plan_gate(), tests, changes=changes, protected=PROTECTED, specification=issues)
    return check_plan(request)


def test_a_plan_that_fits_the_repository_passes(bench):
    result = judge(bench, GOOD, issues="issues: [12]")
    assert result.outcome is GateOutcome.PASSED
    assert result.metrics["tasks"] == 1


def test_nothing_written_is_no_plan_even_where_an_old_one_lies(bench):
    bench.write("plan.yaml", GOOD)
    result = judge(bench, None)
    assert result.outcome is GateOutcome.FAILED
    assert "not written" in result.findings[0].message


@pytest.mark.parametrize(
    ("old", "new", "said", "line"),
    [
        ("gates: [scope, secrets, tests]", "gates: [scope, tests, test]", "`test` is no gate", 17),
        ("lib/text.py]", "lib/txet.py]", "reads `lib/txet.py`, which is not there", 10),
        ("owns: [lib/slug.py, ", "owns: [pyproject.toml, ", "`pyproject.toml` is protected", 9),
        ("owns: [lib/slug.py, ", "owns: [.github/, ", "`.github/` is protected", 9),
        ("owns: [lib/slug.py, ", "owns: [lib, ", "`lib` is a folder", 9),
        ("owns: [lib/slug.py, ", "owns: [lib/text.py/, ", "`lib/text.py/` is a file", 9),
        ("owns: [lib/slug.py, ", "owns: [lib/text.py/x, ", "`lib/text.py` is a file", 9),
        ("owns: [lib/slug.py, ", "owns: [plan.yaml, ", "is the plan itself", 9),
        ("owns: [lib/slug.py, ", "owns: [../x.py, ", "`../x.py` is no path", 9),
        ("        gate: tests", "        gate: scope", "cannot see whether the code works", 14),
        ("kind: implement_feature", "kind: plan", "cannot be another plan", 5),
        ("    role: api", "    depends_on: [nowhere]\n    role: api", "waits for `nowhere`", 8),
        ("    role: api", "    rule: api", "`rule`", 8),
        ("format: 1", "format: [", "", 0),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_its_mend(bench, old, new, said, line):
    assert old in GOOD
    result = judge(bench, GOOD.replace(old, new, 1))
    assert result.outcome is GateOutcome.FAILED
    found = next(each for each in result.findings if said in each.message)
    assert found.file == "plan.yaml"
    assert found.expected
    assert not line or found.line == line


@pytest.mark.parametrize(
    ("issues", "said"), [("issues: [13]", "names none of the issues"), ("issues: [12, 13]", "no task is for issue #13")]
)
def test_every_issue_has_a_task_and_every_task_an_issue(bench, issues, said):
    result = judge(bench, GOOD, issues=issues)
    assert result.outcome is GateOutcome.FAILED
    assert any(said in each.message for each in result.findings)


def test_a_link_and_a_flood_are_not_read(bench):
    change = bench.write("plan.yaml", "x" * (MAX_BYTES + 1))
    request = bench.request(plan_gate(), changes=(change,))
    assert "cannot be read" in check_plan(request).summary
    (bench.tree / "plan.yaml").unlink()
    (bench.tree / "plan.yaml").symlink_to("/etc/passwd")
    assert "cannot be read" in check_plan(request).summary
    assert "root:" not in repr(check_plan(request))


async def test_it_runs_as_a_built_in_gate(bench):
    change = bench.write("plan.yaml", "format: 2\n")
    results = await bench.run(bench.request(plan_gate(), changes=(change,)))
    assert results["plan"].outcome is GateOutcome.FAILED
