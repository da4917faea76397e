"""The decomposition: a specification becomes a plan whose tasks can run side by side.

scaffold, then security, then a schema for each resource (after those it belongs to), then an endpoint each, then its tests;
late references, features, requirements and the final proof beside them. Ids are made of names, never of numbers, so that
re-planning a changed specification keeps the ids of what did not change.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from swarmworks.domain import plan as kinds
from swarmworks.domain import spec as words
from swarmworks.domain.plan import Plan, Stack
from swarmworks.policy.planning import facts
from swarmworks.policy.planning.builder import Shape, build
from swarmworks.policy.planning.model import Action
from swarmworks.policy.planning.names import slug
from swarmworks.policy.planning.requirements import DEFAULT_COVERAGE, coverage_floor, requirement_tasks
from swarmworks.policy.planning.resolve import order_of, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swarmworks.domain.plan import PlannedTask, Source
    from swarmworks.domain.spec import Specification
    from swarmworks.policy.planning.model import Project, Route, Unit

SCAFFOLD, SECURITY, RATE_LIMIT, LOGIN, QUALITY = (
    "scaffold",
    "security",
    "rate-limit",
    "endpoint-auth-login",
    "verify-quality",
)


def decompose(specification: Specification, source: Source, *, floor: float = DEFAULT_COVERAGE) -> Plan:
    """The whole plan; `floor` is the coverage planned where none is asked for. Pure and deterministic: the same specification gives the same plan."""
    project = resolve(specification)
    planner = _Planner(project)
    tasks = list(planner.tasks())
    floor = coverage_floor(project, floor)
    tasks.append(_verify_quality(project, tasks, floor))
    stack = specification.architecture
    return Plan(
        id=slug(specification.name) or "plan",
        name=specification.name,
        description=specification.description,
        stack=Stack(stack.language, stack.framework, stack.database),
        source=source,
        tasks=tuple(tasks),
        floors={"coverage": floor},
    )


class _Planner:
    def __init__(self, project: Project) -> None:
        self._project = project
        self._layout = project.layout
        self._authentication = facts.authentication_facts(project)

    def tasks(self) -> Iterator[PlannedTask]:
        yield self._scaffold()
        if self._project.needs_security:
            yield self._security()
        limit = self._project.spec.requirement(words.RATE_LIMIT)
        if limit:
            yield self._rate_limit(limit)
        for unit in self._project.units:
            yield self._schema(unit)
        for unit in self._project.units:
            if unit.later:
                yield self._links(unit)
        for route in self._project.routes:
            yield self._endpoint(route)
        for route in self._project.routes:
            yield self._tests(route)
        yield from requirement_tasks(self._project, self.ancestry)

    def _scaffold(self) -> PlannedTask:
        specification: dict[str, Any] = {"about": "scaffold", "application": facts.application_facts(self._project)}
        if self._authentication:
            specification["authentication"] = self._authentication
        shape = Shape(SCAFFOLD, kinds.SCAFFOLD, (), self._layout.scaffold)
        return build(self._project, shape, "scaffold", specification, authentication=self._authentication)

    def _security(self) -> PlannedTask:
        asked = [
            each
            for each in self._project.spec.requirements
            if each.kind in {words.AUTHENTICATION, words.PASSWORD_HASHING}
        ]
        specification: dict[str, Any] = {
            "about": "security",
            "requirements": [facts.requirement_facts(each) for each in asked],
        }
        specification |= {"authentication": self._authentication or False, "token_seconds": 3600}
        shape = Shape(SECURITY, kinds.IMPLEMENT_FEATURE, (SCAFFOLD,), (self._layout.security,), convoy="security")
        return build(self._project, shape, "security", specification, authentication=self._authentication)

    def _rate_limit(self, requirement: words.Requirement) -> PlannedTask:
        told = facts.requirement_facts(requirement)
        shape = Shape(RATE_LIMIT, kinds.IMPLEMENT_FEATURE, (SCAFFOLD,), (self._layout.rate_limit,), convoy="rate-limit")
        return build(self._project, shape, "rate_limit", {"about": "rate_limit", "requirement": told}, requirement=told)

    def _schema(self, unit: Unit) -> PlannedTask:
        project, layout = self._project, self._layout
        module = layout.model.format(name=unit.module)
        secret = next((each for each in unit.resource.fields if each.type == "password"), None)
        parents = sorted({link.resource for link in unit.links})
        depends = [SCAFFOLD, *([SECURITY] if secret else []), *(f"schema-{each}" for each in parents)]
        reads = [layout.database, *([layout.security] if secret else [])]
        reads += [layout.model.format(name=project.by_identifier[each].module) for each in parents]
        owns = [module]
        if layout.factory:
            owns.append(layout.factory_of(unit.module))
            reads += [layout.factory_of(project.by_identifier[each].module) for each in parents]
        creator = self._factory_route(unit)
        specification: dict[str, Any] = {"about": "schema", "resource": facts.resource_facts(project, unit)}
        specification["references"] = [facts.summary(project, project.by_identifier[each]) for each in parents]
        specification["factory"] = {
            "module": layout.factory_of(unit.module),
            "function": f"make_{unit.identifier}",
            "through": f"{creator.endpoint.method} {creator.endpoint.path}" if creator else "module",
        }
        if not layout.factory:
            del specification["factory"]
        is_login = project.login is not None and project.login.unit.identifier == unit.identifier
        shape = Shape(
            f"schema-{unit.identifier}",
            kinds.IMPLEMENT_DATABASE,
            tuple(depends),
            tuple(owns),
            tuple(reads),
            convoy=unit.identifier,
        )
        return build(
            project,
            shape,
            "schema",
            specification,
            unit=unit,
            module=module,
            dotted=_dotted(module),
            factory=layout.factory_of(unit.module),
            factory_dotted=_dotted(layout.factory_of(unit.module)),
            secret=secret,
            generated=[each for each in unit.resource.fields if each.generated],
            renamed=[each for each in unit.resource.fields if each.attribute != each.name],
            tables={each.identifier: each.table for each in project.units},
            creator=creator,
            is_login=is_login,
            login=project.login,
            id_type=_id_type(unit),
        )

    def _factory_route(self, unit: Unit) -> Route | None:
        """The endpoint the factory goes through. Whoever must exist before anybody can sign in is made without it, unless it
        is public.
        """
        creator = self._project.creator(unit.identifier)
        if creator is None or not creator.protected or self._project.login is None:
            return creator
        return None if unit.identifier in self._lineage(self._project.login.unit) else creator

    def _lineage(self, unit: Unit) -> list[str]:
        """The resource and everything it must belong to, and so on; in the order found."""
        found: list[str] = []
        pending = [unit.identifier]
        while pending:
            current = pending.pop()
            if current not in found:
                found.append(current)
                pending.extend(link.resource for link in self._project.by_identifier[current].links if link.required)
        return found

    def ancestry(self, unit: Unit) -> list[str]:
        """Tasks that must have landed before the factory of `unit` works: schemas and creating endpoints of its lineage."""
        found: list[str] = []
        for identifier in self._lineage(unit):
            other = self._project.by_identifier[identifier]
            route = self._factory_route(other)
            found.append(f"endpoint-{route.name}" if route else f"schema-{identifier}")
        return found

    def _sign_in(self) -> list[str]:
        """Tasks that must have landed before the fixture `auth_headers` works."""
        login = self._project.login
        if login is None or login.route is None:
            return []
        return [f"endpoint-{login.route.name}", *self.ancestry(login.unit)]

    def _links(self, unit: Unit) -> PlannedTask:
        project, layout = self._project, self._layout
        taken = {each.module for each in project.units} | {each.module for each in project.routes}
        name = f"{unit.identifier}_links"
        name = f"{name}_late" if name in taken else name
        module, test = layout.model.format(name=name), layout.test.format(name=name)
        others = sorted({link.resource for link in unit.later})
        depends = (f"schema-{unit.identifier}", *(f"schema-{each}" for each in others if each != unit.identifier))
        specification: dict[str, Any] = {
            "about": "links",
            "resource": facts.resource_facts(project, unit),
            "late": [facts.link_facts(project, link, later=True) for link in unit.later],
            "references": [
                facts.summary(project, project.by_identifier[each]) for each in others if each != unit.identifier
            ],
            "module": module,
            "migration": f"900_{unit.table}_links",
            "test": test,
        }
        reads = [
            layout.model.format(name=unit.module),
            *(layout.model.format(name=project.by_identifier[each].module) for each in others),
        ]
        shape = Shape(
            f"links-{unit.identifier}",
            kinds.IMPLEMENT_DATABASE,
            depends,
            (module, test),
            _distinct([layout.database, *reads]),
            convoy=unit.identifier,
        )
        return build(
            project,
            shape,
            "links",
            specification,
            unit=unit,
            links_module=module,
            links_test=test,
            links_dotted=_dotted(module),
            tables={each.identifier: each.table for each in project.units},
        )

    def _endpoint(self, route: Route) -> PlannedTask:
        project, layout = self._project, self._layout
        module = layout.endpoint.format(name=route.module)
        about, owner = route.about, self._owner(route)
        needs_security = route.protected or route.action is Action.LOGIN
        units = _distinct([about.identifier, owner.identifier])
        depends = _distinct([*(f"schema-{each}" for each in units), *([SECURITY] if needs_security else [])])
        reads = [layout.database, *(layout.model.format(name=project.by_identifier[each].module) for each in units)]
        reads += [layout.security] if needs_security else []
        specification: dict[str, Any] = {
            "about": "endpoint",
            "endpoint": facts.endpoint_facts(project, route),
            "resource": facts.resource_facts(project, about),
        }
        if owner is not about:
            specification["owner"] = facts.summary(project, owner)
        if self._authentication and needs_security:
            specification["authentication"] = self._authentication
        shape = Shape(
            f"endpoint-{route.name}",
            kinds.IMPLEMENT_ENDPOINT,
            depends,
            (module,),
            tuple(reads),
            convoy=about.identifier,
        )
        return build(
            project,
            shape,
            "endpoint",
            specification,
            route=route,
            module=module,
            dotted=_dotted(module),
            about=about,
            about_dotted=_dotted(layout.model.format(name=about.module)),
            owner=owner,
            links=(*about.links, *about.later),
            login=project.login,
            order=order_of(route.endpoint),
            success=facts.success_status(route),
            item=bool(route.endpoint.parameters),
            unknown_404=bool(route.endpoint.parameters) and route.action is not Action.LOGIN,
            id_type=_id_type(owner),
        )

    def _owner(self, route: Route) -> Unit:
        """The resource whose id stands in the path."""
        if route.target is None or not route.key:
            return route.about
        link = next(link for link in route.target.resource.belongs_to if link.key == route.key)
        return self._project.by_identifier[link.resource]

    def _tests(self, route: Route) -> PlannedTask:
        project, layout = self._project, self._layout
        module, test = layout.endpoint.format(name=route.module), layout.test.format(name=route.module)
        about, owner = route.about, self._owner(route)
        depends = [f"endpoint-{route.name}", *self.ancestry(about), *self.ancestry(owner)]
        if self._uses_token(route):
            depends += self._sign_in()
        units = _distinct([about.identifier, owner.identifier])
        models = [layout.model.format(name=project.by_identifier[each].module) for each in units]
        factories = [layout.factory_of(project.by_identifier[each].module) for each in units] if layout.factory else []
        specification: dict[str, Any] = {
            "about": "tests",
            "endpoint": facts.endpoint_facts(project, route),
            "resource": facts.resource_facts(project, about),
            "test": test,
            "cases": facts.cases(project, route),
            "references": [facts.summary(project, project.by_identifier[link.resource]) for link in about.links],
        }
        if owner is not about:
            specification["owner"] = facts.summary(project, owner)
        if self._authentication:
            specification["authentication"] = self._authentication
        shape = Shape(
            f"tests-{route.name}",
            kinds.WRITE_TESTS,
            tuple(_distinct(depends)),
            (test,),
            (module, *models, layout.support, *factories),
            covers=(module,),
            convoy=about.identifier,
        )
        return build(
            project,
            shape,
            "tests",
            specification,
            route=route,
            module=module,
            test=test,
            secured=bool(self._authentication),
            no_such_id=facts.no_such_id(owner),
        )

    def _uses_token(self, route: Route) -> bool:
        """Whether this endpoint, or a factory its tests need, asks for a token."""
        if route.protected:
            return True
        lineage = {*self._lineage(route.about), *self._lineage(self._owner(route))}
        makers = [self._factory_route(self._project.by_identifier[each]) for each in lineage]
        return any(maker is not None and maker.protected for maker in makers)


def _verify_quality(project: Project, tasks: list[PlannedTask], floor: float) -> PlannedTask:
    needed = {dependency for task in tasks for dependency in task.depends_on}
    last = tuple(task.id for task in tasks if task.id not in needed)
    asked = [facts.requirement_facts(each) for each in project.spec.requirements if each.area == "quality"]
    specification: dict[str, Any] = {"about": "quality", "coverage_floor": floor, "requirements": asked}
    shape = Shape(QUALITY, kinds.VERIFY_QUALITY, last, (project.layout.quality_tests,))
    return build(project, shape, "verify_quality", specification, floor=f"{floor:g}")


def _distinct(items: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _dotted(path: str) -> str:
    return re.sub(r"\.\w+$", "", path).replace("/", ".")


def _id_type(unit: Unit) -> str:
    return "str" if unit.resource.id_type == "uuid" else "int"
