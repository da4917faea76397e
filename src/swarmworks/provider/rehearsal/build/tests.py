"""Writes `tests/test_<endpoint>.py`: tests that call the endpoint over HTTP and look at what it left behind."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal import naming
from swarmworks.provider.rehearsal.build import samples
from swarmworks.provider.rehearsal.build.imports import with_imports
from swarmworks.provider.rehearsal.build.rendering import argument
from swarmworks.provider.rehearsal.resources import dotted, stem
from swarmworks.provider.rehearsal.specification import neighbour_of_resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swarmworks.provider.rehearsal.build.endpoints import Route
    from swarmworks.provider.rehearsal.build.rendering import Renderer
    from swarmworks.provider.rehearsal.resources import Neighbour, Resource

SIGNATURE = re.compile(r"^def (test_\w+)\(\) -> None:\n((?:(?:    .*)?\n)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TestPlan:
    """What the tests of one endpoint must show: `cases` as the task lists them, `neighbours` by resource."""

    route: Route
    cases: tuple[Mapping[str, object], ...]
    neighbours: Mapping[str, Neighbour] = field(default_factory=dict[str, "Neighbour"])

    def named(self, case: str) -> list[Mapping[str, object]]:
        return [each for each in self.cases if each.get("case") == case]


def endpoint_tests(renderer: Renderer, plan: TestPlan) -> str:
    route, resource, endpoint = plan.route, plan.route.resource, plan.route.endpoint
    values = samples.examples(resource)
    secured = route.authentication is not None
    users = secured and route.authentication.resource == resource.identifier  # type: ignore[union-attr]
    signs_up = users and not endpoint.protected
    headers = "auth_headers" if secured and not signs_up else "{}"
    owner = route.owner or neighbour_of_resource(resource)
    source = renderer.render(
        "tests/endpoint.py",
        plan=plan,
        route=route,
        resource=resource,
        endpoint=endpoint,
        action=endpoint.action,
        authentication=route.authentication,
        owner=owner,
        a_noun=naming.article(resource.noun),
        values=values,
        body_lines=[(key, samples.literal(value)) for key, value in values.items()],
        references=_needed(plan),
        headers=headers,
        signed_in=users and not signs_up,
        sent_headers=", headers=auth_headers" if endpoint.protected else "",
        method=endpoint.method.lower(),
        path=_path(endpoint.path, endpoint.parameters, "made"),
        owner_path=_path(endpoint.path, endpoint.parameters, "owner"),
        unknown_path=_unknown_path(endpoint.path, owner if route.endpoint.key else neighbour_of_resource(resource)),
        make=f"make_{resource.identifier}",
        missing=[str(each["field"]) for each in plan.named("missing")],
        invalid=[(str(each["field"]), samples.literal(each.get("value"))) for each in plan.named("invalid")],
        duplicates=[str(each["field"]) for each in plan.named("duplicate")],
        missing_references=_missing_references(plan),
        unknown_id=bool(plan.named("unknown_id")),
        no_token=bool(plan.named("no_token")),
        wrong_state=_wrong_state(plan),
        needs_overrides=_overrides(resource, endpoint.needs),
        sets=[(key, samples.literal(_typed(resource, key, value))) for key, value in endpoint.sets.items()],
        change=_change(resource, values),
        broken=[(text, samples.literal(changes)) for text, changes in samples.broken(resource, values)],
        filters=_filters(plan),
        secrets=[f.key for f in resource.fields if f.secret],
        stamped=[f.key for f in resource.fields if f.on_change],
        needed=[f.key for f in resource.written if f.required],
        unique_text=[
            f.key for f in resource.written if f.unique and not f.secret and resource.reference(f.key) is None
        ],
        rows=resource.alias,
    )
    source = _with_fixtures(source)
    return with_imports(source, _local_imports(source, plan, owner))


def _needed(plan: TestPlan) -> list[tuple[str, Neighbour]]:
    """Required references with somebody who can make what they refer to; the path brings the owner's."""
    return [
        (r.field, plan.neighbours[r.target])
        for r in plan.route.resource.references
        if r.required and r.enforced and r.target in plan.neighbours and r.field != plan.route.endpoint.key
    ]


def _missing_references(plan: TestPlan) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for each in plan.named("missing_reference"):
        reference = plan.route.resource.reference(str(each.get("key")))
        if reference:
            found.append((reference.field, "NO_SUCH_UUID" if reference.id_type == "uuid" else "NO_SUCH_ID"))
    return found


def _path(path: str, parameters: tuple[str, ...], record: str) -> str:
    """An f-string: the last parameter is the record's id, those before it are keys of the record."""
    if not parameters:
        return f'"{path}"'
    for parameter in parameters:
        key = "id" if parameter == parameters[-1] else parameter
        path = path.replace(f"{{{parameter}}}", f"\0{record}['{key}']\1")
    return 'f"' + path.replace("\0", "{").replace("\1", "}") + '"'


def _unknown_path(path: str, owner: Neighbour) -> str:
    return '"' + re.sub(r"\{[^{}]+\}", owner.unknown_id.strip('"'), path) + '"'


def _typed(resource: Resource, key: str, value: str) -> object:
    found = resource.find(key)
    match found.kind.name if found else "string":
        case "boolean":
            return value.lower() in {"true", "yes", "1"}
        case "integer":
            return int(value)
        case "number":
            return float(value)
        case _:
            return None if value.lower() in {"null", "none"} else value


def _overrides(resource: Resource, values: Mapping[str, str]) -> str:
    """Arguments for a factory that put a record into the state an endpoint needs."""
    return "".join(f", {argument(key, samples.literal(_typed(resource, key, value)))}" for key, value in values.items())


def _wrong_state(plan: TestPlan) -> str:
    """Arguments for a factory that put a record into a state the endpoint refuses."""
    resource = plan.route.resource
    for key, value in plan.route.endpoint.needs.items():
        found = resource.find(key)
        if found is None or not found.written or not plan.named("wrong_state"):
            continue
        if found.kind.name == "boolean":
            return f", {argument(key, str(not _typed(resource, key, value)))}"
        others = [choice for choice in found.choices if choice != value]
        if others:
            return f", {argument(key, samples.literal(others[0]))}"
    return ""


def _change(resource: Resource, values: dict[str, object]) -> tuple[str, str] | None:
    found = samples.change(resource, values)
    return None if found is None else (found[0], samples.literal(found[1]))


def _filters(plan: TestPlan) -> list[tuple[str, str]]:
    """Each filter a test can show, with the argument that gives a record something to be found by."""
    found: list[tuple[str, str]] = []
    resource = plan.route.resource
    for key in plan.route.endpoint.filters:
        reference = resource.reference(key)
        if reference is None:
            continue
        other = plan.neighbours.get(reference.target)
        if reference.target == resource.identifier:
            found.append((key, f", {key}=make_{resource.identifier}(client, HEADERS)['id']"))
        elif reference.required and other:
            found.append((key, ""))
        elif other:
            found.append((key, f", {key}={other.make}(client, HEADERS)['id']"))
    return found


def _with_fixtures(source: str) -> str:
    """Give each test the fixtures and parameters its body uses."""

    def signature(match: re.Match[str]) -> str:
        body = match[2]
        names = [("client", "TestClient"), ("auth_headers", "dict[str, str]")]
        arguments = [f"{name}: {kind}" for name, kind in names if re.search(rf"\b{name}\b", body)]
        before = source[: match.start()].rstrip("\n").rpartition("\n")[2]
        if parameters := re.match(r'@pytest\.mark\.parametrize\((?:"([\w, ]+)"|\(([\w", ]+)\))', before):
            listed = [part.strip(' "') for part in (parameters[1] or parameters[2]).split(",")]
            arguments += [f"{name}: {_parameter_type(name)}" for name in listed if name]
        return f"def {match[1]}({', '.join(arguments)}) -> None:\n{body}"

    return SIGNATURE.sub(signature, source)


def _parameter_type(name: str) -> str:
    return {"value": "Any", "changes": "dict[str, Any]", "limit": "int", "query": "dict[str, int]"}.get(name, "str")


def _local_imports(source: str, plan: TestPlan, owner: Neighbour) -> list[str]:
    resource = plan.route.resource
    makers = {f"make_{resource.identifier}": resource.module.replace("app/models/", "tests/factories/")}
    makers |= {other.make: other.factory for other in plan.neighbours.values()}
    makers |= {owner.make: owner.factory}
    lines = [f"from {dotted(path)} import {make}" for make, path in makers.items() if re.search(rf"\b{make}\(", source)]
    if re.search(rf"\b{resource.alias}\.(get|delete)\(", source):
        lines.append(f"from app.models import {stem(resource.module)} as {resource.alias}")
    return lines
