from __future__ import annotations

from pathlib import Path

import pytest

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.domain.spec import AUTHENTICATION, CUSTOM, RATE_LIMIT, Specification
from swarmworks.wire.spec import MAX_SPEC_BYTES, load_specification, parse_specification

EXAMPLES = Path(__file__).parents[2] / "examples"


def parsed(text: str) -> Specification:
    return parse_specification("spec.yaml", text.encode())


def refused(text: str | bytes) -> InvalidDocumentError:
    with pytest.raises(InvalidDocumentError) as caught:
        parse_specification("spec.yaml", text.encode() if isinstance(text, str) else text)
    return caught.value


def resource(body: str) -> str:
    return f"name: x\nresources:\n  thing:\n{body}"


@pytest.mark.parametrize(
    ("example", "resources", "endpoints"), [("task-management", 5, 20), ("library", 6, 22), ("school", 3, 14)]
)
def test_the_examples_are_read_whole(example, resources, endpoints):
    specification, data = load_specification(EXAMPLES / example / "spec.yaml")
    assert len(specification.resources) == resources
    assert sum(len(each.endpoints) for each in specification.resources) == endpoints
    assert data.startswith(b"#")
    assert all(requirement.kind != CUSTOM for requirement in specification.requirements)


def test_a_field_keeps_every_constraint():
    text = resource(
        "    fields:\n"
        '      - code: string (required, unique, min_length 2, max length 8, pattern "^[A-Z]{1,2}[0-9]+$", example AB12)\n'
        "      - price: decimal (min 0, max=99.5, default 1.5)\n"
        "      - state: enum(open|closed) (default closed)\n"
        "      - class: str\n"
    )
    code, price, state, odd = parsed(text).resources[0].fields
    assert (code.required, code.unique, code.min_length, code.max_length) == (True, True, 2, 8)
    assert (code.pattern, code.example) == ("^[A-Z]{1,2}[0-9]+$", "AB12")
    assert (price.type, price.minimum, price.maximum, price.default) == ("number", 0, 99.5, "1.5")
    assert (state.choices, state.default) == (("open", "closed"), "closed")
    assert (odd.name, odd.attribute) == ("class", "class_")


def test_an_endpoint_may_have_a_verb_of_its_own_and_an_effect():
    text = resource(
        "    fields:\n      - state: enum(open|closed)\n"
        "    endpoints:\n"
        "      - GET /things/:id\n"
        "      - POST /things/{id}/shut (shut, public):\n"
        "          sets: {state: closed}\n"
        "          needs: {state: open}\n"
        "      - POST /things/{id}/ring (ring): rings a bell\n"
    )
    read, shut, ring = parsed(text).resources[0].endpoints
    assert (read.path, read.verb, read.parameters) == ("/things/{id}", "read", ("id",))
    assert (shut.verb, shut.public, shut.sets, shut.needs) == ("shut", True, {"state": "closed"}, {"state": "open"})
    assert ring.description == "rings a bell"


def test_a_string_named_like_a_password_is_one():
    field = parsed(resource("    fields:\n      - password_hash: string (required)\n")).resources[0].fields[0]
    assert (field.name, field.type, field.required) == ("password", "password", True)


def test_references_are_found_whatever_their_number():
    text = (
        "name: x\nresources:\n"
        "  authors:\n    fields: [{name: string}]\n    relationships:\n      - has_many: book\n"
        "  Book:\n    fields:\n      - author_id: integer (required, references authors)\n      - title: string\n"
        "    relationships:\n      - belongs_to: book as sequel_of (optional)\n"
    )
    authors, book = parsed(text).resources
    assert [(link.resource, link.key, link.required) for link in book.belongs_to] == [
        ("book", "sequel_of_id", False),
        ("authors", "author_id", True),
    ]
    assert [(many.resource, many.key) for many in authors.has_many] == [("book", "author_id")]
    assert [field.name for field in book.fields] == ["title"]


def test_a_has_many_alone_brings_the_other_half():
    text = (
        "name: x\nresources:\n"
        "  box:\n    fields: [{name: string}]\n    relationships: [has_many: items]\n"
        "  item:\n    fields: [{name: string}]\n"
    )
    item = parsed(text).resources[1]
    assert [(link.key, link.required) for link in item.belongs_to] == [("box_id", False)]


def test_the_book_style_of_sections_is_read_too():
    text = (
        "project:\n  name: x\n  description: y\n"
        "resources:\n  - name: user\n    fields:\n      - email: email (unique)\n      - password: password\n"
        "performance_requirements:\n  - response_time: '< 200ms (p99)'\n"
        "security_requirements:\n  - JWT authentication\n  - rate_limiting: 100 req/min\n"
    )
    specification = parsed(text)
    assert (specification.name, specification.description) == ("x", "y")
    assert [each.kind for each in specification.requirements] == ["latency", AUTHENTICATION, RATE_LIMIT]
    assert specification.requirements[0].numbers == {"percentile": 99, "milliseconds": 200}
    assert specification.requirements[2].numbers == {"requests": 100, "seconds": 60}


@pytest.mark.parametrize(
    ("sentence", "rule", "value"),
    [
        ("due must not be before begin", "not_before", "begin"),
        ("due must be after begin", "after", "begin"),
        ("due: must not be in the past", "not_in_past", None),
        ("title must not be blank", "not_blank", None),
        ("title must contain at least one digit", "has_digit", None),
        ("title must rhyme", None, None),
    ],
)
def test_validations_with_a_known_meaning_become_rules(sentence, rule, value):
    text = resource(
        f"    fields: [{{title: string}}, {{begin: date}}, {{due: date}}]\n    validations:\n      - {sentence}\n"
    )
    validation = parsed(text).resources[0].validations[0]
    assert (validation.rule, validation.value) == (rule, value)


F = "    fields:\n      - name: string\n"
MALFORMED = [
    ("name: x\nresorces: {}\n", 2, "unknown key `resorces`", "did you mean `resources`?"),
    ("name: x\n", 1, "no `resources`", "add at least one"),
    ("resources:\n  a:\n    fields: [{b: string}]\n", 1, "no `name`", "add `name:"),
    ("name: x\nresources: {}\n", 2, "is empty", "add at least one"),
    ("name: x\nresources: lots\n", 2, "must be a mapping or a list", "below"),
    ("- name: x\n", 1, "must be a mapping", "begin with"),
    (resource("    fields:\n      - name: strng\n"), 5, "no type `strng`", "did you mean `string`?"),
    (resource("    fields:\n      - name\n"), 5, "has no type", "write `name: type"),
    (resource("    fields:\n      - tags: list\n"), 5, "no type `list`", "use `json`"),
    (
        resource("    fields:\n      - name: string (requird)\n"),
        5,
        "unknown constraint `requird`",
        "did you mean `required`?",
    ),
    (resource("    fields:\n      - name: string required\n"), 5, "is not understood", "parentheses"),
    (resource("    fields:\n      - name: string (min_length 9, max_length 2)\n"), 5, "is greater than", "swap"),
    (resource("    fields:\n      - age: integer (min young)\n"), 5, "needs a number", "write `min 1`"),
    (resource("    fields:\n      - ok: boolean (min 1)\n"), 5, "does not fit type", "remove it"),
    (resource("    fields:\n      - s: enum(open)\n"), 5, "two or more", "enum(open|closed)"),
    (resource("    fields:\n      - s: enum(a|b) (default c)\n"), 5, "none of its values", "known: a, b"),
    (resource('    fields:\n      - s: string (pattern "([")\n'), 5, "no regular expression", "mend"),
    (resource("    fields:\n      - Ünïcode: string\n"), 5, "cannot be used", "`unicode`"),
    (resource("    fields:\n      - a-b: string\n      - a_b: string\n"), 6, "`a_b` and `a-b` (line 5)", "rename"),
    (resource("    fields:\n      - a: string\n      - a: string\n"), 6, "twice, first on line 5", "remove"),
    (resource(F + "    endpoints:\n      - FETCH /things (list)\n"), 7, "no method `FETCH`", "GET, POST"),
    (resource(F + "    endpoints:\n      - GET things (list)\n"), 7, "must begin with /", "write `/things`"),
    (resource(F + "    endpoints:\n      - things\n"), 7, "is not understood", "METHOD /path (verb)"),
    (resource(F + "    endpoints:\n      - GET /a/{b (read)\n"), 7, "cannot be a part of a path", "{parameter}"),
    (
        resource(F + "    endpoints:\n      - GET /a/{x} (read)\n      - GET /a/{y} (get)\n"),
        8,
        "twice, first on line 7",
        "remove",
    ),
    (
        resource(F + "    endpoints:\n      - POST /a/{id}/b (b):\n          sets: {nam: x}\n"),
        8,
        "unknown field `nam`",
        "did you mean `name`?",
    ),
    (resource(F + "    endpoints: GET /things\n"), 6, "must be a list", "after `- `"),
    (resource(F + "    relationships:\n      - belongs_to: thng\n"), 7, "no resource `thng`", "did you mean `thing`?"),
    (
        resource(F + "    relationships:\n      - belong_to: thing\n"),
        7,
        "unknown relationship",
        "did you mean `belongs_to`?",
    ),
    (
        resource(F + "    relationships:\n      - belongs_to: thing\n      - belongs_to: thing\n"),
        8,
        "two references",
        "as another_name",
    ),
    (resource(F + "    colour: red\n"), 6, "unknown key `colour`", "known: name"),
    (resource("    description: nothing else\n"), 3, "has no fields", "add `fields:`"),
    ("name: x\nresources:\n  user:\n" + F + "  users:\n" + F, 6, "`users` and `user` (line 3)", "rename"),
    (resource(F) + "performance:\n  - answers quickly with low latency\n", 6 + 1, "has no time", "p95"),
    (resource(F) + "security:\n  - rate limit\n", 7, "has no rate", "100 requests per minute"),
    (resource(F) + "quality:\n  - coverage of 120 %\n", 7, "between 1 and 100", "80 %"),
    (resource(F) + "security:\n  - JWT authentication\n", 6, "no resource has a password", "password: password"),
    (resource(F) + "architecture:\n  language: cobol\n", 7, "no layout for the language", "known: python"),
    (resource(F) + "architecture:\n  framwork: x\n", 7, "unknown key `framwork`", "did you mean `framework`?"),
    ("name: x\nname: y\n", 2, "stands here twice, first on line 1", "remove"),
    ("name: &a x\nresources: *a\n", 1, "an anchor", "write the value out"),
    ("name: !!python/object:os.system x\n", 1, "a tag", "remove the tag"),
    ("name: x\n\tresources: y\n", 2, "a tab", "spaces"),
    ("name: x\n---\nname: y\n", 2, "a second document", "one document"),
    (resource("    fields:\n      - name: string (max_length: 3)\n"), 5, "a colon followed by a space", "quotes"),
    ("name: [x\n", 2, "not valid YAML", "check"),
    ("name: x\x07\n", 1, "control character", "remove"),
    (b"name: x\n# caf\xe9\n", 2, "not UTF-8", "save the file as UTF-8"),
    ("", 0, "the file is empty", "write at least"),
    ("# only a comment\n", 0, "the file is empty", "write at least"),
    ("a: " + "[" * 60 + "]" * 60, 1, "nested more than", "flatten"),
]


@pytest.mark.parametrize(("text", "line", "what", "mend"), MALFORMED)
def test_what_is_malformed_is_named_with_its_line_and_mend(text, line, what, mend):
    problems = refused(text).problems
    matching = [each for each in problems if what in each.what]
    assert matching, problems
    assert (matching[0].line, mend in matching[0].mend) == (line, True), matching[0]


def test_all_problems_are_told_at_once_in_line_order():
    error = refused(
        "nme: x\nresources:\n  a:\n    fields:\n      - b: strin\n      - c: integer (mn 1)\n    endpoints:\n      - GET b\n"
    )
    assert [each.line for each in error.problems] == [1, 1, 5, 6, 8]
    assert "spec.yaml:5: field `b`" in str(error)


def test_an_alias_bomb_is_refused_before_it_grows():
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20)
    )
    assert all("anchor" in each.what or "alias" in each.what for each in refused(bomb).problems)


def test_a_file_that_is_too_large_or_missing_is_refused(tmp_path):
    large = tmp_path / "large.yaml"
    large.write_bytes(b"# " + b"x" * MAX_SPEC_BYTES)
    with pytest.raises(InvalidDocumentError, match="larger than 512 KiB"):
        load_specification(large)
    with pytest.raises(InvalidDocumentError, match="no such file"):
        load_specification(tmp_path / "none.yaml")
    with pytest.raises(InvalidDocumentError, match="cannot be read"):
        load_specification(tmp_path)


def test_two_resources_that_have_many_of_each_other_are_told_to_get_a_third():
    text = (
        "name: x\nresources:\n"
        "  post:\n    fields: [{a: string}]\n    relationships: [has_many: tags]\n"
        "  tag:\n    fields: [{a: string}]\n    relationships: [has_many: posts]\n"
    )
    assert any("each have many of the other" in each.what for each in refused(text).problems)
