"""A valid value for a field: for factories, tests and documentation. Deterministic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarmworks.domain.spec import Field, Resource

_FIXED: dict[str, Any] = {
    "boolean": True,
    "date": "2030-01-15",
    "datetime": "2030-01-15T12:00:00+00:00",
    "email": "ada@example.com",
    "url": "https://example.com/page",
    "uuid": "3f2b8c1e-6d4a-4a57-9a55-0f6f1c7f2d10",
    "json": {"key": "value"},
}


# A date's day and a number's step that keep rules between two fields true.
_EARLIER, _LATER = {"before", "not_after"}, {"after", "not_before"}


def example_record(resource: Resource) -> dict[str, Any]:
    """A valid value for every field a client may send, rules between two fields included."""
    record = {each.name: example_of(each) for each in resource.fields if not each.generated}
    for rule in resource.validations:
        if rule.field in record and rule.value in record and rule.rule in _EARLIER | _LATER:
            other = record[rule.value]
            record[rule.field] = _shifted(other, forward=rule.rule in _LATER)
        elif (rule.field in record and rule.rule == "in_past") or (
            rule.field in record and rule.rule == "not_in_future"
        ):
            record[rule.field] = str(record[rule.field]).replace("2030", "2020")
    return record


def _shifted(value: Any, *, forward: bool) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value + 1 if forward else value - 1
    return str(value).replace("-15", "-20" if forward else "-10") if isinstance(value, str) else value


def example_of(field: Field) -> Any:
    """The field's own example or default first; otherwise made from its type and bounds."""
    given = field.example if field.example is not None else field.default
    if given is not None and not (field.type in {"date", "datetime"} and not given[0].isdigit()):
        return typed(field, given)
    if field.type == "enum":
        return field.choices[0]
    if field.type in {"integer", "number"}:
        return _number(field)
    if field.type in _FIXED:
        return _FIXED[field.type]
    return _text(field)


def typed(field: Field, text: str) -> Any:
    """A written value as the type of its field."""
    if field.type == "integer":
        return int(text)
    if field.type == "number":
        return float(text)
    if field.type == "boolean":
        return text.lower() == "true"
    return text


def _number(field: Field) -> float:
    low = field.minimum if field.minimum is not None else min(1.0, field.maximum if field.maximum is not None else 1.0)
    return int(-(-low // 1)) if field.type == "integer" else low


def _text(field: Field) -> str:
    text = "Secret-pass-1" if field.type == "password" else f"Sample {field.name.replace('_', ' ')} 1"
    shortest, longest = field.min_length or 0, field.max_length or 10_000
    if len(text) < shortest:
        text += "x" * (shortest - len(text))
    return text[:longest].strip() or "x"
