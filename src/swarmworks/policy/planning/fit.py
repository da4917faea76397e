"""Whether a plan fits the repository it is for: paths that are there, gates that exist, files a task may write.

What a plan must be in itself is `policy.lint`'s; this needs the repository's facts. Asked by the gate `plan` for plans that
a model wrote, and by `swarm check` for any.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from swarmworks.domain.plan import DOCUMENT, PLAN, PLAN_FILE, PLAN_GATE
from swarmworks.policy.lint import Finding, Severity
from swarmworks.policy.patterns import matching_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from swarmworks.domain.plan import Plan, PlannedTask

PROVES_NOTHING = frozenset({"scope", "secrets"})
"""Gates that look at a change from outside: they say nothing about whether it does what was asked."""

_ISSUE = re.compile(r"#(\d{1,9})\b")
_RUNS_CODE = re.compile(r"test|unit", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Repository:
    """`files` are all files of the commit, `gates` all names that can be required, `protected` patterns of what no task may
    write.
    """

    files: frozenset[str]
    gates: frozenset[str]
    protected: tuple[str, ...] = ()


def misfits(plan: Plan, repository: Repository) -> tuple[Finding, ...]:
    folders = _folders(repository.files)
    owned = tuple(path for task in plan.tasks for path in task.owns)
    found: list[Finding] = []
    for task in plan.tasks:
        if task.kind == PLAN:
            found.append(_error("plans_again", task.id, "a plan's task cannot be another plan", "plan the work itself"))
        found += _proves_nothing(task, repository.gates)
        found += _written(task, repository, folders)
        found += _read(task, repository.files, folders, owned)
    return (*found, *unknown_gates(plan, repository.gates))


def unknown_gates(plan: Plan, known: frozenset[str]) -> tuple[Finding, ...]:
    """Every gate the plan names that the project has not: a change that needs it can never land. A floor for it, or that it
    is not required, is a word without effect, which is a warning; but a floor that is one letter off was meant to hold.
    """
    found = [each for task in plan.tasks for each in _unknown(task, _known_to(task, known))]
    floors = [gate for gate in plan.floors if gate not in known]
    found += [_unknown_floor(gate, known) for gate in floors]
    return tuple(found)


def without_unknown_gates(plan: Plan, known: frozenset[str]) -> tuple[Plan, tuple[str, ...]]:
    """The plan with the gates of `known` alone, and the names of those left out. What they were to prove is bound to a
    gate of the project, one that runs the code where there is one, which the task then requires.
    """
    tasks = tuple(_with_gates(task, _known_to(task, known)) for task in plan.tasks)
    floors = {gate: floor for gate, floor in plan.floors.items() if gate in known}
    named = [
        gate for task in plan.tasks for gate in (*task.gates, *task.not_required) if gate not in _known_to(task, known)
    ]
    left_out = tuple(dict.fromkeys((*named, *(gate for gate in plan.floors if gate not in known))))
    return replace(plan, tasks=tasks, floors=floors), left_out


def _known_to(task: PlannedTask, known: frozenset[str]) -> frozenset[str]:
    """The project's gates, and for a task that writes a plan the gate that judges plans."""
    return known | {PLAN_GATE} if task.kind == PLAN else known


def _with_gates(task: PlannedTask, known: frozenset[str]) -> PlannedTask:
    gates = tuple(gate for gate in task.gates if gate in known) or tuple(sorted(known & PROVES_NOTHING))
    proved = task.acceptance
    if any(each.gate not in gates for each in proved):
        instead = _proof(gates, sorted(known - PROVES_NOTHING - {*task.not_required}))
        proved = tuple(each if each.gate in gates else replace(each, gate=instead) for each in proved)
        gates = gates if instead in gates else (*gates, instead)
    not_required = {gate: why for gate, why in task.not_required.items() if gate in known}
    return replace(task, gates=gates, acceptance=proved, not_required=not_required)


def _proof(gates: tuple[str, ...], own: list[str]) -> str:
    """What runs the code by its name, of the task's `gates` before the project's `own`; else the first that looks at it."""
    running = [gate for gate in gates if gate not in PROVES_NOTHING]
    if "tests" in running:
        return "tests"
    named = [gate for gate in (*running, *own) if _RUNS_CODE.search(gate)]
    return next(iter((*named, *running, *own, *gates)))


def unplanned_issues(plan: Plan, issues: Iterable[int]) -> Iterator[Finding]:
    """Every issue has a task, and every task names its issue, as `#12` in its title."""
    wanted = set(issues)
    if not wanted:
        return
    named = {task.id: {int(each) for each in _ISSUE.findall(task.title)} for task in plan.tasks}
    for task_id, numbers in named.items():
        if not numbers & wanted:
            mend = f"begin its title with the number of the issue it is for, such as `#{min(wanted)} ...`"
            yield _error("names_no_issue", task_id, "its title names none of the issues", mend)
    for number in sorted(wanted - set().union(*named.values())):
        yield _error("issue_left_out", "", f"no task is for issue #{number}", f"add a task with #{number} in its title")


def _unknown(task: PlannedTask, known: frozenset[str]) -> Iterator[Finding]:
    for gate in dict.fromkeys((*task.gates, *task.not_required)):
        if gate not in known:
            near = difflib.get_close_matches(gate, known, n=1)
            mend = f"did you mean `{near[0]}`?" if near else _named(known)
            what = f"`{gate}` is no gate of this project"
            if gate in task.gates:
                yield _error("unknown_gate", task.id, what, mend)
            else:
                yield _without_effect(task.id, what, mend)


def _proves_nothing(task: PlannedTask, known: frozenset[str]) -> Iterator[Finding]:
    proofs = {each.gate for each in task.acceptance}
    better = known - PROVES_NOTHING
    if task.kind != DOCUMENT and proofs and proofs <= PROVES_NOTHING and better:
        what = f"its acceptance is proved by {', '.join(sorted(proofs))} alone, which cannot see whether the code works"
        yield _error(
            "proves_nothing", task.id, what, f"bind a statement to a gate that runs it: {', '.join(sorted(better))}"
        )


def _written(task: PlannedTask, repository: Repository, folders: frozenset[str]) -> Iterator[Finding]:
    for path in task.owns:
        pattern = matching_pattern(f"{path}any" if path.endswith("/") else path, repository.protected)
        if pattern is not None:
            mend = "leave it out; a person who wants a task to write it adds it to the plan by hand"
            yield _error("protected_file", task.id, f"`{path}` is protected by `{pattern}`", mend)
        if path == PLAN_FILE:
            yield _error(
                "owns_the_plan", task.id, f"`{PLAN_FILE}` is the plan itself", "own the files the task is about"
            )
        if path in folders:
            yield _error(
                "folder_as_file", task.id, f"`{path}` is a folder", f"write `{path}/`, or name the files in it"
            )
        if path.endswith("/") and path.rstrip("/") in repository.files:
            yield _error("file_as_folder", task.id, f"`{path}` is a file", f"write `{path.rstrip('/')}`")
        above = next((each for each in _above(path) if each in repository.files), None)
        if above is not None:
            yield _error("below_a_file", task.id, f"`{path}`: `{above}` is a file", "name a path that can exist")


def _read(
    task: PlannedTask, files: frozenset[str], folders: frozenset[str], owned: tuple[str, ...]
) -> Iterator[Finding]:
    for what, paths in (("reads", task.reads), ("covers", task.covers)):
        for path in paths:
            there = path in files or path.rstrip("/") in folders
            if there or any(path == each or (each.endswith("/") and path.startswith(each)) for each in owned):
                continue
            near = difflib.get_close_matches(path, files, n=1, cutoff=0.7)
            mend = f"did you mean `{near[0]}`?" if near else "name a file that is there, or one that a task owns"
            yield _error("missing_file", task.id, f"{what} `{path}`, which is not there and which no task writes", mend)


def _folders(files: Iterable[str]) -> frozenset[str]:
    return frozenset(folder for path in files for folder in _above(path))


def _above(path: str) -> Iterator[str]:
    parts = path.rstrip("/").split("/")
    return ("/".join(parts[:length]) for length in range(1, len(parts)))


def _named(known: frozenset[str]) -> str:
    return f"there is: {', '.join(sorted(known))}"


def _error(rule: str, task: str, what: str, mend: str) -> Finding:
    return Finding(Severity.ERROR, rule, task, what, mend)


def _unknown_floor(gate: str, known: frozenset[str]) -> Finding:
    what = f"the floor of `{gate}`: no such gate"
    if near := difflib.get_close_matches(gate, known, n=1, cutoff=0.75):
        return _error("unknown_gate", "", what, f"did you mean `{near[0]}`?")
    return _without_effect("", what, _named(known))


def _without_effect(task: str, what: str, mend: str) -> Finding:
    return Finding(Severity.WARNING, "unknown_gate", task, what, mend)
