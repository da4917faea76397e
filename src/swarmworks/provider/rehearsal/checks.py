"""Commands the rehearsal model runs on its own work, and what it makes of their answers."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from swarmworks.provider.rehearsal.work import Work

EXIT_CODE = re.compile(r"^exit code (-?\d+)")
FAILED_TEST = re.compile(r"^(?:FAILED|ERROR) (\S+)(?: - (.*))?$", re.MULTILINE)
LINT_FINDING = re.compile(r"^\s*(?:-->\s*)?(?P<path>\S+\.py):(?P<line>\d+):\d+:?\s*(?P<code>[A-Z]+\d+)?", re.MULTILINE)
LONG_LINE = re.compile(r"E501[^\n]*\n\s*-->\s*(?P<path>\S+\.py):(?P<line>\d+):\d+")
MISSING_MODULE = re.compile(r"No module named '?(ruff|pytest|coverage)'?")
TOTAL = re.compile(r"^(\d+(?:\.\d+)?)%?\s*$", re.MULTILINE)
COVERAGE_COMMAND = (
    'export COVERAGE_FILE="${TMPDIR:-/tmp}/.coverage.rehearsal.$$"; '
    "python -m coverage run --source=app -m pytest -q -p no:cacheprovider; result=$?; "
    'python -m coverage report --format=total; rm -f "$COVERAGE_FILE"; exit $result'
)


@dataclass(frozen=True, slots=True)
class Result:
    command: str
    answer: str

    @property
    def exit_code(self) -> int | None:
        found = EXIT_CODE.match(self.answer)
        return int(found[1]) if found else None

    @property
    def tool_missing(self) -> str:
        found = MISSING_MODULE.search(self.answer)
        return found[1] if found else ""


def commands(work: Work, listed: frozenset[str]) -> list[str]:
    """Format and lint what was written; run the tests among it, when there is an application to test."""
    found: list[str] = []
    modules = [path for path in work.files if path.endswith(".py")]
    if modules:
        paths = shlex.join(modules)
        found.append(f"python -m ruff format --no-cache -q {paths} && python -m ruff check --no-cache --fix {paths}")
    if work.runs and ("app/main.py" in listed or "app/main.py" in work.files):
        found.append(f"python -m pytest -q -p no:cacheprovider {shlex.join(work.runs)}")
    return found


def repairs(results: Sequence[Result], files: Mapping[str, str]) -> dict[str, str]:
    """Files to write again, by rule: a line too long for the linter that the formatter cannot break is marked so."""
    changed: dict[str, list[str]] = {}
    for result in results:
        if "ruff" in result.command and result.exit_code != 0:
            for found in LONG_LINE.finditer(result.answer):
                path = next((path for path in files if found["path"].endswith(path)), None)
                lines = changed.setdefault(path, files[path].splitlines()) if path else []
                number = int(found["line"])
                if 0 < number <= len(lines) and "# noqa" not in lines[number - 1]:
                    lines[number - 1] += "  # noqa: E501"
    return {path: "\n".join(lines) + "\n" for path, lines in changed.items()}


def complaints(results: Sequence[Result]) -> Iterator[str]:
    """What the checks found and no rule repaired, in words for the handoff."""
    for result in results:
        if result.exit_code == 0:
            continue
        if result.tool_missing:
            yield f"{result.tool_missing} is not installed here, so it was not run"
        elif tests := FAILED_TEST.findall(result.answer):
            yield from (f"test fails: {name}: {reason}" for name, reason in tests)
        else:
            yield f"{result.command.split(' && ')[0]}: {result.answer.strip().splitlines()[-1]}"


def coverage_of(result: Result) -> tuple[float | None, str]:
    """(percent, what failed): the percentage is `None` where coverage is not installed."""
    if result.tool_missing == "coverage":
        return None, ""
    if result.exit_code != 0:
        failed = ", ".join(name for name, _ in FAILED_TEST.findall(result.answer))
        return None, f"the tests do not pass: {failed or result.answer.strip().splitlines()[-1]}"
    totals = TOTAL.findall(result.answer)
    return (float(totals[-1]), "") if totals else (None, "the report holds no total")
