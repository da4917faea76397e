"""What a failed assertion expected, and what it was given, from the words of the test runner."""

from __future__ import annotations

import re

from swarmworks.worker.gates.readers.judged import plain

_MOST = 200
_ASSERTED = re.compile(r"^(?:\w+: )?assert (?P<text>.+)$")
_COMPARED = re.compile(r"^(?P<left>.+?) (?P<operator>==|!=|<=|>=|<|>|not in|in|is not|is) (?P<right>.+)$")
_UNEQUAL = re.compile(r"^AssertionError: (?P<left>.+?) != (?P<right>.+)$")
_NOT_RAISED = re.compile(r"DID NOT RAISE (?:<class '(?P<quoted>[^']+)'>|(?P<plain>\S.*))$")
_PATTERN = re.compile(r"^(?:Expected regex|Regex): (?P<text>.+)$")
_INPUT = re.compile(r"^(?:Actual message|Input): (?P<text>.+)$")
_RAISED = re.compile(r"^(?P<type>[A-Za-z_][\w.]*(?:Error|Exception|Exit|Warning|Timeout))(?::|$)")


def compared(errors: list[str]) -> tuple[str, str]:
    """Expected and provided, both "" when the lines say neither. `errors` are the runner's lines about one failure."""
    expected, provided = _compared(errors)
    return plain(expected, _MOST), plain(provided, _MOST)


def _compared(errors: list[str]) -> tuple[str, str]:
    for line in errors:
        if match := _ASSERTED.match(line):
            return _asserted(match["text"])
        if match := _UNEQUAL.match(line):
            return match["right"], match["left"]
        if match := _NOT_RAISED.search(line):
            return f"{match['quoted'] or match['plain']} to be raised", "nothing was raised"
    pattern = next((match["text"] for line in errors if (match := _PATTERN.match(line))), "")
    if pattern:
        return f"a message that matches {pattern}", next(
            (m["text"] for line in errors if (m := _INPUT.match(line))), ""
        )
    raised = next((line for line in errors if _RAISED.match(line)), "")
    if raised and not raised.startswith("AssertionError"):
        return "no exception", raised
    return "", ""


def _asserted(text: str) -> tuple[str, str]:
    match = _COMPARED.match(text)
    if match is None:
        return ("false", text.removeprefix("not ")) if text.startswith("not ") else ("true", text)
    left, operator, right = match["left"], match["operator"], match["right"]
    if operator in {"==", "is"}:
        return right, left
    if operator in {"in", "not in"}:
        return f"{'with' if operator == 'in' else 'without'} {left}", right
    return f"{'not' if operator in {'!=', 'is not'} else operator} {right}", left
