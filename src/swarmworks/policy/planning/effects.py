"""What a task of a plan can do to the repository, in a line for whoever approves the plan. Used by the inbox and the terminal."""

from __future__ import annotations

from swarmworks.domain.plan import PlannedTask

MOST_OWNED = 12
MOST_RUN = 1_000


def effects(task: PlannedTask) -> str:
    """`writes app/a.py, tests/; runs: ruff format app`."""
    owned = ", ".join(task.owns[:MOST_OWNED]) or "nothing"
    more = f" and {len(task.owns) - MOST_OWNED} more" if len(task.owns) > MOST_OWNED else ""
    return f"writes {owned}{more}{_runs(task.run.strip())}"


def _runs(command: str) -> str:
    if not command:
        return ""
    more = f" ({len(command) - MOST_RUN} more characters)" if len(command) > MOST_RUN else ""
    return f"; runs: {command[:MOST_RUN].replace(chr(10), ' ␤ ')}{more}"
