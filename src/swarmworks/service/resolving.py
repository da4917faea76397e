"""A conflict that the agent of the change resolves in its own copy: what it begins with, and what it must not lose.

Neither side's added lines may be gone from what it hands in, unless the handoff names them, with the reason: that is the record
of the resolution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from swarmworks.base.errors import LimitReachedError
from swarmworks.base.ids import ChangeId
from swarmworks.domain.change import Change
from swarmworks.domain.event import NewEvent
from swarmworks.domain.handoff import DroppedLine
from swarmworks.domain.rejection import RejectedFinding, Rejection, RejectionKind
from swarmworks.domain.session import Session
from swarmworks.domain.task import Task
from swarmworks.git.protocol import Hub, Loss
from swarmworks.policy import authorship
from swarmworks.policy.tiers import NO_MODEL
from swarmworks.store.protocol import Reader, Tx
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.config_merge import MergeSection
from swarmworks.wire.handoff import MAX_LINE_CHARS

MERGE = "merge"
"""The name under which what is wrong with a merge is told, beside the gates' own."""

MARKERS = ("<<<<<<< ", ">>>>>>> ", "||||||| ")
MOST_BYTES = 16 << 20
MOST_FINDINGS = 30
MOST_RECORDED = 50
MOST_LINE = 200


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the repository shows of a resolution: `wrong`, for which it is sent back, the lines that were left out and named, and
    which of the files that conflicted were made anew.
    """

    of: ChangeId
    paths: tuple[str, ...]
    wrong: tuple[RejectedFinding, ...]
    dropped: tuple[DroppedLine, ...]
    generated: tuple[str, ...] = ()


def conflicting(reader: Reader, task: Task) -> Change | None:
    """The change whose conflict the task's next attempt resolves, None when it does something else."""
    if task.rejection is None or not rejection_wire.is_conflict(task.rejection):
        return None
    resolves = rejection_wire.parse(task.rejection).resolves
    return reader.change(ChangeId(resolves)) if resolves else None


def made_anew(reader: Reader, session: Session, task: Task) -> Change | None:
    """As `conflicting`, of a session in which the project's own commands settle it, and no model is asked."""
    if session.model != NO_MODEL or task.rejection is None or not rejection_wire.parse(task.rejection).regenerates:
        return None
    return conflicting(reader, task)


def written_by(reader: Reader, change: Change) -> Session:
    kind = reader.task(change.swarm_id, change.task_id).planned.kind
    changes = reader.changes(change.swarm_id, task_id=change.task_id)
    return authorship.written_by(change, changes, reader.session, kind)


def look(hub: Hub, before: Change, change: Change, rules: MergeSection, *, anew: bool) -> Resolution:
    """`before` conflicted with `change.base`, on which `change` was made; with `anew` without an agent, so that nobody names lines
    of generated files. Blocks: call it outside the transaction.
    """
    paths = hub.conflicts(change.base, before.head)
    said = handoff_wire.parse(change.handoff).dropped
    theirs = [loss for loss in hub.losses(before.base, change.base, change.head) if loss.path in paths]
    mine = hub.losses(before.base, before.head, change.head)
    named = {one.path for one in said}
    made = {one.path for one in (*theirs, *mine) if rules.is_generated(one.path)}
    theirs, mine = ([loss for loss in found if loss.path not in made] for found in (theirs, mine))
    wrong = [
        *_markers(hub, change, paths),
        *_unnamed(theirs, said, "the branch"),
        *_unnamed(mine, said, "your change"),
        *(() if anew else _unnamed_files(sorted(made - named), rules)),
    ]
    generated = tuple(path for path in paths if rules.is_generated(path)) if anew else ()
    return Resolution(before.id, paths, tuple(wrong[:MOST_FINDINGS]), said, generated)


def rejection_of(found: Resolution, *, tree: str, base: str) -> Rejection:
    files = ", ".join(dict.fromkeys(one.file for one in found.wrong))
    summary = f"the conflict is not resolved in {files[:300]}: keep what both sides added, or name what has to go"
    return Rejection(RejectionKind.CONFLICT, summary, findings=found.wrong, tree=tree, base=base)


def record(tx: Tx, change: Change, found: Resolution) -> None:
    rows = [{"path": one.path, "line": one.line[:MOST_LINE], "why": one.why[:MOST_LINE]} for one in found.dropped]
    data: dict[str, object] = {"change": change.id, "of": found.of, "paths": list(found.paths[:MOST_RECORDED])}
    data |= {"dropped": rows[:MOST_RECORDED]}
    data |= {"generated": list(found.generated[:MOST_RECORDED])} if found.generated else {}
    tx.append(change.swarm_id, NewEvent("change.resolved", "platform", data, change.task_id, change.session_id))


def _markers(hub: Hub, change: Change, paths: Sequence[str]) -> list[RejectedFinding]:
    found: list[RejectedFinding] = []
    for path in paths:
        lines = _text(hub, change.head, path).split("\n")
        number = next((number for number, line in enumerate(lines, 1) if line.startswith(MARKERS)), None)
        if number is not None:
            found.append(RejectedFinding(MERGE, "a conflict marker is left", path, number))
    return found


def _text(hub: Hub, commit: str, path: str) -> str:
    """Nothing of a file that is too large to look into: what is lost of it is found all the same."""
    try:
        return (hub.read_file(commit, path, limit_bytes=MOST_BYTES) or b"").decode("utf-8", "replace")
    except LimitReachedError:
        return ""


def _unnamed_files(paths: Sequence[str], rules: MergeSection) -> list[RejectedFinding]:
    """Generated files of which a line is gone: made anew by the agent, or by hand, which it says."""
    return [
        RejectedFinding(
            MERGE,
            "lines of this generated file are gone: make it anew with the command below, and name a line of it in `dropped`",
            path,
            expected="; ".join(rules.commands([path])),
        )
        for path in paths
    ]


def _unnamed(lost: Sequence[Loss], said: Sequence[DroppedLine], whose: str) -> list[RejectedFinding]:
    """The lines that are gone and that the handoff does not name; as often as they are gone, spaces aside. Of a long line a
    handoff holds the beginning.
    """
    named = Counter((one.path, one.line.strip()) for one in said)
    found: list[RejectedFinding] = []
    for loss in lost:
        if not loss.lines and not any(one.path == loss.path for one in said):
            message = f"what {whose} made of this file is gone: keep it, or name the file in `dropped`, with the reason"
            found.append(RejectedFinding(MERGE, message, loss.path))
        for line in loss.lines:
            if not line.strip():
                continue
            beginnings = (line.strip()[:MAX_LINE_CHARS].rstrip(), line[:MAX_LINE_CHARS].strip())
            if (key := next((one for one in beginnings if named[loss.path, one] > 0), None)) is not None:
                named[loss.path, key] -= 1
                continue
            name = "name it" if len(line) <= MAX_LINE_CHARS else f"name its first {MAX_LINE_CHARS} characters"
            message = f"{whose} added this line, and it is gone: keep it, or {name} in `dropped`, with the reason"
            found.append(RejectedFinding(MERGE, message, loss.path, expected=line))
    return found
