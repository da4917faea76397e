"""What a change conflicts with, so that whoever resolves it knows both sides: the places, and who landed the other one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from swarmworks.base.errors import LimitReachedError
from swarmworks.domain.change import Change
from swarmworks.domain.rejection import RejectedFinding, Rejection
from swarmworks.git.protocol import Conflicted, Hub
from swarmworks.policy.rejections import from_conflict
from swarmworks.wire.config_merge import MergeSection

MOST_FILES = 10
MOST_PLACES = 5
MOST_BYTES = 4 << 20
MOST_LANDED = 3
_TASK = re.compile(r"^Swarm-Task: (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the file with both sides in it holds them."""

    line: int
    ours: str
    theirs: str


def explained(hub: Hub, head: str, change: Change, answer: Conflicted, rules: MergeSection) -> Rejection:
    """`change` cannot be merged onto `head`. Blocks: call it outside the transaction."""
    told = from_conflict(answer.paths[:100], answer.detail, base=head)
    tree = hub.merge_marked(head, change.head)
    found: list[RejectedFinding] = []
    for path in answer.paths[:MOST_FILES]:
        message = f"conflicts with {_landed(hub, change.base, head, path)}"
        places = list(_places(_text(hub, tree, path)))[:MOST_PLACES]
        found += [RejectedFinding("merge", message, path, one.line, one.ours, one.theirs) for one in places]
        found += [] if places else [RejectedFinding("merge", message, path)]
    return replace(
        told,
        findings=(*found, *told.findings[MOST_FILES:]),
        regenerates=_made_anew(hub, head, change, answer.paths, rules),
    )


def _made_anew(hub: Hub, head: str, change: Change, paths: Sequence[str], rules: MergeSection) -> bool:
    """Whether nothing else is in conflict than files that are made of others, and files to which both only added."""
    if not any(rules.is_generated(path) for path in paths):
        return False
    return hub.united(head, change.head, paths, union=rules.union, generated=rules.generated) is not None


def _text(hub: Hub, tree: str, path: str) -> str:
    """Nothing of a file that is too large to point into: it is named all the same."""
    try:
        return (hub.read_file(tree, path, limit_bytes=MOST_BYTES) or b"").decode("utf-8", "replace")
    except LimitReachedError:
        return ""


def _landed(hub: Hub, base: str, head: str, path: str) -> str:
    """Who changed the file on the branch since the change began."""
    rows = hub.log(base, head, limit=MOST_LANDED + 1, path=path)
    named = [
        f"{row['subject']!r} ({task[1] if (task := _TASK.search(row['body'])) else 'a push'}, by {row['author']}, {row['commit'][:10]})"
        for row in rows[:MOST_LANDED]
    ]
    return ", ".join(named) + (" and others" if len(rows) > MOST_LANDED else "") or "what landed meanwhile"


def _places(text: str) -> Iterator[_Place]:
    """Between git's markers the branch's lines come first."""
    ours: list[str] = []
    theirs: list[str] = []
    start = 0
    side: list[str] | None = None
    for number, row in enumerate(text.split("\n"), 1):
        line = row.removesuffix("\r")
        if line.startswith("<<<<<<< "):
            ours, theirs, start = [], [], number
            side = ours
        elif line == "=======" and side is ours and start:
            side = theirs
        elif line.startswith(">>>>>>> ") and start:
            yield _Place(start, "\n".join(ours), "\n".join(theirs))
            start, side = 0, None
        elif side is not None:
            side.append(line)
