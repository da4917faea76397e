from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from xml.sax.saxutils import escape as escaped

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmworks.domain.gate import GateOutcome
from swarmworks.worker.gates.readers.coverage import read_coverage
from swarmworks.worker.gates.readers.junit import UnreadableReportError, parse_junit, read_junit
from swarmworks.worker.gates.readers.lines import read_lines
from swarmworks.worker.gates.readers.mypy import read_mypy
from swarmworks.worker.gates.readers.ruff import read_ruff
from swarmworks.worker.running import Ran

PYTEST_REPORT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="0" failures="1" tests="2">
<testcase classname="tests.test_a" name="test_ok" file="tests/test_a.py" line="2" time="0.1"/>
<testcase classname="tests.test_a" name="test_status" file="tests/test_a.py" line="6" time="0.1">
<failure message="assert 404 == 201">client = &lt;x&gt;

    def test_status(client):
&gt;       assert client.post("/a").status_code == 201
E       assert 404 == 201
E        +  where 404 = &lt;Response [404 Not Found]&gt;.status_code

tests/test_a.py:9: AssertionError</failure></testcase></testsuite></testsuites>"""


def ran(stdout="", stderr="", code=0):
    return Ran(code, stdout.encode(), stderr.encode(), 0.1)


def test_a_failed_test_gives_place_expected_and_provided(tmp_path):
    (tmp_path / "junit.xml").write_text(PYTEST_REPORT)
    judged = read_junit(ran(code=1), tmp_path)
    finding = judged.findings[0]
    assert judged.outcome is GateOutcome.FAILED
    assert judged.summary == "1 of 2 tests failed"
    assert (finding.file, finding.line) == ("tests/test_a.py", 9)
    assert (finding.expected, finding.provided) == ("201", "404")
    assert "test_status" in finding.message


def case(name="test_a", *, text="", message="", kind="failure", line=3, classname="tests.test_a"):
    body = f'<{kind} message="{escaped(message, {chr(34): "&quot;"})}">{escaped(text)}</{kind}>' if message else ""
    return f'<testcase classname="{classname}" name="{name}" file="tests/test_a.py" line="{line}">{body}</testcase>'


def report(folder, *cases):
    (folder / "junit.xml").write_text(f"<testsuite>{''.join(cases)}</testsuite>")
    return folder


def test_an_exception_in_the_code_names_the_line_of_the_test_and_the_first_line_of_the_code(tmp_path):
    text = (
        ">       assert price(1) == 1\n\ntests/test_a.py:14: \n_ _ _\napp/m.py:2: in price\n    return total(x)\n_ _ _\n"
        "E       KeyError: 'k'\n\n/usr/lib/python3/site-packages/x.py:9: KeyError"
    )
    (finding,) = read_junit(ran(code=1), report(tmp_path, case(text=text, message="KeyError: 'k'"))).findings
    assert (finding.file, finding.line, finding.code) == ("tests/test_a.py", 14, "app/m.py:2")
    assert (finding.test, finding.error) == ("tests.test_a::test_a", "KeyError")
    assert (finding.expected, finding.provided) == ("no exception", "KeyError: 'k'")
    assert "through app/m.py:2" in finding.message


@pytest.mark.parametrize(
    ("kind", "message", "error"),
    [
        ("failure", "AssertionError: assert 1 == 2", "AssertionError"),
        ("failure", "assert not 1", "AssertionError"),
        ("failure", "sqlite3.IntegrityError: UNIQUE", "sqlite3.IntegrityError"),
        ("error", 'failed on setup with "NameError: name x"', "setup:NameError"),
        ("error", 'failed on setup with "assert 1 == 2"', "setup:AssertionError"),
        ("error", 'failed on teardown with "OSError: disk"', "teardown:OSError"),
        ("error", "collection failure", "collection"),
    ],
)
def test_the_error_says_its_type_and_whether_it_was_the_tests_own(tmp_path, kind, message, error):
    (finding,) = read_junit(ran(code=1), report(tmp_path, case(kind=kind, message=message))).findings
    assert (finding.error, finding.file, finding.line) == (error, "tests/test_a.py", 4)


@pytest.mark.parametrize(
    ("lines", "expected", "provided"),
    [
        ("AssertionError: should be\nE       assert 1 == 2", "2", "1"),
        ("AssertionError: assert 'id' in {'a': 1}", "with 'id'", "{'a': 1}"),
        ("assert 5 < 3", "< 3", "5"),
        ("assert None is not None", "not None", "None"),
        ("assert not 1", "false", "1"),
        ("assert []", "true", "[]"),
        ("AssertionError: 1 != 2", "2", "1"),
        ("Failed: DID NOT RAISE <class 'ValueError'>", "ValueError to be raised", "nothing was raised"),
        (
            "AssertionError: Regex pattern did not match.\nE         Expected regex: 'z'\nE         Actual message: \"k\"",
            "a message that matches 'z'",
            '"k"',
        ),
    ],
)
def test_expected_and_provided_are_read_from_the_assertion(tmp_path, lines, expected, provided):
    text = f"E       {lines}\n\ntests/test_a.py:9: AssertionError"
    (finding,) = read_junit(ran(code=1), report(tmp_path, case(text=text, message="x"))).findings
    assert (finding.expected, finding.provided) == (expected, provided)


def test_tests_that_passed_are_named_where_the_task_answers_for_them(tmp_path):
    skipped = (
        '<testcase classname="tests.test_a" name="s" file="tests/test_a.py"><skipped type="pytest.xfail"/></testcase>'
    )
    other = '<testcase classname="tests.test_b" name="b[1]" file="tests/test_b.py"/>'
    bare = '<testcase classname="tests.test_c.TestX" name="c"/>'
    folder = report(tmp_path, case("good"), case("bad", message="x"), skipped, other, bare)
    assert read_junit(ran(code=1), folder).tests_passed == ()
    owns = ("tests/test_a.py", "tests/test_c.py")
    assert read_junit(ran(code=1), folder, owns).tests_passed == ("tests.test_a::good", "tests.test_c.TestX::c")
    assert read_junit(ran(code=1), folder, (), ("tests.test_b::b[9]", "tests.test_a::s")).tests_passed == (
        "tests.test_b::b[1]",
    )


def test_a_crash_before_any_test_names_the_place_from_the_output(tmp_path):
    output = "ImportError while loading conftest\ntests/conftest.py:3: in <module>\n    import nothing\nE   ModuleNotFoundError: No module named 'nothing'\n"
    judged = read_junit(ran(output, code=4), tmp_path)
    assert judged.outcome is GateOutcome.FAILED
    assert (judged.findings[0].file, judged.findings[0].line) == ("tests/conftest.py", 3)
    assert "nothing" in judged.findings[0].message


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY x "y">]><testsuite>&x;</testsuite>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><testsuite/>',
        "<testsuite>",
        "",
        "not xml",
    ],
)
def test_hostile_or_broken_reports_are_refused(text):
    with pytest.raises(UnreadableReportError):
        parse_junit(text)


def test_a_report_with_endless_failures_is_bounded(tmp_path):
    case = '<testcase name="t"><failure message="m">' + "x" * 1000 + "</failure></testcase>"
    (tmp_path / "junit.xml").write_text(f"<testsuite>{case * 2000}</testsuite>")
    judged = read_junit(ran(code=1), tmp_path)
    assert len(judged.findings) == 51
    assert "1950 more" in judged.findings[-1].message


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300))
def test_no_report_text_breaks_the_parser(text):
    with contextlib.suppress(UnreadableReportError):
        parse_junit(text)


def test_ruff_findings_have_their_places():
    rows = [
        {"code": "F401", "message": "unused", "filename": "/swarm/tree/app/a.py", "location": {"row": 3, "column": 1}}
    ]
    judged = read_ruff(ran(json.dumps(rows), code=1))
    assert (judged.findings[0].file, judged.findings[0].line) == ("app/a.py", 3)
    assert judged.findings[0].message == "F401 unused"


@pytest.mark.parametrize(
    ("stdout", "stderr", "code", "outcome"),
    [
        ("[]", "", 0, GateOutcome.PASSED),
        ("[]", "warning: No Python files found under the given path(s)", 0, GateOutcome.RAN_NOTHING),
        ("", "ruff failed: bad configuration", 2, GateOutcome.COULD_NOT_RUN),
        ("garbage", "", 0, GateOutcome.COULD_NOT_RUN),
        ("[]", "", 1, GateOutcome.FAILED),
    ],
)
def test_ruff_outcomes(stdout, stderr, code, outcome):
    assert read_ruff(ran(stdout, stderr, code)).outcome is outcome


def test_of_a_report_that_was_too_long_to_keep_the_whole_rows_are_told():
    row = {"code": "F401", "message": "unused", "filename": "/swarm/tree/a.py", "location": {"row": 3}}
    text = json.dumps([row, row, row], indent=2)
    cut = replace(ran(text[: text.rindex("F401")], code=1), cut=True)
    judged = read_ruff(cut)
    assert (judged.outcome, len(judged.findings)) == (GateOutcome.FAILED, 2)
    assert read_ruff(replace(cut, cut=False)).outcome is GateOutcome.COULD_NOT_RUN


@pytest.mark.parametrize("line", ["1" + "0" * 400, "-3", "1e999", "true", "null", "[]"])
def test_what_is_no_line_is_none(line):
    text = (
        f'[{{"code": "F401", "message": "bad \\ud800 text", "filename": "a\\udfff.py", "location": {{"row": {line}}}}}]'
    )
    (finding,) = read_ruff(ran(text, code=1)).findings
    assert finding.line in {0, 1}
    json.dumps([finding.message, finding.file], ensure_ascii=False).encode()


def test_mypy_rows_in_json_and_plain():
    row = json.dumps(
        {
            "file": "app/a.py",
            "line": 4,
            "column": 1,
            "code": "arg-type",
            "severity": "error",
            "message": 'Argument 1 to "f" has incompatible type "str"; expected "int"',
        }
    )
    note = json.dumps({"file": "app/a.py", "line": 4, "severity": "note", "message": "see docs"})
    judged = read_mypy(ran(f"{row}\n{note}\napp/b.py:7: error: Missing return  [return]\n", code=1))
    assert [(f.file, f.line) for f in judged.findings] == [("app/a.py", 4), ("app/b.py", 7)]
    assert (judged.findings[0].expected, judged.findings[0].provided) == ("int", "str")


@pytest.mark.parametrize(
    ("stdout", "stderr", "code", "outcome"),
    [
        ("", "", 0, GateOutcome.PASSED),
        ("", "There are no .py[i] files in directory '.'", 2, GateOutcome.RAN_NOTHING),
        ("", "mypy: error: unrecognised option", 2, GateOutcome.COULD_NOT_RUN),
        ("app/a.py:1: error: x", "", 0, GateOutcome.FAILED),
    ],
)
def test_mypy_outcomes(stdout, stderr, code, outcome):
    assert read_mypy(ran(stdout, stderr, code)).outcome is outcome


def test_lines_are_found_among_other_output_and_terminal_colours_are_dropped():
    text = "checking...\n./app/a.go:12:5: undefined: x\napp/b.go:3: \x1b[31mwrong\x1b[0m\nnote: 12:30: not a file\n"
    judged = read_lines(ran(text, code=1))
    assert [(f.file, f.line, f.message) for f in judged.findings] == [
        ("app/a.go", 12, "undefined: x"),
        ("app/b.go", 3, "wrong"),
    ]


@pytest.mark.parametrize(
    "report",
    [
        None,
        "",
        "[]",
        '{"files": []}',
        '{"files": {}}',
        '{"files": {"a": {"summary": {"num_statements": 5, "covered_lines": 9}}}}',
        '{"files": {"a": {"summary": {"num_statements": "many", "covered_lines": 1}}}}',
        '{"files": {"a": {"summary": {"num_statements": Infinity, "covered_lines": 1}}}}',
        '{"files": {"a": {"summary": {"num_statements": 1%s, "covered_lines": 1}}}}' % ("0" * 400),
        "[" * 100_000,
    ],
)
def test_a_coverage_report_that_says_nothing_is_no_pass(tmp_path, report):
    if report is not None:
        (tmp_path / "coverage.json").write_text(report)
    assert read_coverage(tmp_path, 0.0, ()).outcome is GateOutcome.RAN_NOTHING


def test_a_coverage_gate_without_any_floor_is_no_pass(tmp_path):
    assert read_coverage(tmp_path, None, ()).outcome is GateOutcome.RAN_NOTHING


def test_a_folder_in_covers_means_every_file_below_it(tmp_path):
    full = {"summary": {"num_statements": 4, "covered_lines": 4}, "missing_lines": []}
    half = {"summary": {"num_statements": 4, "covered_lines": 2}, "missing_lines": [1, 2]}
    (tmp_path / "coverage.json").write_text(json.dumps({"files": {"app/a.py": full, "app/b.py": half, "x.py": half}}))
    judged = read_coverage(tmp_path, 80.0, ("app/",))
    assert [finding.file for finding in judged.findings] == ["app/b.py"]
