"""`python -m swarmworks.domain.diagrams > docs/states.md`: every transition table as a diagram, for the reader of the docs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from swarmworks.domain.budget import RESERVATION_TABLE
from swarmworks.domain.change import CHANGE_TABLE
from swarmworks.domain.delivery import DELIVERY_TABLE
from swarmworks.domain.lease import WORK_TABLE
from swarmworks.domain.question import QUESTION_TABLE
from swarmworks.domain.review import REVIEW_TABLE
from swarmworks.domain.session import SESSION_TABLE
from swarmworks.domain.swarm import SWARM_TABLE
from swarmworks.domain.task import TASK_TABLE

if TYPE_CHECKING:
    from swarmworks.domain.table import TransitionTable

TABLES: tuple[TransitionTable[Any, Any], ...] = (
    SWARM_TABLE,
    TASK_TABLE,
    SESSION_TABLE,
    WORK_TABLE,
    CHANGE_TABLE,
    REVIEW_TABLE,
    QUESTION_TABLE,
    DELIVERY_TABLE,
    RESERVATION_TABLE,
)

_HEAD = """# States

Generated from the transition tables in `src/swarmworks/domain/` by `python -m swarmworks.domain.diagrams`; a test compares
them. There is no other way for anything to move: the database's checks come from the same tables.
"""


def render() -> str:
    """The whole page, Markdown with Mermaid."""
    parts = [_HEAD]
    parts += [f"## {table.name.capitalize()}\n\n```mermaid\n{table.mermaid()}\n```\n" for table in TABLES]
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(render())
