"""Gathers what a session's agent is told, from the hub at the commit the session starts from."""

from __future__ import annotations

from swarmworks.base.errors import LimitReachedError
from swarmworks.git.protocol import Hub
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.config_merge import NO_RULES, MergeSection
from swarmworks.wire.config_reach import RoleReach
from swarmworks.wire.work import SessionWork
from swarmworks.worker.prompt import (
    BothSides,
    EarlierNote,
    ParkedTests,
    Prompt,
    PromptContext,
    RecentChange,
    TakenOver,
    build_prompt,
)
from swarmworks.worker.seeding import Seed, seed_of

MOST_RECENT = 15
MOST_FOLDER_FILES = 40
MOST_DIFF_BYTES = 64 << 10
MOST_FILE_BYTES = 1 << 20


def brief(hub: Hub, work: SessionWork, reach: RoleReach, rules: MergeSection = NO_RULES) -> Prompt:
    """Blocking: reads files and history of the bare repository. `rules`: the project's, for conflicts."""
    if work.summary is not None:
        return _from_summary(hub, work, reach)
    rejection = None if work.rejection is None else rejection_wire.parse(work.rejection)
    last_diff = "" if work.last_head is None else _own_diff(hub, work.last_head)
    seed = seed_of(hub, work)
    return build_prompt(
        PromptContext(
            task=work.task,
            plan_name=work.plan_name,
            stack=work.stack,
            attempt=work.attempt,
            max_attempts=work.max_attempts,
            files=_neighbours(hub, work, seed),
            recent_changes=_recent(hub, work.base),
            notes=tuple(EarlierNote(note.task_id, note.text) for note in work.notes),
            rejection=rejection,
            last_diff=last_diff,
            parked=None if seed is None or work.resolves else _parked(hub, work, seed),
            both_sides=None if seed is None or not work.resolves else _both_sides(seed, rules),
            guidance=work.guidance or "",
            reach=reach.reach,
            databases=reach.databases,
        )
    )


def _both_sides(seed: Seed, rules: MergeSection) -> BothSides:
    generated = tuple(path for path in seed.conflicts if rules.is_generated(path))
    return BothSides(seed.paths, seed.conflicts, generated, rules.commands(generated))


def _from_summary(hub: Hub, work: SessionWork, reach: RoleReach) -> Prompt:
    """The task and the summary alone: what else there is the agent looks up as it needs it."""
    assert work.summary is not None
    seed = seed_of(hub, work)
    return build_prompt(
        PromptContext(
            task=work.task,
            plan_name=work.plan_name,
            stack=work.stack,
            attempt=work.attempt,
            max_attempts=work.max_attempts,
            rejection=None if work.rejection is None else rejection_wire.parse(work.rejection),
            taken_over=TakenOver(
                handoff_wire.parse(work.summary), _parked(hub, work, seed) if seed and seed.paths else None
            ),
            guidance=work.guidance or "",
            reach=reach.reach,
            databases=reach.databases,
        )
    )


def _parked(hub: Hub, work: SessionWork, seed: Seed) -> ParkedTests:
    diff = ""
    if seed.tree is None and work.start is not None and work.start_base is not None:
        diff = hub.diff(work.start_base, work.start, limit_bytes=MOST_DIFF_BYTES)
    return ParkedTests(work.task.supersedes or "", seed.paths, seed.conflicts, diff)


def _neighbours(hub: Hub, work: SessionWork, seed: Seed | None) -> dict[str, str | None]:
    """What conflicts, with both sides in it; the owned files that are there already; then what the plan says to read. A folder
    stands for the files below it.
    """
    tree = work.base if seed is None or seed.tree is None else seed.tree
    both_sides = seed.conflicts if seed is not None and seed.tree is not None else ()
    existing = hub.list_files(tree)
    present = set(existing)
    files: dict[str, str | None] = {}
    for path in (*both_sides, *work.task.owns, *work.task.reads):
        if path.endswith("/"):
            below = [name for name in existing if name.startswith(path)]
            for name in below[:MOST_FOLDER_FILES]:
                _add(files, hub, tree, name)
        elif path in present:
            _add(files, hub, tree, path)
        elif path not in work.task.owns:
            files.setdefault(path, None)
    return files


def _add(files: dict[str, str | None], hub: Hub, commit: str, path: str) -> None:
    """Text only: a binary file or a huge one is left out, it would say nothing to a model."""
    try:
        data = hub.read_file(commit, path, limit_bytes=MOST_FILE_BYTES)
    except LimitReachedError:
        return
    if data is not None and b"\0" not in data:
        files.setdefault(path, data.decode("utf-8", errors="replace"))


def _recent(hub: Hub, base: str) -> tuple[RecentChange, ...]:
    rows = hub.log(None, base, limit=MOST_RECENT)
    return tuple(RecentChange(row["commit"], row["subject"], row["author"]) for row in rows)


def _own_diff(hub: Hub, head: str) -> str:
    """What the last attempt changed: its commit against its own parent."""
    rows = hub.log(None, head, limit=2)
    if len(rows) < 2:
        return ""
    return hub.diff(rows[1]["commit"], head, limit_bytes=MOST_DIFF_BYTES)
