"""Readers `exit` and `lines`: the exit status decides, and `file:line: message` rows are the findings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swarmworks.domain.gate import Finding, GateOutcome
from swarmworks.worker.gates.readers.judged import Judged, bounded, plain, relative

if TYPE_CHECKING:
    from swarmworks.worker.running import Ran

_ROW = re.compile(r"^(?P<file>[^\s:()<>\"'][^:\n<>\"]{0,300}?):(?P<line>\d{1,7})(?::\d{1,7})?:?\s+(?P<message>\S.*)$")


def read_exit(ran: Ran) -> Judged:
    if ran.exit_code == 0:
        return Judged(GateOutcome.PASSED, "exit status 0")
    return Judged(GateOutcome.FAILED, f"exit status {ran.exit_code}{_last_line(ran)}")


def read_lines(ran: Ran) -> Judged:
    if ran.exit_code == 0:
        return Judged(GateOutcome.PASSED, _last_line(ran).removeprefix(": ") or "exit status 0")
    findings = findings_in(ran.text())
    summary = f"{len(findings)} findings" if findings else f"exit status {ran.exit_code}{_last_line(ran)}"
    return Judged(GateOutcome.FAILED, summary, bounded(findings), {"findings": float(len(findings))})


def findings_in(text: str) -> list[Finding]:
    found: list[Finding] = []
    for row in text.splitlines():
        match = _ROW.match(row.strip())
        if match and "." in match["file"].rsplit("/", 1)[-1]:
            found.append(Finding(plain(match["message"]), relative(match["file"]), int(match["line"])))
    return list(dict.fromkeys(found))


def _last_line(ran: Ran) -> str:
    rows = [row for row in (ran.stdout or ran.stderr).decode("utf-8", "replace").splitlines() if row.strip()]
    return f": {plain(rows[-1], 200)}" if rows else ""
