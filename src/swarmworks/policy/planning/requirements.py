"""Requirements become tasks: each that can be proved by a test gets one, the others are gates every task must pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from swarmworks.domain import plan as kinds
from swarmworks.domain import spec as words
from swarmworks.policy.planning import facts
from swarmworks.policy.planning.builder import Shape, build
from swarmworks.policy.planning.model import Action, Project, Route, Unit
from swarmworks.policy.planning.names import mark, slug, snake, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swarmworks.domain.plan import PlannedTask
    from swarmworks.domain.spec import Requirement

    Ancestry = Callable[[Unit], list[str]]
    Subjects = tuple[list[Unit], list[Route], dict[str, Any]]

DEFAULT_COVERAGE = 80.0
BY_GATE = frozenset({words.COVERAGE, words.LINT, words.TYPES})
_MAX_MEASURED = 12
_LONGEST_NAME = 94  # with `tests-` in front, an id of the 100 characters that a plan may hold


def coverage_floor(project: Project, default: float = DEFAULT_COVERAGE) -> float:
    """Percent: the highest one asked for."""
    asked = [each.numbers["percent"] for each in project.spec.requirements if each.kind == words.COVERAGE]
    return max(asked, default=default)


def requirement_tasks(project: Project, ancestry: Ancestry) -> Iterator[PlannedTask]:
    """One test task for each requirement that is not a gate; two of one kind are told apart by their words, and where
    these do not, by a mark of them. One that is written twice is one.
    """
    taken = {_task_id(route.name) for route in project.routes}
    told: set[tuple[str, str]] = set()
    for requirement in project.spec.requirements:
        if requirement.kind in BY_GATE or not concerns(project, requirement):
            continue
        if (requirement.kind, requirement.text) in told:
            continue
        told.add((requirement.kind, requirement.text))
        name = next(each for each in _names(requirement) if _task_id(each) not in taken)
        taken.add(_task_id(name))
        yield _task(project, requirement, name, ancestry)


def _task_id(name: str) -> str:
    return f"tests-{name.replace('_', '-')}"


def _names(requirement: Requirement) -> Iterator[str]:
    """What a requirement's task and file may be called, the plainest first."""
    said = snake(slug(requirement.text))
    custom = requirement.kind == words.CUSTOM
    plain = (said[:40].strip("_") or f"{words.CUSTOM}_{mark(requirement.text)}") if custom else requirement.kind
    yield plain
    if said:
        yield within(f"{plain}_{said[:60].strip('_')}", _LONGEST_NAME, "_")
    yield f"{plain}_{mark(requirement.text)}"
    yield f"requirement_{plain}_{mark(requirement.text)}"


def concerns(project: Project, requirement: Requirement) -> bool:
    """Whether anything is specified that the requirement's tests could be about."""
    if requirement.kind == words.PASSWORD_HASHING:
        return any(_secrets(project))
    return bool(project.routes) or requirement.kind in {words.RATE_LIMIT, words.CUSTOM}


def _task(project: Project, requirement: Requirement, name: str, ancestry: Ancestry) -> PlannedTask:
    test = project.layout.requirement_test.format(name=name)
    told = facts.requirement_facts(requirement)
    units, routes, extra = _subjects(project, requirement)
    specification: dict[str, Any] = {"about": f"tests_{requirement.kind}", "requirement": told, "test": test} | extra
    authentication = facts.authentication_facts(project)
    if authentication:
        specification["authentication"] = authentication
    depends = [f"endpoint-{route.name}" for route in routes]
    for unit in units:
        depends += ancestry(unit)
    if project.login and project.login.route and routes:
        depends += [f"endpoint-{project.login.route.name}", *ancestry(project.login.unit)]
    feature, covers = _feature(project, requirement)
    depends = [feature, *depends] if feature else depends
    reads = [*covers, project.layout.support]
    if project.layout.factory:
        reads += [project.layout.factory_of(unit.module) for unit in units]
    shape = Shape(
        _task_id(name),
        kinds.WRITE_TESTS,
        tuple(dict.fromkeys(depends or ["scaffold"])),
        (test,),
        tuple(dict.fromkeys(reads)),
        covers=covers,
        convoy={
            words.RATE_LIMIT: "rate-limit",
            words.AUTHENTICATION: "security",
            words.PASSWORD_HASHING: "security",
        }.get(requirement.kind),
    )
    return build(
        project,
        shape,
        f"tests_{requirement.kind}",
        specification,
        requirement=told,
        test=test,
        authentication=authentication,
    )


def _feature(project: Project, requirement: Requirement) -> tuple[str, tuple[str, ...]]:
    """The task whose work the tests prove, and the files they answer for."""
    if requirement.kind == words.RATE_LIMIT:
        return "rate-limit", (project.layout.rate_limit,)
    if requirement.kind == words.AUTHENTICATION:
        return "security", (project.layout.security,)
    return ("security", ()) if requirement.kind == words.PASSWORD_HASHING else ("", ())


def _subjects(project: Project, requirement: Requirement) -> Subjects:
    """Resources made by the tests, endpoints called, and the facts that list them."""
    return _SUBJECTS.get(requirement.kind, _everything)(project)


def _everything(project: Project) -> Subjects:
    routes = list(project.routes)
    return _owners(routes), routes, {"endpoints": [_called(project, route) for route in routes]}


def _measured(project: Project) -> Subjects:
    readers = [
        route for route in project.routes if route.endpoint.method == "GET" and route.action is not Action.CURRENT
    ]
    readers = readers[:_MAX_MEASURED]
    return _owners(readers), readers, {"measured": [_called(project, route) for route in readers]}


def _lists(project: Project) -> Subjects:
    lists = [route for route in project.routes if route.action is Action.LIST]
    return _owners(lists), lists, {"lists": [_called(project, route) for route in lists]}


def _bodies(project: Project) -> Subjects:
    takers = [
        route for route in project.routes if route.action in {Action.CREATE, Action.UPDATE, Action.CREATE_RELATED}
    ]
    return _owners(takers), takers, {"bodies": [_called(project, route) for route in takers]}


def _free_texts(project: Project) -> Subjects:
    entries = [(unit, field) for unit in project.units if (field := _free_text(unit))]
    units = [unit for unit, _ in entries]
    makers = [route for route in project.routes if route.action is Action.CREATE and route.unit in units]
    return units, makers, {"texts": [facts.summary(project, unit) | {"field": field} for unit, field in entries]}


def _hashed(project: Project) -> Subjects:
    units = list(_secrets(project))
    makers = [route for route in project.routes if route.unit in units and route.action is Action.CREATE]
    return units, makers, {"secrets": [facts.summary(project, unit) for unit in units]}


def _guarded(project: Project) -> Subjects:
    routes = list(project.routes)
    guarded = [_called(project, route) for route in routes if route.protected]
    public = [_called(project, route) for route in routes if not route.protected]
    return [], routes, {"protected": guarded, "public": public}


def _nothing(_project: Project) -> Subjects:
    return [], [], {}


_SUBJECTS: dict[str, Callable[[Project], Subjects]] = {
    words.LATENCY: _measured,
    words.THROUGHPUT: _measured,
    words.CONCURRENCY: _measured,
    words.PAGINATION: _lists,
    words.INPUT_VALIDATION: _bodies,
    words.SQL_INJECTION: _free_texts,
    words.PASSWORD_HASHING: _hashed,
    words.AUTHENTICATION: _guarded,
    words.RATE_LIMIT: _nothing,
}


def _called(project: Project, route: Route) -> dict[str, Any]:
    called: dict[str, Any] = {
        "method": route.endpoint.method,
        "path": route.endpoint.path,
        "protected": route.protected,
    }
    if project.layout.factory:
        unit = route.unit
        called |= {"factory": project.layout.factory_of(unit.module), "make": f"make_{unit.identifier}"}
    return called


def _owners(routes: list[Route]) -> list[Unit]:
    return list({route.unit.identifier: route.unit for route in routes}.values())


def _secrets(project: Project) -> Iterator[Unit]:
    for unit in project.units:
        if any(field.type == "password" for field in unit.resource.fields):
            yield unit


def _free_text(unit: Unit) -> str | None:
    fields = (
        each
        for each in unit.resource.fields
        if each.type in {"string", "text"} and not each.pattern and not each.generated
    )
    return next((each.name for each in fields), None)
