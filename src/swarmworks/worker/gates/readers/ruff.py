"""Reader `ruff`: the JSON that `ruff check --output-format json` prints."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

from swarmworks.domain.gate import Finding, GateOutcome
from swarmworks.worker.gates.readers.judged import Judged, failed, line_of, plain, relative

if TYPE_CHECKING:
    from swarmworks.worker.running import Ran

_NEXT_ROW = re.compile(r"[\s,]*\{")


def read_ruff(ran: Ran) -> Judged:
    rows = _rows(ran)
    if rows is None or ran.exit_code not in {0, 1}:
        reason = plain(ran.stderr.decode("utf-8", "replace"), 300)
        return Judged(GateOutcome.COULD_NOT_RUN, f"ruff gave no result (exit status {ran.exit_code}): {reason}")
    findings = [_finding(cast("dict[str, Any]", row)) for row in rows if isinstance(row, dict)]
    if findings:
        return failed("finding", findings)
    if ran.exit_code != 0:
        return Judged(GateOutcome.FAILED, "ruff ended with status 1 and named nothing")
    if b"No Python files found" in ran.stderr:
        return Judged(GateOutcome.RAN_NOTHING, "there is no Python file to check")
    return Judged(GateOutcome.PASSED, "no findings", metrics={"findings": 0.0})


def _rows(ran: Ran) -> list[Any] | None:
    """None for what is no such report. Of one that was longer than what is kept, the rows that are whole."""
    text = ran.stdout.decode("utf-8", "replace")
    try:
        rows: Any = json.loads(text)
    except (ValueError, RecursionError):
        return _whole_rows(text) or None if ran.cut and text.lstrip().startswith("[") else None
    return cast("list[Any]", rows) if isinstance(rows, list) else None


def _whole_rows(text: str) -> list[Any]:
    decoder = json.JSONDecoder()
    rows: list[Any] = []
    at = text.index("[") + 1
    while match := _NEXT_ROW.match(text, at):
        try:
            row, at = decoder.raw_decode(text, match.end() - 1)
        except (ValueError, RecursionError):
            break
        rows.append(row)
    return rows


def _finding(row: dict[str, Any]) -> Finding:
    location = row.get("location")
    line = line_of(cast("dict[str, Any]", location).get("row")) if isinstance(location, dict) else 0
    code = row.get("code") or "syntax"
    message = plain(f"{code} {row.get('message', '')}")
    return Finding(message, relative(str(row.get("filename", ""))), line)
