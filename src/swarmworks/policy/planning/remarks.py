"""What a plan reads into a specification, or cannot give as it was asked: told to the person who reviews it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swarmworks.domain import spec as words
from swarmworks.policy.planning.model import Action
from swarmworks.policy.planning.requirements import BY_GATE, DEFAULT_COVERAGE, concerns, coverage_floor
from swarmworks.policy.planning.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swarmworks.domain.spec import Specification
    from swarmworks.policy.planning.model import Project


def remarks(specification: Specification, *, floor: float | None = DEFAULT_COVERAGE) -> tuple[str, ...]:
    """`floor`: the coverage planned where none is asked for; None where no gate measures it."""
    project = resolve(specification)
    return (*_endpoints(project), *_resources(project), *_requirements(project, floor), *_stack(project))


def _endpoints(project: Project) -> Iterator[str]:
    for route in project.routes:
        endpoint = route.endpoint
        if route.action is Action.CUSTOM and not endpoint.sets and not endpoint.description:
            yield f"{endpoint.method} {endpoint.path} ({endpoint.verb}): nothing says what it does; add words or `sets:`"


def _resources(project: Project) -> Iterator[str]:
    for unit in project.units:
        for link in unit.later:
            yield f"{unit.identifier}.{link.key} is nullable: it closes a circle of references, its constraint comes later"
        if not unit.resource.endpoints:
            yield f"{unit.identifier} has no endpoints: it gets a schema only"


def _requirements(project: Project, floor: float | None) -> Iterator[str]:
    for each in project.spec.requirements:
        other = re.search(r"bcrypt|argon2?|pbkdf2", each.text.lower())
        if other and each.kind == words.PASSWORD_HASHING and project.layout.texts == "fastapi":
            yield f"`{each.text}`: scrypt is planned instead of {other.group()}, from the standard library"
        if each.kind not in BY_GATE and not concerns(project, each):
            yield f"`{each.text}`: nothing is specified that it could be shown on; no task is planned for it"
        if each.kind == words.CUSTOM:
            yield f"`{each.text}`: no known requirement; a task of its own writes tests from these words"
    if floor is not None and project.spec.requirement(words.COVERAGE) is None:
        yield f"no coverage floor is required: {coverage_floor(project, floor):g} % is planned"


def _stack(project: Project) -> Iterator[str]:
    stack = project.spec.architecture
    if project.layout.texts != "fastapi":
        yield f"{stack.framework} on {stack.database}: a general layout is planned; starter files come for FastAPI on SQLite only"
