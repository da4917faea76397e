"""The plan file: a plan as YAML that a person reads, edits and versions. `format: 1`. What is written is read back exactly."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import yaml

from swarmworks.base.errors import InvalidDocumentError, Problem
from swarmworks.base.ids import TaskId
from swarmworks.domain.plan import Acceptance, Estimate, Plan, PlannedTask, Source, Stack
from swarmworks.wire.yaml_lines import (
    Entry,
    Listing,
    Mapping,
    Scalar,
    parse_document,
    read_document,
    unknown_keys,
)

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
MAX_PLAN_BYTES = 32 * 1024 * 1024
MAX_TASKS = 20_000
_HEADER = """\
# A plan: tasks, what each may write, what each must prove, and the order between them.
# Edit anything: texts, owned files, dependencies, gates, estimates; add and remove tasks. Then run `swarm check` on it.
#   owns        paths the task may write; a trailing slash is a whole folder
#   reads       neighbouring files put before the agent
#   depends_on  tasks that must have landed before
#   gates       checks that must pass; not_required: {gate: the reason it does not apply}
#   priority    higher runs earlier among tasks that are ready
#   run         the shell command that does a task of kind `command`, without a model
# The next line tells `swarm plan` whether the file was edited by hand; an edited plan is never overwritten unasked.
"""
_GENERATED = re.compile(r"^# generated: ([0-9a-f]{64})$", re.MULTILINE)
_PLAN_KEYS = ("format", "id", "name", "description", "stack", "source", "floors", "tasks")
_TASK_KEYS = (
    "id",
    "kind",
    "title",
    "role",
    "depends_on",
    "owns",
    "reads",
    "covers",
    "run",
    "instructions",
    "output",
    "contracts",
    "acceptance",
    "gates",
    "not_required",
    "specification",
    "convoy",
    "priority",
    "estimate",
)
_TASK_NEEDS = ("id", "kind", "title", "role", "instructions", "output")
_COMMAND_ESTIMATE = Estimate(tokens=0, minutes=1.0)
_TASK_ID = re.compile(r"[a-z0-9](?:[a-z0-9_-]|\.(?!\.|$)){0,99}")
TASK_ID_MEND = "use lower-case letters, digits, `-`, `_` and single `.` inside; it must not end in `.lock`"


def is_task_id(text: str) -> bool:
    """Whether `text` can name a task. It becomes part of git references and folders, which refuse some names."""
    return _TASK_ID.fullmatch(text) is not None and not text.endswith(".lock")


class _Dumper(yaml.CSafeDumper):
    """Texts of several lines stand as literal blocks, nothing as an alias."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the overridden signature
        return True


def _represent_text(dumper: Any, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def dump_plan(plan: Plan) -> str:
    """The file's text, with the header that explains it and the digest of what was generated."""
    body = yaml.dump(_plan_data(plan), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100_000)
    head, mark, tasks = body.partition("\ntasks:\n")
    body = head + mark + tasks.replace("\n- id: ", "\n\n- id: ")
    return f"{_HEADER}# generated: {_digest(body)}\n\n{body}"


def edited_by_hand(text: str) -> bool:
    """Whether the file is anything but what `dump_plan` wrote: edited, or not written by it at all."""
    match = _GENERATED.search(text)
    return match is None or _digest(text[match.end() :].lstrip("\n")) != match.group(1)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _plan_data(plan: Plan) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "id": plan.id,
        "name": plan.name,
        "description": plan.description,
        "stack": {"language": plan.stack.language, "framework": plan.stack.framework, "database": plan.stack.database},
        "source": {"kind": plan.source.kind, "path": plan.source.path, "sha256": plan.source.sha256},
        "floors": dict(plan.floors),
        "tasks": [_task_data(task) for task in plan.tasks],
    }


def _task_data(task: PlannedTask) -> dict[str, Any]:
    """Empty lists and defaults are left out: a task reads as what it is."""
    data: dict[str, Any] = {"id": task.id, "kind": task.kind, "title": task.title, "role": task.role}
    data["depends_on"] = list(task.depends_on)
    data |= {name: list(getattr(task, name)) for name in ("owns", "reads", "covers")}
    data |= {
        "run": task.run,
        "instructions": task.instructions,
        "output": task.output,
        "contracts": list(task.contracts),
    }
    data["acceptance"] = [{"statement": each.statement, "gate": each.gate} for each in task.acceptance]
    data |= {"gates": list(task.gates), "not_required": dict(task.not_required), "specification": task.specification}
    data |= {"convoy": task.convoy, "priority": task.priority}
    data = {
        key: value for key, value in data.items() if value not in ([], {}, None, 0) and (value or key in _TASK_NEEDS)
    }
    if task.estimate != _estimate_of(task.run):
        data["estimate"] = {"tokens": task.estimate.tokens, "minutes": task.estimate.minutes}
    return data


def _estimate_of(run: str) -> Estimate:
    """What a task is taken for that says nothing of it."""
    return _COMMAND_ESTIMATE if run else Estimate()


def load_plan(path: Path) -> Plan:
    """Raises InvalidDocumentError with every problem of form. What the plan means is checked by `policy.lint`."""
    return parse_plan(str(path), read_document(path, MAX_PLAN_BYTES))


def parse_plan(document: str, data: bytes) -> Plan:
    reader = _PlanReader()
    plan = reader.plan(parse_document(document, data))
    if reader.problems:
        raise InvalidDocumentError(document, reader.problems)
    return plan


class _PlanReader:
    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def _problem(self, line: int, what: str, mend: str = "") -> None:
        self.problems.append(Problem(line, what, mend))

    def plan(self, root: Mapping) -> Plan:
        self._format(root)
        self.problems.extend(unknown_keys(root, _PLAN_KEYS, "the plan"))
        self._needs(root, ("id", "name", "tasks"), "the plan")
        stack = self._texts(root.get("stack"), ("language", "framework", "database"))
        source = self._texts(root.get("source"), ("kind", "path", "sha256"))
        return Plan(
            id=self._text(root, "id"),
            name=self._text(root, "name"),
            description=self._text(root, "description"),
            stack=Stack(stack.get("language", ""), stack.get("framework", ""), stack.get("database", "")),
            source=Source(source.get("kind", "text"), source.get("path", ""), source.get("sha256", "")),
            tasks=self._tasks(root.get("tasks")),
            floors=self._numbers(root.get("floors")),
        )

    def _format(self, root: Mapping) -> None:
        entry = root.get("format")
        if entry is None:
            self._problem(root.line, "the plan has no `format`", f"add `format: {FORMAT}` at the top")
        elif not isinstance(entry.value, Scalar) or entry.value.text != str(FORMAT):
            self._problem(
                entry.line,
                "a format this version cannot read",
                f"write `format: {FORMAT}`, or use the version that wrote the file",
            )

    def _needs(self, node: Mapping, keys: tuple[str, ...], where: str) -> None:
        for key in keys:
            entry = node.get(key)
            if entry is None or (isinstance(entry.value, Scalar) and entry.value.null):
                self._problem(entry.line if entry else node.line, f"{where} has no `{key}`", f"add `{key}:`")

    def _text(self, node: Mapping, key: str) -> str:
        entry = node.get(key)
        if entry is None:
            return ""
        if not isinstance(entry.value, Scalar):
            self._problem(entry.line, f"`{key}` must be text", f"write `{key}: some words`")
            return ""
        return "" if entry.value.null else entry.value.text

    def _texts(self, entry: Entry | None, keys: tuple[str, ...] | None) -> dict[str, str]:
        """A mapping of texts; `keys` are the known ones, None for any."""
        if entry is None:
            return {}
        if not isinstance(entry.value, Mapping):
            self._problem(entry.line, f"`{entry.key}` must be a mapping", "write `key: value` lines below it")
            return {}
        if keys is not None:
            self.problems.extend(unknown_keys(entry.value, keys, f"`{entry.key}`"))
        return {each.key: self._text(entry.value, each.key) for each in entry.value.entries}

    def _numbers(self, entry: Entry | None) -> dict[str, float]:
        return {
            key: self._float(entry.line if entry else 0, key, text) for key, text in self._texts(entry, None).items()
        }

    def _float(self, line: int, key: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            self._problem(line, f"`{key}` must be a number from 0, not `{text}`", f"write `{key}: 1`")
            return 0.0
        return value

    def _whole(self, node: Mapping, key: str, default: int) -> int:
        entry = node.get(key)
        if entry is None:
            return default
        text = self._text(node, key)
        if not re.fullmatch(r"-?\d{1,12}", text):
            self._problem(entry.line, f"`{key}` must be a whole number, not `{text}`", f"write `{key}: {default}`")
            return default
        return int(text)

    def _tasks(self, entry: Entry | None) -> tuple[PlannedTask, ...]:
        if entry is None:
            return ()
        if not isinstance(entry.value, Listing):
            self._problem(entry.line, "`tasks` must be a list", "write each task after `- id: ...`")
            return ()
        if len(entry.value.items) > MAX_TASKS:
            self._problem(entry.line, f"more than {MAX_TASKS} tasks", "split the plan")
            return ()
        tasks: list[PlannedTask] = []
        for item in entry.value.items:
            if isinstance(item, Mapping):
                tasks.append(self._task(item))
            else:
                self._problem(item.line, "a task must be a mapping", "write `- id: ...` and its keys below")
        return tuple(tasks)

    def _task(self, node: Mapping) -> PlannedTask:
        task_id = self._text(node, "id")
        where = f"task `{task_id}`" if task_id else "the task"
        self.problems.extend(unknown_keys(node, _TASK_KEYS, where))
        self._needs(node, ("id", "kind"), where)
        if task_id and not is_task_id(task_id):
            entry = node.get("id")
            self._problem(
                entry.line if entry else node.line,
                f"`{task_id}` cannot be a task's id",
                TASK_ID_MEND,
            )
        return PlannedTask(
            id=TaskId(task_id),
            kind=self._text(node, "kind"),
            title=self._text(node, "title"),
            role=self._text(node, "role"),
            instructions=self._text(node, "instructions"),
            output=self._text(node, "output"),
            depends_on=tuple(TaskId(each) for each in self._list(node, "depends_on")),
            owns=self._list(node, "owns"),
            reads=self._list(node, "reads"),
            specification=self._text(node, "specification"),
            contracts=self._list(node, "contracts"),
            acceptance=self._acceptance(node.get("acceptance")),
            gates=self._list(node, "gates"),
            not_required=self._texts(node.get("not_required"), None),
            covers=self._list(node, "covers"),
            convoy=self._text(node, "convoy") or None,
            priority=self._whole(node, "priority", 0),
            estimate=self._estimate(node.get("estimate"), _estimate_of(self._text(node, "run"))),
            run=self._text(node, "run"),
        )

    def _list(self, node: Mapping, key: str) -> tuple[str, ...]:
        entry = node.get(key)
        if entry is None or (isinstance(entry.value, Scalar) and entry.value.null):
            return ()
        if not isinstance(entry.value, Listing):
            self._problem(entry.line, f"`{key}` must be a list", f"write `{key}: [one, two]`")
            return ()
        for item in entry.value.items:
            if not isinstance(item, Scalar) or (item.null and not item.quoted):
                self._problem(
                    item.line,
                    f"an entry of `{key}` must be text",
                    "write one text after each `- `; quote it when it holds `: `",
                )
        return tuple(item.text for item in entry.value.items if isinstance(item, Scalar))

    def _acceptance(self, entry: Entry | None) -> tuple[Acceptance, ...]:
        if entry is None:
            return ()
        if not isinstance(entry.value, Listing):
            self._problem(
                entry.line, "`acceptance` must be a list", "write `- statement: ...` and `gate: ...` below it"
            )
            return ()
        found: list[Acceptance] = []
        for item in entry.value.items:
            if not isinstance(item, Mapping):
                self._problem(
                    item.line,
                    "an acceptance needs a statement and a gate",
                    "write `- statement: ...` and `gate: ...` below it",
                )
                continue
            self.problems.extend(unknown_keys(item, ("statement", "gate"), "acceptance"))
            self._needs(item, ("statement", "gate"), "acceptance")
            found.append(Acceptance(self._text(item, "statement"), self._text(item, "gate")))
        return tuple(found)

    def _estimate(self, entry: Entry | None, default: Estimate) -> Estimate:
        if entry is None:
            return default
        self._texts(entry, ("tokens", "minutes"))
        if not isinstance(entry.value, Mapping):
            return default
        minutes = entry.value.get("minutes")
        tokens = self._whole(entry.value, "tokens", default.tokens)
        if tokens < 0:
            self._problem(entry.line, "`tokens` must not be negative", "write a number from 0")
        if minutes is None:
            return Estimate(tokens, default.minutes)
        return Estimate(tokens, self._float(minutes.line, "minutes", self._text(entry.value, "minutes")))
