"""Writes `tests/requirements/test_<requirement>.py`: one file that proves one requirement of the whole application."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal import naming
from swarmworks.provider.rehearsal.build.imports import with_imports
from swarmworks.provider.rehearsal.build.rendering import LINE_LENGTH
from swarmworks.provider.rehearsal.resources import dotted
from swarmworks.provider.rehearsal.specification import neighbour_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from swarmworks.provider.rehearsal.build.rendering import Renderer
    from swarmworks.provider.rehearsal.resources import Authentication
    from swarmworks.provider.rehearsal.specification import Facts

    Entry = dict[str, str]
    Build = Callable[[Renderer, Facts, Authentication | None, Mapping[str, str]], str]

PASSWORD = "Secret-pass-1"  # noqa: S105 - a sample for generated tests
PARAMETER = re.compile(r"\{[^{}]+\}")
PATHLIB = "from pathlib import Path"
BODY_TEXT = 10_000


def authentication_tests(
    renderer: Renderer, facts: Facts, authentication: Authentication | None, _files: Mapping[str, str]
) -> str:
    protected = [_called(entry) for entry in facts.entries("protected")]
    login = authentication.login_path if authentication else ""
    public = [_called(entry) for entry in facts.entries("public") if str(entry.get("path")) != login]
    source = _render(
        renderer, "authentication", facts, authentication=authentication, protected=protected, public=public
    )
    local = [f"from {dotted(authentication.factory)} import {authentication.make}"] if authentication else []
    if not protected:
        source = source.replace(
            "# imports #", "# imports #\nfrom fastapi.security import HTTPAuthorizationCredentials", 1
        )
    return with_imports(source, local)


def password_tests(
    renderer: Renderer, facts: Facts, _authentication: Authentication | None, _files: Mapping[str, str]
) -> str:
    entries: list[Entry] = []
    local: list[str] = []
    for entry in facts.entries("secrets"):
        other = neighbour_of(entry)
        secret = next((name for name, kind in other.fields.items() if kind == "password"), "password")
        entries.append({"identifier": other.identifier, "make": other.make, "table": other.table, "secret": secret})
        local.append(f"from {dotted(other.factory)} import {other.make}")
    return with_imports(_render(renderer, "password_hashing", facts, secrets=entries, password=PASSWORD), local)


def rate_limit_tests(
    renderer: Renderer, facts: Facts, _authentication: Authentication | None, _files: Mapping[str, str]
) -> str:
    requirement = facts.mapping("requirement")
    source = _render(
        renderer, "rate_limit", facts, requests=requirement.get("requests"), seconds=requirement.get("seconds")
    )
    return with_imports(source, extra=[PATHLIB])


def timing_tests(
    renderer: Renderer, facts: Facts, authentication: Authentication | None, _files: Mapping[str, str]
) -> str:
    requirement = facts.mapping("requirement")
    figures = {
        name: requirement.get(name, 0) for name in ("milliseconds", "percentile", "requests_per_second", "users")
    }
    entries = [_entry(each, authentication, "records[0]") for each in facts.entries("measured")]
    source = _render(renderer, "timing", facts, kind=requirement.get("kind"), entries=entries, **figures)
    return with_imports(source, _makers(entries, source))


def pagination_tests(
    renderer: Renderer, facts: Facts, authentication: Authentication | None, _files: Mapping[str, str]
) -> str:
    entries = [_entry(each, authentication, "record") for each in facts.entries("lists")]
    source = _render(renderer, "pagination", facts, entries=entries)
    return with_imports(source, _makers(entries, source))


def documentation_tests(
    renderer: Renderer, facts: Facts, authentication: Authentication | None, _files: Mapping[str, str]
) -> str:
    entries = [_entry(each, authentication, "record") for each in facts.entries("endpoints")]
    return with_imports(_render(renderer, "documentation", facts, entries=entries))


def input_tests(
    renderer: Renderer, facts: Facts, authentication: Authentication | None, _files: Mapping[str, str]
) -> str:
    entries = [_entry(each, authentication, "record") for each in facts.entries("bodies")]
    source = _render(renderer, "input_validation", facts, entries=entries)
    return with_imports(source, _makers(entries, source))


def injection_tests(
    renderer: Renderer, facts: Facts, authentication: Authentication | None, files: Mapping[str, str]
) -> str:
    entries: list[Entry] = []
    for each in facts.entries("texts"):
        other = neighbour_of(each)
        field = str(each.get("field"))
        entries.append(
            {
                **_fixtures(authentication, sent=False),
                "identifier": other.identifier,
                "make": other.make,
                "factory": other.factory,
                "table": other.table,
                "field": field,
                "field_name": naming.attribute_name(field).strip("_"),
                "length": str(_longest(files.get(other.module, ""), field)),
            }
        )
    source = _render(renderer, "sql_injection", facts, entries=entries)
    return with_imports(source, _makers(entries, source))


BUILDERS: dict[str, Build] = {
    "authentication": authentication_tests,
    "password_hashing": password_tests,
    "rate_limit": rate_limit_tests,
    "latency": timing_tests,
    "throughput": timing_tests,
    "concurrency": timing_tests,
    "pagination": pagination_tests,
    "documentation": documentation_tests,
    "input_validation": input_tests,
    "sql_injection": injection_tests,
}


def _render(renderer: Renderer, template: str, facts: Facts, **values: object) -> str:
    text = re.sub(r"\s+", " ", str(facts.mapping("requirement").get("text") or template)).strip().replace('"', "'")
    text = text[: LINE_LENGTH - 8]
    sentence = text if text.endswith(".") else f"{text}."
    return renderer.render(f"tests/requirements/{template}.py", text=sentence[:1].upper() + sentence[1:], **values)


def _called(entry: Mapping[str, object]) -> Entry:
    """An endpoint that only has to be reached: any id will do."""
    return {"method": str(entry.get("method")), "path": PARAMETER.sub("1", str(entry.get("path")))}


def _entry(entry: Mapping[str, object], authentication: Authentication | None, record: str) -> Entry:
    """An endpoint to call about a record, and who makes the record."""
    method, path = str(entry.get("method")), str(entry.get("path"))
    make, factory = _maker(entry, path)
    spoken = PARAMETER.sub("one", path).strip("/")
    expression = "f" if "{" in path else ""
    target = PARAMETER.sub(lambda _: f"{{{record}['id']}}", path)
    return {
        **_fixtures(authentication, sent=entry.get("protected") is True),
        "method": method,
        "raw_path": path,
        "path": f'{expression}"{target}"',
        "function": naming.snake(f"{method.lower()}_{spoken}") or "root",
        "make": make,
        "factory": factory,
    }


def _maker(entry: Mapping[str, object], path: str) -> tuple[str, str]:
    """The factory of what the path's first parameter names: in `/projects/{id}/tasks` a project."""
    make, factory = str(entry.get("make")), str(entry.get("factory"))
    before, parameter, after = path.partition("{")
    if parameter and not after.endswith("}"):
        owner = naming.singular(naming.snake(before.strip("/").rpartition("/")[2]))
        action = after.partition("/")[2].strip("/")
        related = naming.singular(naming.snake(action)) == make.removeprefix("make_")
        if related and owner and f"make_{owner}" != make:
            return f"make_{owner}", f"tests/factories/{naming.module_name(owner)}.py"
    return make, factory


def _fixtures(authentication: Authentication | None, *, sent: bool) -> Entry:
    if authentication is None:
        return {"fixtures": "client: TestClient", "headers": "{}", "sent": ""}
    return {
        "fixtures": "client: TestClient, auth_headers: dict[str, str]",
        "headers": "auth_headers",
        "sent": ", headers=auth_headers" if sent else "",
    }


def _makers(entries: list[Entry], source: str) -> list[str]:
    return [
        f"from {dotted(entry['factory'])} import {entry['make']}" for entry in entries if f"{entry['make']}(" in source
    ]


def _longest(model: str, field: str) -> int:
    """The field's max_length as the model module declares it."""
    name = re.escape(naming.attribute_name(field))
    found = re.search(rf"^    {name}: [^\n]*?(?:\n {{8}}[^\n]*)*?max_length=(\d+)", model, re.MULTILINE)
    return int(found[1]) if found else BODY_TEXT
