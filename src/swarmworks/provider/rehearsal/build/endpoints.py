"""Writes `app/api/<resource>_<verb>.py`: one router with one endpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal import naming
from swarmworks.provider.rehearsal.build.imports import with_imports
from swarmworks.provider.rehearsal.build.rendering import quoted
from swarmworks.provider.rehearsal.resources import dotted, rows_alias, stem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swarmworks.provider.rehearsal.build.rendering import Renderer
    from swarmworks.provider.rehearsal.resources import Authentication, Endpoint, Neighbour, Reference, Resource

STATUS_WORDS = {201: "CREATED", 202: "ACCEPTED", 204: "NO_CONTENT"}
PAGED = frozenset({"list", "list_related"})
ITEM_ACTIONS = frozenset({"read", "update", "delete", "custom"})
SUMMARIES = {
    "create": "Create {a_noun}",
    "read": "Read {a_noun}",
    "list": "List {nouns}",
    "update": "Change {a_noun}",
    "delete": "Delete {a_noun}",
    "list_related": "List the {nouns} of {an_owner}",
    "create_related": "Create {a_noun} of {an_owner}",
    "login": "Sign in and get a token",
    "current": "Read the {noun} who is signed in",
}
ANSWERS = {
    "create": "Answer with the new {noun}; what is taken is 409, what the rules refuse 422.",
    "read": "Answer with the {noun}; an unknown id is 404.",
    "list": "Answer with a page of {nouns}, ordered by id.",
    "update": "Change the fields that were sent and answer with the {noun}; an unknown id is 404.",
    "delete": "Delete the {noun} for good; an unknown id is 404.",
    "list_related": "Answer with a page of the {owner}'s {nouns}; an unknown {owner} is 404.",
    "create_related": "Answer with the new {noun}; an unknown {owner} is 404.",
    "login": "Answer with a token; a wrong {identifier} and a wrong password get the same 401.",
    "current": "Answer with the {noun} that the token names.",
}
SUMMARY_LENGTH = 70


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint with all it touches: `resource` is what it answers with, `owner` whose id stands in the path."""

    endpoint: Endpoint
    resource: Resource
    owner: Neighbour | None = None
    authentication: Authentication | None = None

    @property
    def paged(self) -> bool:
        return self.endpoint.action in PAGED or (self.endpoint.action == "custom" and not self.endpoint.parameters)


def endpoint_module(renderer: Renderer, route: Route) -> str:
    endpoint, resource = route.endpoint, route.resource
    words = _words(route)
    rows, owner_rows = resource.alias, _rows(route.owner)
    summary = summary_of(route)
    source = renderer.render(
        "app/endpoint.py",
        endpoint=endpoint,
        resource=resource,
        authentication=route.authentication,
        action=endpoint.action,
        tag=resource.nouns,
        summary=summary,
        response_model=_response_model(route),
        status_words=STATUS_WORDS.get(endpoint.success, "OK"),
        function=_function(route),
        arguments=list(_arguments(route)),
        returns=_returns(route),
        docstring=ANSWERS.get(endpoint.action, _custom_answer(route)).format(**words),
        rows=rows,
        owner_rows=owner_rows,
        owner_noun=words["owner"],
        id=_argument(endpoint.parameters[-1], route) if endpoint.parameters else "",
        scopes=list(_scopes(route)),
        filters=[(key, naming.attribute_name(key)) for key in endpoint.filters],
        sets=[(key, _value(resource, key, value)) for key, value in endpoint.sets.items()],
        needs=[(key, _value(resource, key, value)) for key, value in endpoint.needs.items()],
        subject="int(subject)" if resource.id_type == "integer" else "subject",
    )
    return with_imports(source, list(_local_imports(source, route)))


def summary_of(route: Route) -> str:
    endpoint = route.endpoint
    template = SUMMARIES.get(endpoint.action)
    if template:
        return template.format(**_words(route))
    sentence = re.split(r"(?<=\w)\.(?:\s|$)", endpoint.description.strip())[0].strip()
    verb = naming.words(naming.snake(endpoint.verb)).capitalize()
    if sentence and len(sentence) <= SUMMARY_LENGTH:
        return sentence[:1].upper() + sentence[1:]
    return f"{verb} {naming.article(route.resource.noun)}" if endpoint.parameters else f"{verb}: {route.resource.nouns}"


def _custom_answer(route: Route) -> str:
    if not route.endpoint.parameters:
        return "Answer with a page of {nouns}, ordered by id."
    wrong = "; a {noun} in another state is 409" if route.endpoint.needs else ""
    return "Answer with the {noun}; an unknown id is 404" + wrong + "."


def _words(route: Route) -> dict[str, str]:
    owner = naming.words(route.owner.identifier) if route.owner else route.resource.noun
    return {
        "noun": route.resource.noun,
        "a_noun": naming.article(route.resource.noun),
        "nouns": route.resource.nouns,
        "owner": owner,
        "an_owner": naming.article(owner),
        "identifier": naming.words(route.authentication.identifier) if route.authentication else "name",
    }


def _rows(owner: Neighbour | None) -> str:
    return rows_alias(owner.identifier) if owner else ""


def _function(route: Route) -> str:
    endpoint, resource = route.endpoint, route.resource
    match endpoint.action:
        case "login":
            return "sign_in"
        case "current":
            return f"read_current_{resource.identifier}"
        case "list" | "list_related":
            return f"list_{naming.plural(resource.identifier)}"
        case "create" | "create_related":
            return f"create_{resource.identifier}"
        case _:
            return f"{naming.snake(endpoint.verb)}_{resource.identifier}"


def _argument(parameter: str, route: Route) -> str:
    """The name a path parameter has in Python: `id` says whose it is."""
    if parameter == "id":
        owner = route.owner if route.endpoint.action in {"list_related", "create_related"} else None
        return f"{owner.identifier if owner else route.resource.identifier}_id"
    return naming.attribute_name(parameter)


def _arguments(route: Route) -> Iterator[str]:
    endpoint = route.endpoint
    for parameter in endpoint.parameters:
        yield _path_argument(parameter, route)
    match endpoint.action:
        case "create":
            yield f"data: {route.resource.class_name}Create"
        case "update":
            yield f"data: {route.resource.class_name}Update"
        case "create_related":
            yield "body: dict[str, Any]"
        case "login":
            yield "credentials: Credentials"
        case "current":
            yield "subject: Annotated[str, Depends(current_user)]"
        case _:
            pass
    yield "db: Database"
    if route.paged:
        yield "limit: Annotated[int, Query(ge=1, le=200)] = 50"
        yield "offset: Annotated[int, Query(ge=0)] = 0"
    for key in endpoint.filters:
        reference = route.resource.reference(key)
        kind = "str" if reference and reference.id_type == "uuid" else "int"
        yield f"{naming.attribute_name(key)}: {kind} | None = None"


def _path_argument(parameter: str, route: Route) -> str:
    name = _argument(parameter, route)
    owned = route.endpoint.action in {"list_related", "create_related"}
    if parameter == route.endpoint.parameters[-1]:
        id_type = route.owner.id_type if owned and route.owner else route.resource.id_type
    else:
        reference = _scope(parameter, route)
        id_type = reference.id_type if reference else "integer"
    kind = "str" if id_type == "uuid" else "int"
    return f"{name}: {kind}" if name == parameter else f'{name}: Annotated[{kind}, Path(alias="{parameter}")]'


def _scope(parameter: str, route: Route) -> Reference | None:
    """The reference an earlier path parameter stands for."""
    before = route.endpoint.path.split("{" + parameter)[0].strip("/").rpartition("/")[2]
    owner = naming.singular(naming.snake(before))
    candidates = route.resource.references
    return next((r for r in candidates if r.field == parameter), None) or next(
        (r for r in candidates if r.target == owner), None
    )


def _scopes(route: Route) -> Iterator[tuple[str, str]]:
    """In `/projects/{project_id}/tasks/{id}` the task must belong to the project."""
    if route.endpoint.action in ITEM_ACTIONS:
        for parameter in route.endpoint.parameters[:-1]:
            if reference := _scope(parameter, route):
                yield reference.field, _argument(parameter, route)


def _response_model(route: Route) -> str:
    if route.endpoint.action in {"delete", "login"}:
        return ""
    name = f"{route.resource.class_name}Read"
    return f"list[{name}]" if route.paged else name


def _returns(route: Route) -> str:
    if route.endpoint.action == "delete":
        return "None"
    if route.endpoint.action == "login":
        return "Token"
    return "list[dict[str, Any]]" if route.paged else "dict[str, Any]"


def _value(resource: Resource, key: str, value: str) -> str:
    field = resource.find(key)
    match field.kind.name if field else "string":
        case "boolean":
            return str(value.lower() in {"true", "yes", "1"})
        case "integer" | "number":
            return value
        case "datetime" if value in {"now", "today"}:
            return "dt.datetime.now(dt.UTC)"
        case "date" if value in {"now", "today"}:
            return "dt.datetime.now(dt.UTC).date()"
        case _ if value.lower() in {"null", "none"}:
            return "None"
        case _:
            return quoted(value)


def _local_imports(source: str, route: Route) -> Iterator[str]:
    resource = route.resource
    yield f"from app.models import {stem(resource.module)} as {resource.alias}"
    for suffix in ("Create", "Update", "Read"):
        if re.search(rf"\b{resource.class_name}{suffix}\b", source):
            yield f"from {dotted(resource.module)} import {resource.class_name}{suffix}"
    if route.owner and f"{_rows(route.owner)}.get(" in source and route.owner.identifier != resource.identifier:
        yield f"from app.models import {stem(route.owner.module)} as {_rows(route.owner)}"
