"""Task prompts as bytes on the wire, put together from the contract's headings by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def prompt(
    *,
    task: str,
    kind: str,
    owns: list[str],
    specification: str,
    title: str = "Do the task",
    instructions: str = "Follow the specification.",
    contracts: tuple[str, ...] = (),
    files: Mapping[str, str] | None = None,
    stack: str = "python, fastapi, sqlite",
    rejection: str = "",
) -> str:
    parts = [
        f"# Task {task}: {title}",
        f"Kind: {kind}",
        "Role: implementer",
        "Plan: Test",
        f"Stack: {stack}",
        f"Attempt: {2 if rejection else 1} of 3",
        "## What to do",
        instructions,
        "## Files you own",
        *(f"- {path}" for path in owns),
    ]
    if contracts:
        parts += ["## Interfaces to keep", *(f"- {each}" for each in contracts)]
    parts += ["## Specification", "```yaml", specification.strip(), "```"]
    if files:
        parts.append("## Neighbouring files")
        for path, text in files.items():
            parts += [f"### {path}", "````python", text.rstrip("\n"), "````"]
    if rejection:
        parts += ["## Why the last attempt was rejected", "```yaml", rejection.strip(), "```"]
    return "\n".join(parts) + "\n"


def planned(task: Any, plan: Any, root: Path) -> str:
    """The prompt of a planned task, with its neighbours as they stand in `root`."""
    stack = plan.stack
    return prompt(
        task=task.id,
        kind=task.kind,
        title=task.title,
        owns=list(task.owns),
        specification=task.specification,
        instructions=task.instructions,
        contracts=tuple(task.contracts),
        files={path: (root / path).read_text() for path in task.reads if (root / path).is_file()},
        stack=f"{stack.language}, {stack.framework}, {stack.database}",
    )
