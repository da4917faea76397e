"""Specification to `Project`: every decision about names, order and meaning, before any task is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from swarmworks.domain import spec as words
from swarmworks.policy.planning.layout import layout_for
from swarmworks.policy.planning.model import Action, Login, Project, Route, Unit
from swarmworks.policy.planning.names import class_name, module_name, plural, singular, slug, snake, within

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swarmworks.domain.spec import Endpoint, Resource, Specification

_VERBS = {
    Action.CREATE: {"create", "add", "new", "register", "signup", "sign_up"},
    Action.READ: {"read", "get", "show", "retrieve", "detail", "details", "view", "fetch"},
    Action.LIST: {"list", "index", "all", "search", "find", "browse"},
    Action.UPDATE: {"update", "edit", "patch", "replace", "modify", "change"},
    Action.DELETE: {"delete", "remove", "destroy"},
    Action.LOGIN: {"login", "log_in", "signin", "sign_in"},
    Action.CURRENT: {"me", "current", "whoami"},
}
_METHODS = {
    Action.CREATE: {"POST"},
    Action.READ: {"GET"},
    Action.LIST: {"GET"},
    Action.UPDATE: {"PUT", "PATCH", "POST"},
    Action.DELETE: {"DELETE"},
    Action.LOGIN: {"POST"},
    Action.CURRENT: {"GET"},
}
LOGIN_PATH = "/auth/login"
_LONGEST_NAME = 91  # with `endpoint-` in front, an id of the 100 characters that a plan may hold


def resolve(specification: Specification) -> Project:
    units = _units(specification)
    by_identifier = {unit.identifier: unit for unit in units}
    secured = specification.requirement(words.AUTHENTICATION) is not None
    routes = _routes(units, by_identifier, secured)
    login = _login(units, routes) if secured else None
    routes = tuple(_signing_in(replace(route, protected=_is_protected(route, login)), login) for route in routes)
    if login and login.route is None:
        login = replace(login, route=_login_route(login))
        routes = (*routes, _login_route(login))
    return Project(
        spec=specification,
        layout=layout_for(specification.architecture),
        units=units,
        routes=routes,
        login=login,
        needs_security=secured or any(_secret(unit.resource) for unit in units),
        by_identifier=by_identifier,
    )


def _units(specification: Specification) -> tuple[Unit, ...]:
    later = _later_references(specification.resources)
    levels: dict[str, int] = {}
    units: list[Unit] = []
    tables: set[str] = set()
    for resource in specification.resources:
        deferred = tuple(
            replace(link, required=False) for link in resource.belongs_to if (resource.identifier, link.key) in later
        )
        now = tuple(link for link in resource.belongs_to if (resource.identifier, link.key) not in later)
        table = plural(singular(resource.identifier))
        table = f"{table}_table" if table in tables else table
        tables.add(table)
        level = _level(resource.identifier, specification, later, levels)
        name = module_name(resource.identifier)
        units.append(Unit(resource, name, class_name(resource.identifier), table, level, now, deferred))
    return tuple(units)


def _later_references(resources: Iterable[Resource]) -> set[tuple[str, str]]:
    """(resource, key) of the references that would close a circle. Required references are placed first, then optional ones,
    each in the order of the specification, so that what must give way is optional where possible and always the same.
    """
    after: dict[str, set[str]] = {}
    later: set[tuple[str, str]] = set()
    links = [(resource.identifier, link) for resource in resources for link in resource.belongs_to]
    for owner, link in sorted(links, key=lambda each: not each[1].required):
        if owner == link.resource or _reaches(after, link.resource, owner):
            later.add((owner, link.key))
        else:
            after.setdefault(owner, set()).add(link.resource)
    return later


def _reaches(after: dict[str, set[str]], start: str, goal: str) -> bool:
    seen: set[str] = set()
    pending = [start]
    while pending:
        current = pending.pop()
        if current == goal:
            return True
        if current not in seen:
            seen.add(current)
            pending.extend(after.get(current, ()))
    return False


def _level(identifier: str, specification: Specification, later: set[tuple[str, str]], known: dict[str, int]) -> int:
    """How many tables must stand before this one: 1 for a table without references. Iterative: chains may be long."""
    pending = [identifier]
    while pending:
        current = pending[-1]
        links = specification.resource(current).belongs_to
        parents = {link.resource for link in links if (current, link.key) not in later}
        missing = sorted(parents - known.keys())
        if missing:
            pending.append(missing[0])
            continue
        known[current] = 1 + max((known[parent] for parent in parents), default=0)
        pending.pop()
    return known[identifier]


def _routes(units: tuple[Unit, ...], by_identifier: dict[str, Unit], secured: bool) -> tuple[Route, ...]:
    routes = [_route(unit, endpoint, by_identifier, secured) for unit in units for endpoint in unit.resource.endpoints]
    named = [replace(route, name=within(route.name, _LONGEST_NAME, "-")) for route in _distinct_names(routes)]
    return _distinct_modules(named)


def _route(unit: Unit, endpoint: Endpoint, by_identifier: dict[str, Unit], secured: bool) -> Route:
    action = _action(endpoint, secured=secured)
    name, module = f"{unit.identifier}-{endpoint.verb}", f"{unit.identifier}_{endpoint.verb}"
    route = Route(unit, _with_effect(endpoint, unit, action), action, name, module, protected=False)
    related = _related(endpoint, unit, by_identifier)
    if related and action in {Action.CUSTOM, Action.LIST, Action.CREATE}:
        target, key = related
        kind = {"GET": Action.LIST_RELATED, "POST": Action.CREATE_RELATED}.get(endpoint.method)
        return replace(route, action=kind, target=target, key=key) if kind else route
    return route


def _action(endpoint: Endpoint, *, secured: bool) -> Action:
    item = endpoint.path.endswith("}")
    plain = endpoint.path.count("/") == 1 + item
    # `list_with_filters` at `/tasks` is a list; at `/tasks/overdue` it is something of its own.
    known_as = {endpoint.verb, endpoint.verb.split("_")[0]} if plain else {endpoint.verb}
    needs_item = {Action.READ, Action.UPDATE, Action.DELETE}
    for action, verbs in _VERBS.items():
        if not known_as & verbs or endpoint.method not in _METHODS[action]:
            continue
        if action in needs_item and not item:
            continue
        if action in {Action.LOGIN, Action.CURRENT} and not secured:
            continue
        if action in {Action.LIST, Action.CREATE} and item:
            continue
        return action
    return Action.CUSTOM


def _with_effect(endpoint: Endpoint, unit: Unit, action: Action) -> Endpoint:
    """`POST /orders/{id}/cancel (cancel)` of a resource whose enum holds `cancelled` sets it, unless told otherwise."""
    if action is not Action.CUSTOM or endpoint.sets or endpoint.method == "GET":
        return endpoint
    stem = endpoint.verb.split("_")[0].rstrip("e")[:6]
    for each in unit.resource.fields:
        matching = [choice for choice in each.choices if len(stem) >= 3 and choice.lower().startswith(stem)]
        if each.type == "enum" and len(matching) == 1:
            return replace(endpoint, sets={each.name: matching[0]})
    return endpoint


def _related(endpoint: Endpoint, unit: Unit, by_identifier: dict[str, Unit]) -> tuple[Unit, str] | None:
    """The other resource and its key, for `/projects/{id}/tasks` where tasks belong to projects; also when the endpoint
    stands under `task` itself.
    """
    segments = [segment for segment in endpoint.path.split("/") if segment]
    if len(segments) < 3 or not segments[-2].startswith("{") or segments[-1].startswith("{"):
        return None
    by_singular = {singular(identifier): each for identifier, each in by_identifier.items()}
    child = by_singular.get(singular(snake(segments[-1])))
    owner = by_singular.get(singular(snake(segments[-3])))
    if child is None or owner is None or unit.identifier not in {child.identifier, owner.identifier}:
        return None
    keys = [link.key for link in child.resource.belongs_to if link.resource == owner.identifier]
    return (child, keys[0]) if keys else None


_Key = Callable[[Route], str]
_Rename = Callable[[Route, str], Route]


def _distinct_names(routes: list[Route]) -> list[Route]:
    """Two endpoints of a resource with one verb: the shortest path keeps the name, the others are told by their path."""
    return _tell_apart(
        routes,
        lambda route: route.name,
        lambda route, tail: replace(route, name=f"{route.name}-{tail}", module=f"{route.module}_{snake(tail)}"),
    )


def _distinct_modules(routes: list[Route]) -> tuple[Route, ...]:
    """`order` + `item_create` and `order_item` + `create` would share a file: the second is told by its path."""
    return tuple(
        _tell_apart(
            routes,
            lambda route: route.module,
            lambda route, tail: replace(route, module=f"{route.module}_{snake(tail)}"),
        )
    )


def _tell_apart(routes: list[Route], key: _Key, rename: _Rename) -> list[Route]:
    holders: dict[str, list[Route]] = {}
    for route in routes:
        holders.setdefault(key(route), []).append(route)
    keepers = {name: min(group, key=_precedence) for name, group in holders.items()}
    return [route if keepers[key(route)] is route else rename(route, _tail(route)) for route in routes]


def _precedence(route: Route) -> tuple[int, str, str]:
    return route.endpoint.path.count("/"), route.endpoint.path, route.endpoint.method


def _tail(route: Route) -> str:
    return f"{slug(route.endpoint.path.replace('{', 'by-'))}-{route.endpoint.method.lower()}"


def _secret(resource: Resource) -> words.Field | None:
    return next((each for each in resource.fields if each.type == "password"), None)


def _login(units: tuple[Unit, ...], routes: tuple[Route, ...]) -> Login | None:
    for unit in units:
        secret = _secret(unit.resource)
        names = [each.name for each in unit.resource.fields if each.unique and each.type in words.TEXT_TYPES]
        if secret and names:
            own = next((route for route in routes if route.action is Action.LOGIN), None)
            method, path = (own.endpoint.method, own.endpoint.path) if own else ("POST", LOGIN_PATH)
            return Login(unit, names[0], secret.name, method, path, own)
    return None


def _login_route(login: Login) -> Route:
    """`POST /auth/login`, for a specification without a login endpoint of its own."""
    endpoint = words.Endpoint(login.method, login.path, "login", "Signs in and answers with a token.", public=True)
    return Route(login.unit, endpoint, Action.LOGIN, "auth-login", "auth_login", protected=False)


def _signing_in(route: Route, login: Login | None) -> Route:
    """Whoever the endpoint stands under, signing in is about the resource with the password."""
    if login is None or route.action not in {Action.LOGIN, Action.CURRENT} or route.unit is login.unit:
        return route
    return replace(route, target=login.unit)


def _is_protected(route: Route, login: Login | None) -> bool:
    """Signing up and signing in are public unless the specification says otherwise; everything else is not."""
    if login is None:
        return False
    if route.endpoint.public is not None:
        return not route.endpoint.public
    signing_up = route.action is Action.CREATE and route.unit.identifier == login.unit.identifier
    return not (signing_up or route.action is Action.LOGIN)


def order_of(endpoint: Endpoint) -> int:
    """Registration order: paths with fewer parameters first, so that `/users/me` wins over `/users/{id}`."""
    return 10 + 10 * len(endpoint.parameters)
