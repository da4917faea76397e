"""Reader `mypy`: its JSON rows (`--output json`), or its plain rows."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

from swarmworks.domain.gate import Finding, GateOutcome
from swarmworks.worker.gates.readers.judged import Judged, failed, line_of, plain, relative

if TYPE_CHECKING:
    from swarmworks.worker.running import Ran

_ROW = re.compile(r"^(?P<file>[^:\n]{1,300}):(?P<line>\d{1,7})(?::\d{1,7})?: error: (?P<message>.+)$")
_INCOMPATIBLE = re.compile(
    r'\(?(?:got|has type|expression has type) "(?P<got>[^"]+)".*?(?:expected|variable has type) "(?P<want>[^"]+)"'
)
_INCOMPATIBLE_ARGUMENT = re.compile(r'has incompatible type "(?P<got>[^"]+)"; expected "(?P<want>[^"]+)"')


def read_mypy(ran: Ran) -> Judged:
    text = ran.text()
    findings = [finding for row in text.splitlines() if (finding := _finding(row))]
    if findings:
        return failed("type error", findings)
    if "There are no .py[i] files" in text:
        return Judged(GateOutcome.RAN_NOTHING, "there is no Python file to check")
    if ran.exit_code != 0:
        return Judged(
            GateOutcome.COULD_NOT_RUN, f"mypy gave no result (exit status {ran.exit_code}): {plain(text, 300)}"
        )
    return Judged(GateOutcome.PASSED, "no type errors", metrics={"findings": 0.0})


def _finding(row: str) -> Finding | None:
    if row.startswith("{"):
        try:
            entry: Any = json.loads(row)
        except (ValueError, RecursionError):
            return None
        return _from_entry(cast("dict[str, Any]", entry)) if isinstance(entry, dict) else None
    match = _ROW.match(row)
    return _made(match["file"], int(match["line"]), match["message"]) if match else None


def _from_entry(entry: dict[str, Any]) -> Finding | None:
    if entry.get("severity") != "error":
        return None
    code = f"  [{entry['code']}]" if entry.get("code") else ""
    message = f"{entry.get('message', '')}{code}"
    return _made(str(entry.get("file", "")), line_of(entry.get("line")), message)


def _made(file: str, line: int, message: str) -> Finding:
    types = _INCOMPATIBLE_ARGUMENT.search(message) or _INCOMPATIBLE.search(message)
    expected, provided = (plain(types["want"], 200), plain(types["got"], 200)) if types else ("", "")
    return Finding(plain(message), relative(file), line, expected, provided)
