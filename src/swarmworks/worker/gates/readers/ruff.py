"""Reader `ruff`: the JSON that `ruff check --output-format json` prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from swarmworks.domain.gate import Finding, GateOutcome
from swarmworks.worker.gates.readers.judged import Judged, failed, plain, relative

if TYPE_CHECKING:
    from swarmworks.worker.running import Ran


def read_ruff(ran: Ran) -> Judged:
    try:
        rows: Any = json.loads(ran.stdout)
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list) or ran.exit_code not in {0, 1}:
        reason = plain(ran.stderr.decode("utf-8", "replace"), 300)
        return Judged(GateOutcome.COULD_NOT_RUN, f"ruff gave no result (exit status {ran.exit_code}): {reason}")
    findings = [_finding(cast("dict[str, Any]", row)) for row in cast("list[Any]", rows) if isinstance(row, dict)]
    if findings:
        return failed("finding", findings)
    if ran.exit_code != 0:
        return Judged(GateOutcome.FAILED, "ruff ended with status 1 and named nothing")
    if b"No Python files found" in ran.stderr:
        return Judged(GateOutcome.RAN_NOTHING, "there is no Python file to check")
    return Judged(GateOutcome.PASSED, "no findings", metrics={"findings": 0.0})


def _finding(row: dict[str, Any]) -> Finding:
    location = row.get("location")
    line = cast("dict[str, Any]", location).get("row", 0) if isinstance(location, dict) else 0
    code = row.get("code") or "syntax"
    message = plain(f"{code} {row.get('message', '')}")
    return Finding(message, relative(str(row.get("filename", ""))), line if isinstance(line, int) else 0)
