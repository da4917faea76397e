"""From the names people write to names that programs take: identifiers, tables, classes, modules."""

from __future__ import annotations

import hashlib
import keyword
import re
import unicodedata

_IRREGULAR = {
    "people": "person",
    "children": "child",
    "men": "man",
    "women": "woman",
    "indices": "index",
    "data": "data",
}
_IRREGULAR_PLURALS = {"person": "people", "child": "children", "man": "men", "woman": "women", "data": "data"}
_INVARIANT = ("ss", "us", "is", "news", "series", "species")
_SOFT_PLURALS = ("sses", "xes", "ches", "shes", "zes", "uses")

# Names a pydantic model cannot give to a field, beside Python's keywords.
_TAKEN_ATTRIBUTES = frozenset({
    "copy", "dict", "json", "construct", "schema", "schema_json", "validate", "parse_obj", "parse_raw", "parse_file",
    "from_orm", "update_forward_refs", "fields", "register",
})  # fmt: skip


def fold(text: str) -> str:
    """The nearest ASCII spelling: `Ünïcode` becomes `Unicode`."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


def snake(text: str) -> str:
    """`PersonDetails`, `person-details` and `Person details` all become `person_details`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    return re.sub(r"[^A-Za-z0-9]+", "_", spaced).strip("_").lower()


def singular(word: str) -> str:
    """The last part of an identifier in the singular; words it does not know stay as they are."""
    head, _, tail = word.rpartition("_")
    return f"{head}_{_singular(tail)}" if head else _singular(tail)


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith(_INVARIANT) or not word.endswith("s") or len(word) < 4:
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(_SOFT_PLURALS):
        return word[:-2]
    return word[:-1]


def plural(word: str) -> str:
    head, _, tail = word.rpartition("_")
    return f"{head}_{_plural(tail)}" if head else _plural(tail)


def _plural(word: str) -> str:
    if word in _IRREGULAR_PLURALS:
        return _IRREGULAR_PLURALS[word]
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    return f"{word}s"


def class_name(identifier: str) -> str:
    return "".join(part.capitalize() for part in identifier.split("_") if part)


def module_name(identifier: str) -> str:
    """A file name that can be imported: `class` becomes `class_`."""
    return f"{identifier}_" if keyword.iskeyword(identifier) else identifier


def attribute_name(name: str) -> str:
    """A field's name in Python; `alias` it where it differs from what is on the wire."""
    found = snake(name) if not re.fullmatch(r"[a-z][a-z0-9_]*", name) else name
    taken = keyword.iskeyword(found) or found in _TAKEN_ATTRIBUTES or found.startswith("model_")
    return f"{found}_" if taken else found


def mark(text: str) -> str:
    """Eight digits that tell one text from another."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def within(name: str, most: int, joint: str) -> str:
    """`name` itself, or, where it is longer than `most`, its beginning and a mark of the whole."""
    return name if len(name) <= most else f"{name[: most - 9].rstrip('-_')}{joint}{mark(name)}"


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", fold(text).lower()).strip("-")
