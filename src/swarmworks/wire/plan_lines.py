"""Where in a plan file something stands: the line of a finding of the lint, which knows tasks and not lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.wire.yaml_lines import Listing, Mapping, Scalar, parse_document

if TYPE_CHECKING:
    from swarmworks.wire.yaml_lines import Node

KEY_OF_RULE = {
    "unknown_dependency": "depends_on",
    "cycle": "depends_on",
    "orphan": "depends_on",
    "no_instructions": "instructions",
    "too_short": "instructions",
    "no_output": "output",
    "unproved_acceptance": "acceptance",
    "proves_nothing": "acceptance",
    "gate_contradiction": "not_required",
    "gate_without_reason": "not_required",
    "unknown_gate": "gates",
    "bad_path": "owns",
    "overlap": "owns",
    "protected_file": "owns",
    "owns_the_plan": "owns",
    "folder_as_file": "owns",
    "file_as_folder": "owns",
    "below_a_file": "owns",
    "missing_file": "reads",
    "late_neighbour": "reads",
    "names_no_issue": "title",
}


class PlanLines:
    """Of a document that `parse_plan` has read. Unknown things stand on the first line of what holds them."""

    def __init__(self, document: str, data: bytes) -> None:
        self._root = parse_document(document, data)
        self._tasks: dict[str, Mapping] = {}
        tasks = self._root.get("tasks")
        if tasks is not None and isinstance(tasks.value, Listing):
            for item in tasks.value.items:
                task_id = item.get("id") if isinstance(item, Mapping) else None
                if isinstance(item, Mapping) and task_id is not None and isinstance(task_id.value, Scalar):
                    self._tasks.setdefault(task_id.value.text, item)

    def line(self, task: str, rule: str, what: str = "") -> int:
        """The line of the value that `what` quotes, else of the rule's key, else of the task, else of `tasks`."""
        node = self._tasks.get(task)
        if node is None:
            tasks = self._root.get("tasks")
            return tasks.line if tasks is not None else 0
        quoted = what.split("`")[1::2]
        entry = node.get(KEY_OF_RULE.get(rule, ""))
        if entry is None:
            return _quoted_line(node, quoted) or node.line
        return _quoted_line(entry.value, quoted) or entry.line


def _quoted_line(node: Node, quoted: list[str]) -> int:
    if isinstance(node, Scalar):
        return node.line if node.text in quoted else 0
    items = node.items if isinstance(node, Listing) else tuple(entry.value for entry in node.entries)
    return next((line for line in (_quoted_line(item, quoted) for item in items) if line), 0)
