"""Lists of issues as they are exported: GitHub's JSON (`gh issue list --json number,title,body,labels`), GitLab's, Markdown.

What is read is somebody's words: only their form is judged here.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

from swarmworks.base.errors import InvalidDocumentError, Problem
from swarmworks.policy.planning.from_words import Issue

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_ISSUES = 200
MOST_TITLE = 300
_ITEM = re.compile(r"^(?:[-*+]|\d{1,6}[.)])[ \t]+(?:\[(?P<box>[ xX])\][ \t]+)?(?P<text>.*\S)\s*$")
_NUMBER = re.compile(r"^(?:issue\s+)?#(\d{1,9})\b[:.\-\s]*", re.IGNORECASE)
_CLOSED = {"closed", "merged"}


def parse_issues(document: str, text: str) -> tuple[Issue, ...]:
    """The open issues, in their order. Raises InvalidDocumentError with every entry that is none."""
    problems: list[Problem] = []
    if text.lstrip()[:1] in {"[", "{"}:
        found = tuple(_from_json(_loaded(document, text), problems))
    else:
        found = tuple(_from_markdown(text))
        if not found:
            problems.append(
                Problem(0, "there is no list of issues", "write each after `- `, such as `- #12 Add slugs`")
            )
    if len(found) > MOST_ISSUES:
        problems.append(Problem(0, f"{len(found)} issues", f"plan at most {MOST_ISSUES} at once"))
    problems += [
        Problem(0, f"issue #{number} is there more than once", "remove one of them") for number in _twice(found)
    ]
    if not found and not problems:
        problems.append(
            Problem(0, "no open issue is in it", "export the open ones: gh issue list --state open --json ...")
        )
    if problems:
        raise InvalidDocumentError(document, problems)
    return found


def _loaded(document: str, text: str) -> list[Any]:
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError of its own
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 0
        mend = "export it again: gh issue list --json number,title,body,labels > issues.json"
        raise InvalidDocumentError(document, [Problem(line, "not valid JSON", mend)]) from None
    if isinstance(data, dict):
        inner: Any = cast("dict[str, Any]", data).get("issues", [data])
        data = inner
    return cast("list[Any]", data) if isinstance(data, list) else []


def _from_json(entries: list[Any], problems: list[Problem]) -> Iterator[Issue]:
    for place, entry in enumerate(entries, start=1):
        fields = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        number = fields.get("number", fields.get("iid"))
        title = fields.get("title")
        if not isinstance(number, int) or isinstance(number, bool) or number < 1 or not isinstance(title, str):
            what = f"entry {place} has no number (`number`, or GitLab's `iid`) and title"
            problems.append(Problem(0, what, "export with: gh issue list --json number,title,body,labels"))
        elif str(fields.get("state", "")).lower() not in _CLOSED:
            body = fields.get("body", fields.get("description"))
            text = _paired(body) if isinstance(body, str) else ""
            yield Issue(number, " ".join(_paired(title).split())[:MOST_TITLE], text, _labels(fields.get("labels")))


def _labels(value: Any) -> tuple[str, ...]:
    """GitHub writes objects with a `name`, GitLab writes names."""
    if not isinstance(value, list):
        return ()
    rows = cast("list[Any]", value)
    names = [cast("dict[str, Any]", each).get("name") if isinstance(each, dict) else each for each in rows]
    return tuple(_paired(each) for each in names if isinstance(each, str))


def _paired(text: str) -> str:
    """JSON may hold half of a surrogate pair, which no file can."""
    return text.encode("utf-8", "replace").decode()


def _from_markdown(text: str) -> Iterator[Issue]:
    """Items at the margin; what is indented below one is its body. Ticked items are done. Those without a number get the
    next one that is free.
    """
    entries: list[tuple[str, list[str], bool]] = []
    for line in text.splitlines():
        item = _ITEM.match(line)
        if item is not None:
            entries.append((item["text"], [], (item["box"] or " ") in "xX"))
        elif entries and (line[:1] in {" ", "\t"} or not line.strip()):
            entries[-1][1].append(line.strip())
    taken = {int(match[1]) for words, _, _ in entries if (match := _NUMBER.match(words))}
    free = iter(number for number in range(1, 10**9) if number not in taken)
    for words, body, done in entries:
        match = _NUMBER.match(words)
        number = int(match[1]) if match else next(free)
        if not done:
            title = _NUMBER.sub("", words).strip() or words
            yield Issue(number, title[:MOST_TITLE], "\n".join(body).strip())


def _twice(found: tuple[Issue, ...]) -> list[int]:
    numbers = [each.number for each in found]
    return sorted({number for number in numbers if numbers.count(number) > 1})
