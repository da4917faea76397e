"""Writes `app/models/<resource>.py`: the migration, the pydantic models and the queries of one resource."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal import naming, rules
from swarmworks.provider.rehearsal.build import annotations, tables
from swarmworks.provider.rehearsal.build.imports import with_imports
from swarmworks.provider.rehearsal.build.rendering import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swarmworks.provider.rehearsal.build.rendering import Renderer
    from swarmworks.provider.rehearsal.fields import Field
    from swarmworks.provider.rehearsal.resources import Resource, Rule

COMPARISONS = {"not_before": "<", "not_after": ">", "after": "<=", "before": ">="}
COMPARISON_WORDS = {
    "not_before": "must not be before",
    "not_after": "must not be after",
    "after": "must be after",
    "before": "must be before",
}
STAMPS = {
    "datetime": "timestamp()",
    "date": "utc_now().date().isoformat()",
    "uuid": "str(uuid4())",
    "integer": 'next_number(db, "{column}")',
}
TIMED_CHECKS = frozenset({"in_past", "in_future", "not_in_past", "not_in_future"})


@dataclass(frozen=True, slots=True)
class Comparison:
    """A rule between two fields, as the condition under which it is broken."""

    left: str
    right: str
    broken_when: str
    message: str


def model_module(renderer: Renderer, resource: Resource, identity: str) -> str:
    comparisons = list(_comparisons(resource))
    compared = [f for f in resource.fields if f.name in {name for c in comparisons for name in (c.left, c.right)}]
    shown = [f for f in resource.stored if not f.secret]
    source = renderer.render(
        "app/model.py",
        resource=resource,
        column_lines=tables.column_lines(resource),
        index_lines=tables.index_lines(resource),
        columns=[f.column for f in shown],
        aliases=list(_aliases(resource)),
        checks=_checks(resource),
        comparisons=comparisons,
        compared_lines=[annotations.compared_line(f, resource) for f in compared],
        create_lines=[annotations.create_line(f, resource) for f in resource.written],
        update_lines=[annotations.update_line(f, resource) for f in resource.written],
        read_lines=[annotations.read_line(f, resource) for f in shown],
        needed=[f.name for f in resource.written if not annotations.is_nullable(f)],
        aliased=any(f.name != f.key for f in resource.fields),
        python_patterns=any(annotations.NEEDS_PYTHON_ENGINE.search(annotations.pattern_of(f)) for f in resource.fields),
        secrets=[f for f in resource.fields if f.secret],
        booleans=[f.key for f in resource.fields if f.kind.name == "boolean"],
        documents=[f.key for f in resource.fields if f.kind.name in {"json", "list"}],
        numbered=any(f.server_set and f.kind.name == "integer" for f in resource.fields),
        stamps=list(_stamps(resource, on_change=False)),
        change_stamps=list(_stamps(resource, on_change=True)),
        stamped=any(f.server_set and f.kind.name == "datetime" for f in resource.fields),
        identity=identity,
        a_noun=naming.article(resource.noun),
    )
    return with_imports(source)


def links_module(renderer: Renderer, resource: Resource, migration: str) -> str:
    late = [r for r in resource.references if not r.enforced]
    return renderer.render(
        "app/links.py",
        resource=resource,
        late=late,
        migration=migration or f"900_{resource.table}_links",
    )


def _aliases(resource: Resource) -> Iterator[str]:
    """Types of single fields: the words of an enum, or a plain type with the checks its values must pass."""
    for field in resource.fields:
        name = annotations.alias_of(field, resource)
        if field.kind.name == "enum":
            yield f"{name} = Literal[{', '.join(quoted(choice) for choice in field.choices)}]"
        elif field.checks and field.checks != ("not_blank",):
            kind = "UtcDatetime" if field.kind.name == "datetime" else field.kind.annotation
            validators = ", ".join(f"AfterValidator({check_name(check, field)})" for check in field.checks)
            yield f"{name} = Annotated[{kind}, {validators}]"


def _checks(resource: Resource) -> list[str]:
    """What the module needs beside its models: checks of values, and the clock."""
    used = {check_name(check, field) for field in resource.fields for check in field.checks}
    used |= {"utc"} if any(f.kind.name == "datetime" and f.written for f in resource.fields) else set()
    used |= {"blank"} if any(f.checks == ("not_blank",) for f in resource.fields) else set()
    clock = any(f.server_set and f.kind.name in rules.TIMED for f in resource.fields)
    clock = clock or any(f.default == "now" for f in resource.fields)
    timed = any(check in TIMED_CHECKS for field in resource.fields for check in field.checks)
    return sorted(used | ({"clock"} if clock or timed else set()))


def check_name(check: str, field: Field) -> str:
    return f"{check}_time" if check in TIMED_CHECKS and field.kind.name == "datetime" else check


def _comparisons(resource: Resource) -> Iterator[Comparison]:
    for rule in resource.rules:
        left, right = resource.find(rule.field), resource.find(rule.value)
        if rule.name in COMPARISONS and left and right and left.written and right.written and _comparable(left, right):
            yield _comparison(rule, left, right)


def _comparable(left: Field, right: Field) -> bool:
    return left.kind == right.kind or {left.kind.name, right.kind.name} <= {"integer", "number"}


def _comparison(rule: Rule, left: Field, right: Field) -> Comparison:
    condition = f"self.{left.name} {COMPARISONS[rule.name]} self.{right.name}"
    return Comparison(left.name, right.name, condition, f"{left.key} {COMPARISON_WORDS[rule.name]} {right.key}")


def _stamps(resource: Resource, *, on_change: bool) -> Iterator[tuple[str, str]]:
    """Columns the server fills, with the expression that fills them."""
    if resource.id_type == "uuid" and not on_change:
        yield "id", "str(uuid4())"
    for field in resource.fields:
        expression = STAMPS.get(field.kind.name)
        if expression and field.server_set and (field.on_change or not on_change):
            yield field.column, expression.format(column=field.column)
