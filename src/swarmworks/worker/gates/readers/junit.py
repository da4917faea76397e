"""Reader `junit`: a test run's report, which has to agree with its exit status.

The report is written by a process that also runs the change's code, so it is read as hostile: bounded, no document type,
no entities, and never enough for a pass by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.parsers import expat

from swarmworks.domain.gate import Finding, GateOutcome
from swarmworks.policy.testfiles import base_name, is_test_file
from swarmworks.worker.gates.difference import read_regular
from swarmworks.worker.gates.readers.assertion import compared
from swarmworks.worker.gates.readers.judged import Judged, bounded, plain, relative
from swarmworks.worker.gates.readers.lines import findings_in

if TYPE_CHECKING:
    from pathlib import Path

    from swarmworks.worker.running import Ran

REPORT = "junit.xml"
MAX_BYTES = 16 << 20
_MAX_DETAIL = 20_000
_PLACE = re.compile(r"^(?P<file>[^\s:][^:\n]{0,300}\.\w{1,6}):(?P<line>\d{1,7}):", re.MULTILINE)
_ERROR = re.compile(r"^E\s+(?P<text>\S.*)$", re.MULTILINE)
_AROUND = re.compile(r'^failed on (?P<when>setup|teardown) with "')
_TYPE = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?::|\s*$)")
_NO_FIXTURE = re.compile(r"fixture '.*' not found")
_FOREIGN = ("/", "../", "<")
_INSTALLED = ("site-packages/", "dist-packages/", "node_modules/", ".venv/")
MOST_NAMES = 500
MAX_NAME = 300


@dataclass(slots=True)
class _Case:
    name: str
    file: str = ""
    line: int = 0
    problem: str = ""  # failure or error
    skipped: bool = False
    message: str = ""
    detail: list[str] = field(default_factory=list[str])


class UnreadableReportError(ValueError):
    """The report is no JUnit file, or uses what such a file never needs."""


def read_junit(ran: Ran, reports: Path, owns: tuple[str, ...] = (), tests: tuple[str, ...] = ()) -> Judged:
    """`tests_passed` are those in files of `owns`, and those that `tests` names, whatever their parameters."""
    text = read_regular(reports / REPORT, MAX_BYTES)
    try:
        cases = None if text is None else parse_junit(text)
    except UnreadableReportError as error:
        return _without_report(ran, f"the report cannot be read: {error}")
    if cases is None:
        return _without_report(ran, f"no report was left in $SWARM_REPORTS/{REPORT}")
    problems = [case for case in cases if case.problem]
    skipped = sum(case.skipped for case in cases)
    metrics = {"tests": float(len(cases)), "failed": float(len(problems)), "skipped": float(skipped)}
    if problems:
        summary = f"{len(problems)} of {len(cases)} tests failed"
        findings = bounded(_finding(case) for case in problems)
        return Judged(GateOutcome.FAILED, summary, findings, metrics, _passed(cases, owns, tests))
    if ran.exit_code != 0:
        summary = f"the test run ended with status {ran.exit_code}, although its report names no failure"
        return Judged(GateOutcome.FAILED, summary, bounded(findings_in(ran.text())), metrics)
    if len(cases) == skipped:
        return Judged(GateOutcome.RAN_NOTHING, f"no test was run ({skipped} skipped)", metrics=metrics)
    return Judged(
        GateOutcome.PASSED,
        f"{len(cases) - skipped} tests passed",
        metrics=metrics,
        tests_passed=_passed(cases, owns, tests),
    )


def _without_report(ran: Ran, reason: str) -> Judged:
    if ran.exit_code == 0:
        return Judged(GateOutcome.RAN_NOTHING, f"exit status 0, but {reason}")
    text = ran.text()
    errors = [match["text"] for match in _ERROR.finditer(text)]
    findings = findings_in(text)
    if errors and findings:
        last = findings[-1]
        findings = [Finding(plain(errors[-1]), last.file, last.line)]
    return Judged(GateOutcome.FAILED, f"exit status {ran.exit_code}, and {reason}", bounded(findings))


def parse_junit(text: str) -> list[_Case]:
    cases: list[_Case] = []
    parser = expat.ParserCreate()
    depth_of_text = 0

    def refuse(*_: object) -> None:
        raise UnreadableReportError("it declares a document type or entities")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth_of_text
        if tag == "testcase":
            name = "::".join(part for part in (attributes.get("classname", ""), attributes.get("name", "")) if part)
            line = attributes.get("line", "")
            cases.append(
                _Case(name, attributes.get("file", ""), int(line) + 1 if line.isdecimal() and len(line) < 8 else 0)
            )
        elif tag in {"failure", "error"} and cases:
            cases[-1].problem = cases[-1].problem or tag
            cases[-1].message = cases[-1].message or attributes.get("message", "")
            depth_of_text += 1
        elif tag == "skipped" and cases:
            cases[-1].skipped = True

    def end(tag: str) -> None:
        nonlocal depth_of_text
        if tag in {"failure", "error"} and depth_of_text:
            depth_of_text -= 1

    def characters(data: str) -> None:
        if depth_of_text and sum(map(len, cases[-1].detail)) < _MAX_DETAIL:
            cases[-1].detail.append(data)

    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise UnreadableReportError(str(error)) from None
    return cases


def _passed(cases: list[_Case], owns: tuple[str, ...], tests: tuple[str, ...]) -> tuple[str, ...]:
    named = {base_name(test) for test in tests}
    modules = tuple(entry.removesuffix(".py").replace("/", ".") for entry in owns)
    good = (case for case in cases if not case.problem and not case.skipped)
    mine = (case.name for case in good if base_name(case.name) in named or _owned(case, owns, modules))
    return tuple(name[:MAX_NAME] for name in mine)[:MOST_NAMES]


def _owned(case: _Case, owns: tuple[str, ...], modules: tuple[str, ...]) -> bool:
    """By its file, where the report names it, otherwise by its module."""
    if case.file:
        path = relative(case.file)
        return any(path == entry or (entry.endswith("/") and path.startswith(entry)) for entry in owns)
    return any(
        case.name.startswith(module if module.endswith(".") else f"{module}:")
        or case.name.startswith(f"{module.removesuffix('.')}.")
        for module in modules
    )


def _finding(case: _Case) -> Finding:
    detail = "".join(case.detail)[:_MAX_DETAIL]
    errors = [match["text"] for match in _ERROR.finditer(detail)]
    reason = errors[0] if errors else (case.message or detail)
    file, line = _place(case, detail)
    code = next((f"{path}:{number}" for path, number in _places(detail) if not is_test_file(path)), "")
    expected, provided = compared(errors)
    return Finding(
        message=plain(
            f"{case.name}: {reason}" + (f" (through {code})" if code and file != code.partition(":")[0] else "")
        ),
        file=file,
        line=line,
        expected=expected,
        provided=provided,
        test=plain(case.name, MAX_NAME),
        error=_error(case, detail),
        code=code,
    )


def _places(detail: str) -> list[tuple[str, int]]:
    """Lines of the project's own files that the traceback shows, the outermost first."""
    found = [(relative(match["file"]), int(match["line"])) for match in _PLACE.finditer(detail)]
    return [
        (path, line)
        for path, line in found
        if not path.startswith(_FOREIGN) and not any(part in path for part in _INSTALLED)
    ]


def _place(case: _Case, detail: str) -> tuple[str, int]:
    """Where the test failed, in the test: the innermost line of its own file, else of any test, else what there is."""
    places = _places(detail)
    own = relative(case.file)
    inside = [place for place in places if place[0] == own] or [place for place in places if is_test_file(place[0])]
    if inside:
        return inside[-1]
    if own:
        return own, case.line
    return places[-1] if places else ("", 0)


def _error(case: _Case, detail: str) -> str:
    if case.message.startswith("collection failure") or "Error collecting" in case.message:
        return "collection"
    around = _AROUND.match(case.message)
    words = case.message[around.end() :] if around else case.message
    found = _TYPE.match(words.partition("\n")[0].rstrip('"'))
    kind = found["type"] if found else "AssertionError" if words.startswith("assert ") else ""
    if around and _NO_FIXTURE.search(detail):
        kind = "FixtureLookupError"
    return f"{around['when']}:{kind}" if around else kind
