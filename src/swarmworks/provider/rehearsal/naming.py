"""From the words of a specification to names that Python and SQL take."""

from __future__ import annotations

import keyword
import re
import unicodedata

IRREGULAR = {
    "people": "person",
    "children": "child",
    "men": "man",
    "women": "woman",
    "indices": "index",
    "data": "data",
}
IRREGULAR_PLURALS = {"person": "people", "child": "children", "man": "men", "woman": "women", "data": "data"}
INVARIANT_ENDINGS = ("ss", "us", "is", "news", "series", "species")
SOFT_PLURALS = ("sses", "xes", "ches", "shes", "zes", "uses")

# What a pydantic model may not call a field, beside Python's keywords.
TAKEN_ATTRIBUTES = frozenset(
    {
        "copy",
        "dict",
        "json",
        "construct",
        "schema",
        "schema_json",
        "validate",
        "parse_obj",
        "parse_raw",
        "parse_file",
        "from_orm",
        "update_forward_refs",
        "fields",
        "register",
        # Types that annotations after the field need by their own name.
        "bool",
        "float",
        "int",
        "list",
        "str",
        "dt",
    }
)


def snake(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", plain)
    found = re.sub(r"[^A-Za-z0-9]+", "_", spaced).strip("_").lower()
    return f"n{found}" if found[:1].isdigit() else found


def singular(word: str) -> str:
    head, _, tail = word.rpartition("_")
    return f"{head}_{_singular(tail)}" if head else _singular(tail)


def _singular(word: str) -> str:
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith(INVARIANT_ENDINGS) or not word.endswith("s") or len(word) < 4:
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(SOFT_PLURALS):
        return word[:-2]
    return word[:-1]


def plural(word: str) -> str:
    head, _, tail = word.rpartition("_")
    return f"{head}_{_plural(tail)}" if head else _plural(tail)


def _plural(word: str) -> str:
    if word in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[word]
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    return f"{word}s"


def class_name(identifier: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in identifier.split("_") if part)


def module_name(identifier: str) -> str:
    return f"{identifier}_" if keyword.iskeyword(identifier) or keyword.issoftkeyword(identifier) else identifier


def attribute_name(key: str) -> str:
    """A pydantic field and SQL column for a name of the specification; it is aliased where the two differ."""
    found = snake(key)
    taken = keyword.iskeyword(found) or found in TAKEN_ATTRIBUTES or found.startswith("model_")
    return f"{found}_" if taken else found


def words(identifier: str) -> str:
    return identifier.strip("_").replace("_", " ")


def article(noun: str) -> str:
    return f"an {noun}" if noun[:1] in "aeio" else f"a {noun}"
