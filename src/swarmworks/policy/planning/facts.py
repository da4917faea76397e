"""The `specification` of a task: a YAML excerpt with every fact it needs, so that a model needs nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from swarmworks.policy.planning.examples import example_record, typed
from swarmworks.policy.planning.model import Action
from swarmworks.policy.planning.resolve import order_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swarmworks.domain.spec import BelongsTo, Field, Requirement, Validation
    from swarmworks.policy.planning.model import Project, Route, Unit

Facts = dict[str, Any]


def dump(facts: Mapping[str, Any]) -> str:
    return yaml.dump(
        dict(facts), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=None
    )


class _Plain(yaml.CSafeDumper):
    """Without anchors: what stands twice is written twice. Short mappings stand on one line, long ones on several."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        node = super().represent_mapping(tag, mapping, flow_style)
        if len(str(mapping)) > 110:
            node.flow_style = False
        return node

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the overridden signature
        return True


def field_facts(field: Field) -> Facts:
    facts: Facts = {"name": field.name, "type": field.type}
    if field.attribute != field.name:
        facts["attribute"] = field.attribute
    for name in ("required", "unique", "indexed"):
        if getattr(field, name):
            facts[name] = True
    if field.choices:
        facts["values"] = list(field.choices)
    bounds = (
        ("min", field.minimum),
        ("max", field.maximum),
        ("min_length", field.min_length),
        ("max_length", field.max_length),
    )
    facts |= {name: _whole(value) for name, value in bounds if value is not None}
    if field.pattern is not None:
        facts["pattern"] = field.pattern
    if field.default is not None:
        facts["default"] = typed(field, field.default)
    if field.generated:
        facts["generated"] = field.generated
    return facts


def _whole(value: float) -> float:
    return int(value) if value == int(value) else value


def _validation_facts(validation: Validation) -> Facts:
    facts: Facts = {"text": validation.text}
    for name in ("field", "rule", "value"):
        if value := getattr(validation, name):
            facts[name] = value
    return facts


def link_facts(project: Project, link: BelongsTo, *, later: bool) -> Facts:
    other = project.by_identifier[link.resource]
    facts: Facts = {"resource": link.resource, "key": link.key, "required": link.required}
    if link.unique:
        facts["unique"] = True
    facts |= {
        "table": other.table,
        "module": project.layout.model.format(name=other.module),
        "id": other.resource.id_type,
    }
    if later:
        facts["constraint"] = "later"
    return facts


def summary(project: Project, unit: Unit) -> Facts:
    """What a neighbour must know of a resource it refers to."""
    creator = project.creator(unit.identifier)
    facts: Facts = {
        "name": unit.identifier,
        "class": unit.class_name,
        "module": project.layout.model.format(name=unit.module),
        "table": unit.table,
        "id": unit.resource.id_type,
        "fields": {each.name: each.type for each in unit.resource.fields},
    }
    if creator:
        facts["created_by"] = f"{creator.endpoint.method} {creator.endpoint.path}"
    if project.layout.factory:
        facts["factory"] = project.layout.factory_of(unit.module)
        facts["make"] = f"make_{unit.identifier}"
    return facts


def resource_facts(project: Project, unit: Unit) -> Facts:
    resource = unit.resource
    facts: Facts = {
        "name": resource.identifier,
        "class": unit.class_name,
        "module": project.layout.model.format(name=unit.module),
        "table": unit.table,
        "id": resource.id_type,
        "migration": unit.migration,
    }
    if resource.description:
        facts["description"] = resource.description
    facts["fields"] = [field_facts(each) for each in resource.fields]
    if resource.validations:
        facts["validations"] = [_validation_facts(each) for each in resource.validations]
    links = [link_facts(project, each, later=False) for each in unit.links]
    links += [link_facts(project, each, later=True) for each in unit.later]
    if links:
        facts["belongs_to"] = links
    if resource.has_many:
        facts["has_many"] = [{"resource": each.resource, "key": each.key} for each in resource.has_many]
    facts["example"] = example_record(resource)
    return facts


def endpoint_facts(project: Project, route: Route) -> Facts:
    endpoint = route.endpoint
    facts: Facts = {
        "method": endpoint.method,
        "path": endpoint.path,
        "verb": endpoint.verb,
        "action": route.action.value,
        "module": project.layout.endpoint.format(name=route.module),
        "order": order_of(endpoint),
        "success": success_status(route),
        "protected": route.protected,
    }
    if endpoint.description:
        facts["description"] = endpoint.description
    if endpoint.parameters:
        facts["path_parameters"] = list(endpoint.parameters)
    if endpoint.sets:
        facts["sets"] = dict(endpoint.sets)
    if endpoint.needs:
        facts["needs"] = dict(endpoint.needs)
    if route.target:
        facts |= {"target": route.target.identifier, "key": route.key}
    if route.action is Action.LIST:
        facts["filters"] = [link.key for link in (*route.unit.links, *route.unit.later)]
    return facts


def success_status(route: Route) -> int:
    return {Action.CREATE: 201, Action.CREATE_RELATED: 201, Action.DELETE: 204}.get(route.action, 200)


def authentication_facts(project: Project) -> Facts:
    """Who signs in and how; `{}` without authentication."""
    login = project.login
    if login is None:
        return {}
    creator = project.creator(login.unit.identifier)
    register = f"{creator.endpoint.method} {creator.endpoint.path}" if creator and not creator.protected else None
    facts: Facts = {
        "resource": login.unit.identifier,
        "model": project.layout.model.format(name=login.unit.module),
        "identifier": login.identifier,
        "password": login.secret,
        "subject": f"the id of the {login.unit.identifier}, as text",
        "login": f"{login.method} {login.path}",
        "register": register,
    }
    if project.layout.factory:
        facts |= {"factory": project.layout.factory_of(login.unit.module), "make": f"make_{login.unit.identifier}"}
    return facts


def requirement_facts(requirement: Requirement) -> Facts:
    facts: Facts = {"area": requirement.area, "kind": requirement.kind, "text": requirement.text}
    return facts | {name: _whole(value) for name, value in requirement.numbers.items()}


def application_facts(project: Project) -> Facts:
    spec = project.spec
    facts: Facts = {"name": spec.name}
    if spec.description:
        facts["description"] = spec.description
    if spec.architecture.notes:
        facts["notes"] = dict(spec.architecture.notes)
    return facts


def cases(project: Project, route: Route) -> list[Facts]:
    """What the tests of an endpoint must show, each with the expected status."""
    found: list[Facts] = [{"case": "success", "expect": success_status(route)}]
    about = route.about
    if route.action in {Action.CREATE, Action.CREATE_RELATED}:
        found += _body_cases(project, about, skip=route.key)
    if route.action is Action.UPDATE:
        found += [
            {"case": "invalid", "field": each.name, "value": bad, "expect": 422} for each, bad in _invalid(about)
        ][:4]
    if route.action in {Action.LIST, Action.LIST_RELATED}:
        found += [{"case": "page", "limit": 1, "expect": 200}, {"case": "bad_limit", "limit": 0, "expect": 422}]
    if route.action is Action.LOGIN:
        found += [{"case": "wrong_password", "expect": 401}, {"case": "unknown_user", "expect": 401}]
    if any(route.endpoint.parameters) and route.action is not Action.LOGIN:
        found.append({"case": "unknown_id", "expect": 404})
    if route.endpoint.needs:
        found.append({"case": "wrong_state", "needs": dict(route.endpoint.needs), "expect": 409})
    if route.protected:
        found.append({"case": "no_token", "expect": 401})
    return found


def _body_cases(project: Project, unit: Unit, skip: str) -> list[Facts]:
    sent = [each for each in unit.resource.fields if not each.generated]
    found: list[Facts] = [
        {"case": "missing", "field": each.name, "expect": 422}
        for each in sent
        if each.required and each.default is None
    ]
    found += [{"case": "invalid", "field": each.name, "value": bad, "expect": 422} for each, bad in _invalid(unit)]
    found += [{"case": "duplicate", "field": each.name, "expect": 409} for each in sent if each.unique]
    others = [link for link in unit.links if link.key != skip]
    return found + [
        {
            "case": "missing_reference",
            "key": link.key,
            "value": no_such_id(project.by_identifier[link.resource]),
            "expect": 422,
        }
        for link in others
    ]


def no_such_id(unit: Unit) -> int | str:
    return "00000000-0000-4000-8000-000000000000" if unit.resource.id_type == "uuid" else 999_999


def _invalid(unit: Unit) -> list[tuple[Field, Any]]:
    """A value for each field that has one no reader could accept."""
    found: list[tuple[Field, Any]] = []
    for each in unit.resource.fields:
        if each.generated:
            continue
        if each.type == "enum":
            found.append((each, "no-such-value"))
        elif each.type in {"email", "url", "date", "datetime", "uuid"}:
            found.append((each, f"not-{each.type}"))
        elif each.maximum is not None:
            found.append((each, _whole(each.maximum + 1)))
        elif each.minimum is not None:
            found.append((each, _whole(each.minimum - 1)))
        elif each.min_length:
            found.append((each, "" if each.min_length == 1 else "a" * (each.min_length - 1)))
        elif each.type in {"integer", "number", "boolean"}:
            found.append((each, "not a value"))
    return found
