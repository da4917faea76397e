"""Lints a plan: can each task be done alone, proved by a machine, and beside the others? Pure; used by `swarm check`, and
before a swarm starts. An error means the plan must not run as it is, a warning that a person should look.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from swarmworks.domain.plan import COMMAND
from swarmworks.policy.graph import Reach, dependencies, dependents, find_cycle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swarmworks.base.ids import TaskId
    from swarmworks.domain.plan import Plan, PlannedTask

MAX_OWNED_FILES = 15
MAX_TOKENS = 400_000
MAX_MINUTES = 60.0
MIN_INSTRUCTIONS = 20
_VAGUE = re.compile(
    r"\b(etc\.?|and so on|and such|as needed|as necessary|if necessary|as appropriate|appropriately|properly|somehow|"
    r"some kind of|various|maybe|possibly|nice(?:ly)?|user[- ]friendly|robust(?:ly)?|tbd|todo|fixme|to be decided|"
    r"to be defined|improve things|clean up|make it work|good quality|best practices?)(?=\W|$)",
    re.IGNORECASE,
)
_BAD_PATH = re.compile(r"(^/)|(^\.\.?(/|$))|(/\.\.?(/|$))|(//)|[*?\\\x00-\x1f]|(^\.git(/|$))|(^\s)|(\s$)|^$")


def is_path(path: str) -> bool:
    """Whether a plan can name it: relative to the root of the repository, without wildcards and control characters. Brackets are part of
    a name (`[slug]` of many web frameworks): what a task owns is no pattern anywhere.
    """
    return _BAD_PATH.search(path) is None


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """`rule` is a stable name; `task` is empty when the whole plan is meant."""

    severity: Severity
    rule: str
    task: str
    what: str
    mend: str


def lint(plan: Plan, *, exclusive: bool = True) -> tuple[Finding, ...]:
    """Every finding, errors first, then in the plan's order. Without `exclusive` (the project's `files.exclusive`) two tasks
    may write the same file at once: a person is told, and the merge queue decides.
    """
    found: list[Finding] = []
    if not plan.tasks:
        found.append(_error("empty_plan", "", "the plan has no tasks", "add at least one task"))
    found += _identities(plan)
    for task in plan.tasks:
        found += _task(task)
    found += _graph(plan, exclusive=exclusive)
    found += _floors(plan)
    return tuple(sorted(found, key=lambda each: each.severity is not Severity.ERROR))


def errors(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    return tuple(each for each in findings if each.severity is Severity.ERROR)


def _error(rule: str, task: str, what: str, mend: str) -> Finding:
    return Finding(Severity.ERROR, rule, task, what, mend)


def _warning(rule: str, task: str, what: str, mend: str) -> Finding:
    return Finding(Severity.WARNING, rule, task, what, mend)


def _identities(plan: Plan) -> Iterator[Finding]:
    for task_id, count in Counter(task.id for task in plan.tasks).items():
        if count > 1:
            yield _error("duplicate_id", task_id, f"{count} tasks have this id", "give each task an id of its own")
    known = {task.id for task in plan.tasks}
    for task in plan.tasks:
        for other in task.depends_on:
            if other not in known:
                near = difflib.get_close_matches(other, known, n=1)
                mend = f"did you mean `{near[0]}`?" if near else "remove it, or add the task"
                yield _error("unknown_dependency", task.id, f"waits for `{other}`, which is not in the plan", mend)


def _task(task: PlannedTask) -> Iterator[Finding]:
    yield from _completeness(task)
    yield from _command(task)
    yield from _proofs(task)
    yield from _paths(task)
    yield from _ambiguity(task)
    yield from _size(task)


def _completeness(task: PlannedTask) -> Iterator[Finding]:
    if not task.title.strip():
        yield _warning("no_title", task.id, "has no title", "say in a few words what it does")
    if not task.role.strip():
        yield _warning("no_role", task.id, "has no role", "name one, such as api, database or testing")
    if not task.instructions.strip() and not task.run:
        yield _error(
            "no_instructions", task.id, "has no instructions", "say what is to be done, so that nothing else is needed"
        )
    if not task.output.strip():
        yield _error("no_output", task.id, "does not state its expected output", "say what is there when it is done")
    if not task.contracts and not task.run:
        yield _warning(
            "no_contracts", task.id, "names no interface", "name the functions, routes or formats others rely on"
        )


def _command(task: PlannedTask) -> Iterator[Finding]:
    if task.kind == COMMAND and not task.run.strip():
        yield _error("no_command", task.id, "is of kind `command` and has none", "add `run:` with the shell command")
    elif task.run and task.kind != COMMAND:
        yield _error(
            "command_elsewhere",
            task.id,
            f"has a command to `run`, and is of kind `{task.kind}`",
            "make it `kind: command`, or remove `run`",
        )


def _proofs(task: PlannedTask) -> Iterator[Finding]:
    if not task.acceptance:
        yield _error("no_acceptance", task.id, "has no acceptance", "add a statement and the gate that proves it")
    if not task.gates:
        yield _error("no_gates", task.id, "requires no gate", "list the checks it must pass, such as tests and lint")
    for each in task.acceptance:
        if each.gate not in task.gates:
            what = f"`{each.statement}` is to be proved by `{each.gate}`, which the task does not require"
            yield _error(
                "unproved_acceptance",
                task.id,
                what,
                f"add `{each.gate}` to its gates, or name one of: {', '.join(task.gates) or 'none yet'}",
            )
    for gate, reason in task.not_required.items():
        if gate in task.gates:
            yield _error(
                "gate_contradiction", task.id, f"`{gate}` is both required and not required", "remove one of the two"
            )
        if not reason.strip():
            yield _error(
                "gate_without_reason",
                task.id,
                f"`{gate}` is not required, without a reason",
                "say why it does not apply",
            )


def _paths(task: PlannedTask) -> Iterator[Finding]:
    if not task.owns:
        yield _error("owns_nothing", task.id, "owns no file", "list the paths it may write; end a folder with /")
    for path in (*task.owns, *task.reads, *task.covers):
        if not is_path(path):
            yield _error(
                "bad_path",
                task.id,
                f"`{path}` is no path in a repository",
                "write it relative to the root, without .. and wildcards",
            )


def _ambiguity(task: PlannedTask) -> Iterator[Finding]:
    texts = (task.title, task.instructions, task.output, *(each.statement for each in task.acceptance))
    vague = list(dict.fromkeys(match.lower() for text in texts for match in _VAGUE.findall(_without_code(text))))
    if vague:
        yield _warning("vague", task.id, f"vague words: {', '.join(vague[:5])}", "say exactly what is meant")
    if 0 < len(task.instructions.strip()) < MIN_INSTRUCTIONS:
        yield _warning(
            "too_short", task.id, "its instructions are too short to work from", "say what, where and how it is checked"
        )


def _without_code(text: str) -> str:
    """Words between backquotes are quoted from somewhere: they are not the task's own."""
    return re.sub(r"`[^`]*`", "", text)


def _size(task: PlannedTask) -> Iterator[Finding]:
    if len(task.owns) > MAX_OWNED_FILES:
        yield _warning(
            "too_large",
            task.id,
            f"owns {len(task.owns)} paths",
            f"split it: {MAX_OWNED_FILES} is a lot for one session",
        )
    if task.estimate.tokens > MAX_TOKENS or task.estimate.minutes > MAX_MINUTES:
        what = f"is estimated at {task.estimate.tokens} tokens and {task.estimate.minutes:g} minutes"
        yield _warning(
            "too_large",
            task.id,
            what,
            f"split it: {MAX_TOKENS} tokens and {MAX_MINUTES:g} minutes are a lot for one session",
        )


def _graph(plan: Plan, *, exclusive: bool) -> Iterator[Finding]:
    graph = dependencies(plan.tasks)
    cycle = find_cycle(graph)
    if cycle:
        yield _error(
            "cycle", cycle[0], f"tasks wait for each other: {' -> '.join(cycle)}", "remove one of these dependencies"
        )
        return
    after = dependents(graph)
    for task in plan.tasks:
        if len(plan.tasks) > 1 and not task.run and not graph[task.id] and not after[task.id]:
            yield _warning(
                "orphan",
                task.id,
                "waits for nothing, and nothing waits for it",
                "connect it, or run it as a plan of its own",
            )
    reach = Reach(graph)
    yield from _overlaps(plan, reach, _error if exclusive else _warning)
    if all(other in graph for task in plan.tasks for other in task.depends_on):
        yield from _unlanded_neighbours(plan, reach)  # a misspelt dependency would show up here a second time


def _owners(plan: Plan) -> dict[str, list[TaskId]]:
    owners: dict[str, list[TaskId]] = {}
    for task in plan.tasks:
        for path in dict.fromkeys(task.owns):
            owners.setdefault(path, []).append(task.id)
    return owners


def _holders(path: str, owners: dict[str, list[TaskId]]) -> Iterator[tuple[str, TaskId]]:
    """Everyone who owns the path itself or a folder that holds it."""
    parts = path.rstrip("/").split("/")
    around = [path, *("/".join(parts[:length]) + "/" for length in range(1, len(parts)))]
    if not path.endswith("/"):
        around.append(f"{path}/")
    for each in around:
        for holder in owners.get(each, ()):
            yield each, holder


def _overlaps(plan: Plan, reach: Reach, grade: Callable[[str, str, str, str], Finding]) -> Iterator[Finding]:
    owners = _owners(plan)
    told: set[frozenset[TaskId]] = set()
    for path, group in owners.items():
        for holding, other in _holders(path, owners):
            for task_id in group:
                pair = frozenset({task_id, other})
                if pair in told or not reach.together(task_id, other):
                    continue
                told.add(pair)
                what = f"may run together with `{other}`, and both may write `{path if path == holding else f'{path}` (in `{holding}'}`"
                what += ")" if path != holding else ""
                yield grade("overlap", task_id, what, "let one wait for the other, or give the file one owner")


def _unlanded_neighbours(plan: Plan, reach: Reach) -> Iterator[Finding]:
    owners = _owners(plan)
    for task in plan.tasks:
        own = set(task.owns)
        for name, paths in (("reads", task.reads), ("answers for", task.covers)):
            for path in paths:
                late = [other for _, other in _holders(path, owners) if path not in own and other != task.id]
                if late and not any(reach.before(other, task.id) for other in late):
                    what = f"{name} `{path}`, which `{late[0]}` writes and may not have landed"
                    yield _warning("late_neighbour", task.id, what, f"add `{late[0]}` to its dependencies")


def _floors(plan: Plan) -> Iterator[Finding]:
    required = {gate for task in plan.tasks for gate in task.gates}
    for gate in plan.floors:
        if gate not in required:
            yield _warning(
                "unused_floor",
                "",
                f"the floor of `{gate}` is checked by no task",
                f"let a task require `{gate}`, or remove the floor",
            )
