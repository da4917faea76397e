"""Mistakes a model makes in files: each is a small edit of text that is right, still tidy and typed, and wrong.

Only where one test task looks: what every test stands on (creating records, signing in) is left alone, so that a mistake
has one task that shows it and one that mends it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal.faults import Behaviour, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swarmworks.provider.rehearsal.prompt import Rejection

ENDPOINT = re.compile(r"app/api/\w+\.py")
MIDDLEWARE = re.compile(r"app/middleware/rate_limit\.py")
MAIN = re.compile(r"app/main\.py")
TESTS = re.compile(r"tests/test_\w+\.py")
STRAY = "app/notes.py"
"""What nobody owns, and a scope fault writes."""

STRAY_TEXT = '"""Notes to myself; nobody asked for them."""\n\nNOTES: list[str] = []\n'
STRAY_SHARE = 4
"""One in so many faulty tasks writes a file too many."""


@dataclass(frozen=True, slots=True)
class Mistake:
    fault: Fault
    what: str
    where: re.Pattern[str]
    pattern: re.Pattern[str]
    wrong: str

    def made_in(self, path: str, text: str) -> str | None:
        """The text with the mistake in it, None where it cannot be made."""
        if not self.where.fullmatch(path):
            return None
        changed, count = self.pattern.subn(self.wrong, text, count=1)
        return changed if count and changed != text else None


@dataclass(frozen=True, slots=True)
class Made:
    """A fault that is in the files now."""

    fault: Fault
    path: str
    what: str


def _endpoint(fault: Fault, what: str, pattern: str, wrong: str) -> Mistake:
    return Mistake(fault, what, ENDPOINT, re.compile(pattern), wrong)


MISTAKES: tuple[Mistake, ...] = (
    _endpoint(
        Fault.BUG, "pages begin one record too late", r"list_page\(db, limit, offset", "list_page(db, limit, offset + 1"
    ),
    _endpoint(
        Fault.BUG, "every page is as long as can be", r"list_page\(db, limit, offset", "list_page(db, 200, offset"
    ),
    _endpoint(
        Fault.BUG,
        "an unknown id is answered with 400",
        r"status\.HTTP_404_NOT_FOUND",
        "status.HTTP_400_BAD_REQUEST",
    ),
    _endpoint(Fault.BUG, "the condition is the wrong way round", r"    if not (\w+\.delete\()", r"    if \1"),
    _endpoint(
        Fault.BUG,
        "a deletion is answered with 200",
        r"status_code=status\.HTTP_204_NO_CONTENT",
        "status_code=status.HTTP_200_OK",
    ),
    Mistake(
        Fault.BUG,
        "one request too many is let through",
        MIDDLEWARE,
        re.compile(r"len\(times\) >= limit"),
        "len(times) > limit",
    ),
    Mistake(
        Fault.BUG, "the health check says something else", MAIN, re.compile(r'\{"status": "ok"\}'), '{"status": "up"}'
    ),
    Mistake(
        Fault.BUG,
        "a test asks for a fixture that nobody made",
        TESTS,
        re.compile(r"def (test_\w+)\(client: TestClient"),
        r"def \1(database: str, client: TestClient",
    ),
    _endpoint(
        Fault.DROPPED_REQUIREMENT,
        "an unknown id is no error",
        r"    if not (\w+\.delete\(db, \w+\)):\n        raise HTTPException\([^\n]*\)\n",
        r"    \1\n",
    ),
    _endpoint(Fault.DROPPED_REQUIREMENT, "a page may be empty by request", r"Query\(ge=1, le=200\)", "Query(le=200)"),
    _endpoint(
        Fault.DROPPED_REQUIREMENT,
        "a filter is ignored",
        r"(list_page\(db, limit, offset), (\w+)=\2\b",
        r"\1",
    ),
    _endpoint(
        Fault.DROPPED_REQUIREMENT,
        "nothing is changed",
        r"    changes = [^\n]*\n    return [^\n]* or found\n",
        "    return found\n",
    ),
    _endpoint(
        Fault.DROPPED_REQUIREMENT,
        "the state it needs is not looked at",
        r"    if found\[[^\n]*\n        raise HTTPException\(status\.HTTP_409_CONFLICT[^\n]*\n",
        "",
    ),
)


def err(
    behaviour: Behaviour, files: Mapping[str, str], rejection: Rejection | None
) -> tuple[dict[str, str], Made | None]:
    """`files` as this session writes them, and the fault that it makes. It makes none once the rejection names what it
    did wrong; a rejection that it cannot see mends nothing.
    """
    if not behaviour.content or not files:
        return dict(files), None
    possible = [
        (path, mistake, changed)
        for path, text in files.items()
        for mistake in MISTAKES
        if (changed := mistake.made_in(path, text)) is not None
    ]
    stray = behaviour.pick(STRAY_SHARE, "stray") == 0
    if not possible and not stray:
        return dict(files), None
    if stray:
        told = rejection is not None and rejection.names(STRAY)
        return dict(files), None if told else Made(Fault.SCOPE, STRAY, "a module that nobody asked for")
    kinds = sorted({mistake.fault for _, mistake, _ in possible})
    kind = kinds[behaviour.pick(len(kinds), "kind")]
    of_kind = [each for each in possible if each[1].fault is kind]
    path, mistake, changed = of_kind[behaviour.pick(len(of_kind), "mistake")]
    if rejection is not None and any(rejection.names(each) for each in files):
        return dict(files), None
    return {**files, path: changed}, Made(mistake.fault, path, mistake.what)


def stray_command() -> str:
    """A shell command, because the tools for files refuse what is not the task's."""
    folder = STRAY.rpartition("/")[0]
    return f"mkdir -p {folder} && printf '%s\\n' {shlex.quote(STRAY_TEXT.rstrip())} > {STRAY}"
