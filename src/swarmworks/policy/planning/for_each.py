"""A plan by one rule: the same shell command for every file that is meant, a task each. No model is asked, not even to plan."""

from __future__ import annotations

import hashlib
import shlex
from typing import TYPE_CHECKING

from swarmworks.base.ids import TaskId
from swarmworks.domain.plan import COMMAND, Acceptance, Estimate, Plan, PlannedTask, Source, Stack
from swarmworks.policy.planning.fit import PROVES_NOTHING
from swarmworks.policy.planning.names import slug
from swarmworks.policy.wording import title

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from swarmworks.policy.planning.from_words import Facts

PLACE = "{}"
"""Where a task's path goes in the command, quoted for a shell."""

ROLE = "mechanic"
ESTIMATE = Estimate(tokens=0, minutes=1.0)
MOST_ID = 80


def plan_for_each(run: str, paths: Sequence[str], facts: Facts) -> Plan:
    """`run` holds PLACE. Every gate of the project is required of every task, and the one that runs the tests, if there is one,
    proves it.
    """
    digest = hashlib.sha256("\0".join((run, *paths)).encode()).hexdigest()
    gates = tuple(gate.name for gate in facts.gates)
    proof = facts.tests or next((name for name in gates if name not in PROVES_NOTHING), gates[0])
    tasks = tuple(
        PlannedTask(
            id=TaskId(name),
            kind=COMMAND,
            title=title(f"{run.replace(PLACE, path)}"),
            role=ROLE,
            instructions="",
            output=f"`{path}`, as the command leaves it.",
            owns=(path,),
            run=run.replace(PLACE, shlex.quote(f"./{path}" if path.startswith("-") else path)),
            acceptance=(Acceptance(f"`{path}` passes as it is then", proof),),
            gates=gates,
            estimate=ESTIMATE,
        )
        for name, path in zip(_ids(paths), paths, strict=True)
    )
    stack, source = Stack(facts.language, facts.framework), Source("command", "", digest)
    return Plan(f"each-{digest[:12]}", title(run), "One command for each file", stack, source, tasks)


def _ids(paths: Sequence[str]) -> Iterator[str]:
    """Names made of paths; where two paths make one name, with a number."""
    taken: set[str] = set()
    for path in paths:
        name = slug(path)[:MOST_ID].strip("-") or "file"
        number = 1
        while (found := name if number == 1 else f"{name}-{number}") in taken:
            number += 1
        taken.add(found)
        yield found
