"""Validations: words with a known meaning become limits of a field, checks of its value, or a comparison of two."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from swarmworks.provider.rehearsal.fields import NUMERIC, TEXTUAL
from swarmworks.provider.rehearsal.resources import Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.provider.rehearsal.fields import Field

WORDS: tuple[tuple[str, str], ...] = (
    ("not_before", r"(?:not (?:be )?(?:before|earlier than|less than)|on or after)\s+(\w+)"),
    ("not_after", r"(?:not (?:be )?(?:after|later than|greater than)|on or before)\s+(\w+)"),
    ("positive", r"positive|greater than (?:0|zero)"),
    ("after", r"(?:after|later than|greater than)\s+([a-z_]\w*)"),
    ("before", r"(?:before|earlier than|less than)\s+([a-z_]\w*)"),
    ("not_in_past", r"not (?:be )?in the past"),
    ("not_in_future", r"not (?:be )?in the future"),
    ("in_past", r"in the past"),
    ("in_future", r"in the future"),
    ("not_blank", r"not (?:be )?(?:blank|empty)"),
    ("has_digit", r"(?:contains?|has|have|with) (?:at least )?(?:a|one) (?:digit|number)"),
    ("has_letter", r"(?:contains?|has|have|with) (?:at least )?(?:a|one) letter"),
    ("min_length", r"(?:at least|minimum(?: of)?|min) (\d+) (?:characters?|chars?)"),
    ("max_length", r"(?:at most|maximum(?: of)?|no more than|max) (\d+) (?:characters?|chars?)"),
    ("minimum", r"(?:at least|minimum(?: of)?|not less than) (-?\d+(?:\.\d+)?)"),
    ("maximum", r"(?:at most|maximum(?: of)?|no more than|not more than) (-?\d+(?:\.\d+)?)"),
    ("email", r"valid e-?mail"),
    ("url", r"valid url"),
)
CHECKS = ("not_blank", "has_digit", "has_letter", "in_past", "in_future", "not_in_past", "not_in_future")
TIMED = frozenset({"date", "datetime"})


def read(entry: object, fields: Sequence[Field]) -> Rule:
    """A rule from its facts, or from its words alone."""
    if isinstance(entry, dict):
        facts = cast("dict[str, object]", entry)
        if "text" in facts:
            return Rule(*(str(facts.get(name) or "") for name in ("text", "field", "rule", "value")))
        return _from_words(" ".join(f"{field} {words}" for field, words in facts.items()), fields)
    return _from_words(str(entry), fields)


def _from_words(text: str, fields: Sequence[Field]) -> Rule:
    lowered = text.lower()
    subject = min(
        (f for f in fields if re.search(rf"\b{re.escape(f.key.lower())}\b", lowered)),
        key=lambda f: lowered.index(f.key.lower()),
        default=None,
    )
    if subject is None:
        return Rule(text)
    for name, pattern in WORDS:
        if match := re.search(pattern, lowered):
            return Rule(text, subject.key, name, match[1] if match.groups() else "")
    return Rule(text, subject.key)


def limit(field: Field, rules: Sequence[Rule]) -> Field:
    """The field with every rule that concerns it alone."""
    for rule in rules:
        if rule.field in {field.key, field.name}:
            field = _apply(field, rule)
    return field


def _apply(field: Field, rule: Rule) -> Field:
    limits = field.limits
    match rule.name:
        case "min_length":
            limits = replace(limits, min_length=max(int(rule.value), limits.min_length or 0))
        case "max_length":
            limits = replace(limits, max_length=min(int(rule.value), limits.max_length or int(rule.value)))
        case "minimum" if field.kind.name in NUMERIC:
            limits = replace(limits, least=rule.value)
        case "maximum" if field.kind.name in NUMERIC:
            limits = replace(limits, most=rule.value)
        case "positive" if field.kind.name in NUMERIC:
            covered = bool(limits.least) and float(limits.least) > 0
            limits = limits if covered else replace(limits, above="0", least="")
        case "pattern":
            limits = replace(limits, pattern=limits.pattern or rule.value)
        case "email" | "url" if field.kind.name == "string":
            return replace(field, kind=replace(field.kind, name=rule.name))
        case name if name in CHECKS and name not in field.checks and _fits(name, field):
            return replace(field, checks=(*field.checks, name))
        case _:
            pass
    return replace(field, limits=limits)


def _fits(check: str, field: Field) -> bool:
    return field.kind.name in (TEXTUAL if check in CHECKS[:3] else TIMED)
