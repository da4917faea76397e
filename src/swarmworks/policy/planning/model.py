"""A specification made definite: module names, tables, actions, who is protected, which references come later."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarmworks.domain.spec import BelongsTo, Endpoint, Resource, Specification
    from swarmworks.policy.planning.layout import Layout


class Action(StrEnum):
    """What an endpoint does, read from its verb, method and path."""

    CREATE = "create"
    READ = "read"
    LIST = "list"
    UPDATE = "update"
    DELETE = "delete"
    LIST_RELATED = "list_related"  # GET /projects/{id}/tasks
    CREATE_RELATED = "create_related"  # POST /projects/{id}/tasks
    LOGIN = "login"
    CURRENT = "current"  # GET /users/me
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Unit:
    """A resource and its place in the code. `later` are references whose constraint comes after the table."""

    resource: Resource
    module: str
    class_name: str
    table: str
    level: int
    links: tuple[BelongsTo, ...]
    later: tuple[BelongsTo, ...]

    @property
    def identifier(self) -> str:
        return self.resource.identifier

    @property
    def migration(self) -> str:
        return f"{self.level:03d}_{self.table}"


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint and its place: `name` is unique (`user-create`), `module` the file's stem. `target` is the resource a
    related action is about, `key` its reference to the owner.
    """

    unit: Unit
    endpoint: Endpoint
    action: Action
    name: str
    module: str
    protected: bool
    target: Unit | None = None
    key: str = ""

    @property
    def about(self) -> Unit:
        return self.target or self.unit


@dataclass(frozen=True, slots=True)
class Login:
    """Who signs in, and with what."""

    unit: Unit
    identifier: str
    secret: str
    method: str
    path: str
    route: Route | None  # the specification's own login endpoint, if it has one


@dataclass(frozen=True, slots=True)
class Project:
    spec: Specification
    layout: Layout
    units: tuple[Unit, ...]
    routes: tuple[Route, ...]
    login: Login | None
    needs_security: bool
    by_identifier: dict[str, Unit] = field(default_factory=dict[str, "Unit"])

    def creator(self, identifier: str) -> Route | None:
        """The endpoint that creates this resource, when there is one."""
        found = (
            route for route in self.routes if route.action is Action.CREATE and route.unit.identifier == identifier
        )
        return next(found, None)
