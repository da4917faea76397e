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
from swarmworks.worker.gates.difference import read_regular
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
_COMPARED = re.compile(r"^(?:AssertionError: )?assert (?P<provided>.{1,200}?) == (?P<expected>.{1,200})$")


@dataclass(slots=True)
class _Case:
    name: str
    file: str = ""
    problem: str = ""  # failure or error
    skipped: bool = False
    message: str = ""
    detail: list[str] = field(default_factory=list[str])


class UnreadableReportError(ValueError):
    """The report is no JUnit file, or uses what such a file never needs."""


def read_junit(ran: Ran, reports: Path) -> Judged:
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
        return Judged(GateOutcome.FAILED, summary, bounded(_finding(case) for case in problems), metrics)
    if ran.exit_code != 0:
        summary = f"the test run ended with status {ran.exit_code}, although its report names no failure"
        return Judged(GateOutcome.FAILED, summary, bounded(findings_in(ran.text())), metrics)
    if len(cases) == skipped:
        return Judged(GateOutcome.RAN_NOTHING, f"no test was run ({skipped} skipped)", metrics=metrics)
    return Judged(GateOutcome.PASSED, f"{len(cases) - skipped} tests passed", metrics=metrics)


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
            cases.append(_Case(name, attributes.get("file", "")))
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


def _finding(case: _Case) -> Finding:
    detail = "".join(case.detail)[:_MAX_DETAIL]
    places = list(_PLACE.finditer(detail))
    errors = [match["text"] for match in _ERROR.finditer(detail)]
    reason = errors[0] if errors else (case.message or detail)
    compared = _COMPARED.match(errors[0]) if errors else None
    return Finding(
        message=plain(f"{case.name}: {reason}"),
        file=relative(places[-1]["file"]) if places else relative(case.file),
        line=int(places[-1]["line"]) if places else 0,
        expected=plain(compared["expected"], 200) if compared else "",
        provided=plain(compared["provided"], 200) if compared else "",
    )
