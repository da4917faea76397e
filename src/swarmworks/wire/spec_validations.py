"""Validations in words: those with a known meaning become a rule a program can check; the others keep their words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swarmworks.domain.spec import Validation
from swarmworks.wire.spec_entries import EntryError
from swarmworks.wire.yaml_lines import suggest

if TYPE_CHECKING:
    from swarmworks.domain.spec import Field

_RULES: tuple[tuple[str, str], ...] = (
    ("not_before", r"(?:not (?:be )?(?:before|earlier than|less than)|on or after|at or after)\s+`?(\w+)`?"),
    ("not_after", r"(?:not (?:be )?(?:after|later than|greater than)|on or before|at or before)\s+`?(\w+)`?"),
    ("after", r"(?:after|later than|greater than)\s+`?(\w+)`?"),
    ("before", r"(?:before|earlier than|less than)\s+`?(\w+)`?"),
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
    ("positive", r"positive|greater than 0|greater than zero"),
    ("email", r"valid e-?mail"),
    ("url", r"valid url"),
    ("pattern", r"match(?:es)? (?:the pattern )?(\S+)$"),
)
_NAMES_A_FIELD = frozenset({"after", "before", "not_after", "not_before"})


def parse_validation(text: str, value: str | None, fields: list[Field]) -> Validation:
    """`title must not be blank`, or `title: not blank`. Raises EntryError for an unknown field before a colon."""
    names = {field.name: field for field in fields}
    if value is not None and text not in names:
        raise EntryError(f"validation of an unknown field `{text}`", suggest(text, names) if names else "")
    whole = text if value is None else f"{text}: {value}"
    if not whole.strip():
        raise EntryError("an empty validation", "write `title must not be blank`")
    subject = text if value is not None else _subject(text, names)
    rule, detail = _rule((value if value is not None else text).lower(), subject, names)
    return Validation(whole, subject, rule, detail)


def _subject(text: str, names: dict[str, Field]) -> str | None:
    """The field whose name (with spaces or underscores) the sentence begins with, else the first it mentions."""
    plain = text.lower().replace("_", " ").replace("-", " ")
    found = [
        (match.start(), -len(name), name)
        for name in names
        if (match := re.search(rf"\b{re.escape(_spoken(name))}\b", plain))
    ]
    return min(found)[2] if found else None


def _spoken(name: str) -> str:
    return name.lower().replace("_", " ").replace("-", " ")


def _rule(words: str, subject: str | None, names: dict[str, Field]) -> tuple[str | None, str | None]:
    if subject is None:
        return None, None
    for rule, pattern in _RULES:
        match = re.search(pattern, words)
        if not match:
            continue
        if rule not in _NAMES_A_FIELD:
            return rule, match.group(1) if match.groups() else None
        rest = words[match.start(1) :]
        other = _subject(rest, {name: field for name, field in names.items() if name != subject})
        if other:
            return rule, other
    return None, None
