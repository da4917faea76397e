"""From a task to the files that answer it. Pure: a brief and the files seen so far in, texts out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal.build import documents, endpoints, factories, models, requirements, scaffold, tests
from swarmworks.provider.rehearsal.sharing import shared_paths
from swarmworks.provider.rehearsal.specification import (
    Facts,
    authentication_of,
    endpoint_of,
    facts_of,
    neighbour_of,
    neighbour_of_resource,
    resource_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from swarmworks.provider.rehearsal.build.rendering import Renderer
    from swarmworks.provider.rehearsal.prompt import Brief
    from swarmworks.provider.rehearsal.resources import Authentication, Neighbour, Resource

BY_KIND = {
    "scaffold": "scaffold",
    "implement_database": "schema",
    "implement_endpoint": "endpoint",
    "write_tests": "tests",
    "verify_quality": "quality",
    "document": "document",
}


MENDING = frozenset({"fix_bug", "refactor"})
TESTS = "tests/"


class CannotError(Exception):
    """The task is not one this model can do; the message is the plain answer to give."""


@dataclass(frozen=True, slots=True)
class Work:
    """`files` to write, in order; `runs` are tests of its own to run; `dropped` are lines that the resolution of a conflict
    leaves out; `floor` is set when coverage has to be proved.
    """

    done: str
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    runs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    dropped: tuple[Mapping[str, str], ...] = ()
    floor: float | None = None


def wanted_files(brief: Brief) -> tuple[str, ...]:
    """Files worth reading first because the prompt does not hold them, or not as they stand in the working copy."""
    if brief.kind in MENDING:
        return tuple(path for path in brief.owns if not path.endswith("/"))
    found = [neighbour_of(entry).module for entry in facts_of(brief.specification).entries("texts")]
    return tuple(path for path in (*found, *shared_paths(brief)) if path not in brief.files)


def work_for(renderer: Renderer, brief: Brief, files: Mapping[str, str]) -> Work:
    """Raise `CannotError` for what this model does not know how to do."""
    _check_stack(brief)
    if brief.kind in MENDING:
        return _mend(renderer, brief, files)
    work = _by_facts(renderer, brief, facts_of(brief.specification), files)
    outside = [path for path in work.files if not brief.owns_path(path)]
    if outside:
        raise CannotError(f"the task asks for {', '.join(outside)}, which it does not own")
    return work


def _check_stack(brief: Brief) -> None:
    known = ("python", "fastapi", "sqlite")
    if any(part and not part.startswith(name) for part, name in zip(brief.stack, known, strict=False)):
        raise CannotError(
            f"the rehearsal model writes Python with FastAPI on SQLite only, and this task is for {brief.stack_text}"
        )


def _about(brief: Brief) -> str:
    """What a request without a planner's facts is about, from its kind and the files it owns."""
    owned = " ".join(brief.owns)
    if "_links.py" in owned:
        return "links"
    if "app/security.py" in owned:
        return "security"
    if "rate_limit.py" in owned and "app/" in owned:
        return "rate_limit"
    if match := re.search(r"tests/requirements/test_(\w+)\.py", owned):
        return f"tests_{match[1]}"
    return BY_KIND.get(brief.kind, "")


def _by_facts(renderer: Renderer, brief: Brief, facts: Facts, files: Mapping[str, str]) -> Work:
    about = facts.about or _about(brief)
    authentication = authentication_of(facts.data.get("authentication"))
    build = BUILDERS.get(about)
    if build is not None:
        return build(renderer, brief, facts, authentication)
    prove = requirements.BUILDERS.get(about.removeprefix("tests_")) if about.startswith("tests_") else None
    if prove is None:
        raise CannotError(f"the rehearsal model has no rule for a task of kind {brief.kind}: {brief.title}")
    made = {_owned(brief, "test_"): prove(renderer, facts, authentication, files)}
    return Work(f"Wrote tests of the requirement: {about.removeprefix('tests_')}.", made, _tests(made))


def _scaffold(renderer: Renderer, brief: Brief, facts: Facts, authentication: Authentication | None) -> Work:
    title = str(facts.mapping("application").get("name") or brief.title)
    made = dict(scaffold.scaffold_files(renderer, brief.owns, title, authentication))
    return Work("Laid the application's ground: it starts, migrates and says it is healthy.", made, _tests(made))


def _security(renderer: Renderer, brief: Brief, facts: Facts, authentication: Authentication | None) -> Work:
    seconds = facts.data.get("token_seconds")
    lifetime = seconds if isinstance(seconds, int) else scaffold.TOKEN_SECONDS
    text = scaffold.security_module(renderer, authentication=authentication is not None, token_seconds=lifetime)
    return Work("Wrote password hashing and bearer tokens.", {_owned(brief, "security"): text})


def _rate_limit(renderer: Renderer, brief: Brief, facts: Facts, _authentication: Authentication | None) -> Work:
    limit = facts.mapping("requirement")
    text = scaffold.rate_limit_module(renderer, _whole(limit, "requests"), _whole(limit, "seconds"))
    return Work("Wrote the rate limit as middleware.", {_owned(brief, "rate_limit"): text})


def _quality(_renderer: Renderer, _brief: Brief, facts: Facts, _authentication: Authentication | None) -> Work:
    return Work("The whole was measured.", floor=float(str(facts.data.get("coverage_floor") or 80)))


def _document(_renderer: Renderer, brief: Brief, facts: Facts, _authentication: Authentication | None) -> Work:
    made = {path: documents.page(brief.title, brief.instructions, facts) for path in _pages(brief)}
    return Work("Wrote down what the specification says.", made)


def _pages(brief: Brief) -> list[str]:
    found = [path for path in brief.owns if path.endswith(".md")]
    if not found or not brief.instructions:
        raise CannotError("the rehearsal model documents in Markdown files that the task owns, from what it is told")
    return found


def _whole(facts: Mapping[str, object], key: str) -> int:
    value = facts.get(key)
    if not isinstance(value, int | float):
        raise CannotError(f"the specification says no {key}")
    return int(value)


def _owned(brief: Brief, part: str) -> str:
    found = next((path for path in brief.owns if part in path.rpartition("/")[2]), None)
    if found is None:
        raise CannotError(f"none of the files this task owns is meant for {part.strip('_')}: {', '.join(brief.owns)}")
    return found


def _tests(files: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(path for path in files if path.rpartition("/")[2].startswith("test_"))


def _resource(facts: Facts) -> Resource:
    data = facts.mapping("resource") or (dict(facts.data) if "fields" in facts.data else {})
    if not data.get("name"):
        raise CannotError("the specification names no resource")
    return resource_of(data)


def _neighbours(facts: Facts, resource: Resource) -> dict[str, Neighbour]:
    found = [neighbour_of(entry) for entry in facts.entries("references")]
    known = {other.identifier: other for other in found}
    for reference in resource.references:
        if reference.target not in known and reference.target != resource.identifier:
            known[reference.target] = neighbour_of(
                {"name": reference.target, "module": reference.module, "id": reference.id_type}
            )
    return known


def _schema(renderer: Renderer, brief: Brief, facts: Facts, authentication: Authentication | None) -> Work:
    resource = _resource(facts)
    identity = _identity(brief, facts, authentication)
    made: dict[str, str] = {}
    for path in brief.owns:
        if path.startswith("tests/factories/"):
            factory = facts.mapping("factory")
            through = str(factory.get("through") or "module")
            function = str(factory.get("function") or f"make_{resource.identifier}")
            made[path] = factories.factory_module(renderer, resource, _neighbours(facts, resource), through, function)
        elif path.endswith(".py"):
            made[path] = models.model_module(renderer, resource, identity)
    if not made:
        raise CannotError("none of the files this task owns is a module")
    done = f"Wrote the table, the models and the queries of {resource.noun}, and its test factory."
    return Work(done, made, notes=(f"the table is {resource.table}",), risks=resource.notes)


FIND_SECRET = re.compile(r"\.find_secret\(db: sqlite3\.Connection, (\w+): str\)")


def _identity(brief: Brief, facts: Facts, authentication: Authentication | None) -> str:
    """The field people sign in with: from the facts, else from the interface that the task must keep."""
    resource = facts.mapping("resource").get("name")
    if authentication and authentication.resource == resource:
        return authentication.identifier
    found = FIND_SECRET.search("\n".join(brief.contracts))
    return found[1] if found else ""


def _links(renderer: Renderer, brief: Brief, facts: Facts, _authentication: Authentication | None) -> Work:
    resource = _resource(facts)
    made: dict[str, str] = {}
    for path in brief.owns:
        if path.startswith("tests/"):
            made[path] = scaffold.links_tests(renderer, resource)
        else:
            made[path] = models.links_module(renderer, resource, facts.text("migration"))
    return Work(f"Added the late references of {resource.noun} as triggers.", made, _tests(made))


def _route(facts: Facts, resource: Resource, authentication: Authentication | None) -> endpoints.Route:
    endpoint = endpoint_of(facts.data.get("endpoint"), resource)
    owner = facts.mapping("owner")
    if endpoint.key and not owner:
        return endpoints.Route(endpoint, resource, neighbour_of_resource(resource), authentication)
    return endpoints.Route(endpoint, resource, neighbour_of(owner) if owner else None, authentication)


def _endpoint(renderer: Renderer, brief: Brief, facts: Facts, authentication: Authentication | None) -> Work:
    route = _route(facts, _resource(facts), authentication)
    if not route.endpoint.path:
        raise CannotError("the specification names no endpoint")
    module = route.endpoint.module
    path = module if brief.owns_path(module) else next((p for p in brief.owns if p.endswith(".py")), module)
    return Work(
        f"Wrote {route.endpoint.method} {route.endpoint.path}.",
        {path: endpoints.endpoint_module(renderer, route)},
        risks=_unclear(route),
    )


def _unclear(route: endpoints.Route) -> tuple[str, ...]:
    endpoint = route.endpoint
    if endpoint.action == "custom" and not endpoint.sets and endpoint.method != "GET":
        return (
            f"nothing says what {endpoint.verb} changes: {endpoint.method} {endpoint.path} answers without a change",
        )
    return ()


def _endpoint_tests(renderer: Renderer, brief: Brief, facts: Facts, authentication: Authentication | None) -> Work:
    resource = _resource(facts)
    route = _route(facts, resource, authentication)
    cases = tuple(facts.entries("cases")) or _default_cases(route)
    plan = tests.TestPlan(route, cases, _neighbours(facts, resource))
    made = {_owned(brief, "test_"): tests.endpoint_tests(renderer, plan)}
    return Work(f"Wrote the tests of {route.endpoint.method} {route.endpoint.path}.", made, _tests(made))


def _default_cases(route: endpoints.Route) -> tuple[dict[str, object], ...]:
    """What is always worth showing, for a request that lists no cases."""
    found: list[dict[str, object]] = []
    if route.endpoint.action == "create":
        fields = route.resource.fields
        found.extend({"case": "missing", "field": f.key} for f in fields if f.needed)
        found.extend({"case": "duplicate", "field": f.key} for f in fields if f.unique and f.written)
    if route.endpoint.parameters:
        found.append({"case": "unknown_id"})
    if route.endpoint.protected:
        found.append({"case": "no_token"})
    return tuple(found)


def _mend(renderer: Renderer, brief: Brief, files: Mapping[str, str]) -> Work:
    """Write what the rejection is about again, from the specification; tests that are there already stay as they are.
    Without a rejection to read there is nothing to go by.
    """
    rejection = brief.rejection
    if rejection is None or not any(rejection.names(path) for path in brief.owns):
        raise CannotError("what is reported names no file that this model would write differently")
    made: dict[str, str] = {}
    notes: list[str] = []
    for facts in _parts(brief):
        part = _part_of(brief, facts)
        work = _by_facts(renderer, part, facts, files)
        notes += work.notes
        made |= {path: text for path, text in work.files.items() if brief.owns_path(path)}
    kept = {path for path in made if path in files and path.startswith(TESTS)}
    written = {path: text for path, text in made.items() if path not in kept and files.get(path) != text}
    if not written and not kept:
        raise CannotError("what is reported names no file that this model would write differently")
    done = f"Rewrote {', '.join(written)} from the specification." if written else "Nothing is left to mend."
    if kept:
        done += f" {', '.join(sorted(kept))}: kept as it is."
    return Work(done, written, _tests(made), tuple(notes))


def _parts(brief: Brief) -> list[Facts]:
    """The facts of each task whose work is mended: documents one after the other, or below a key each."""
    found: list[Facts] = []
    for document in brief.documents:
        facts = facts_of(document)
        below = [facts_of(value) for value in facts.data.values()]
        found += [facts] if facts.about or not any(each.about for each in below) else [f for f in below if f.about]
    return found


def _part_of(brief: Brief, facts: Facts) -> Brief:
    """The task as one of its parts had it: the tests own the tests, the implementation the rest."""
    about = facts.about or _about(brief)
    if not about.startswith("tests"):
        rest = tuple(path for path in brief.owns if not path.startswith(TESTS))
        return replace(brief, owns=rest) if rest and about in {"endpoint", "security", "rate_limit"} else brief
    return replace(brief, owns=tuple(path for path in brief.owns if path.startswith(TESTS)))


BUILDERS: dict[str, Callable[[Renderer, Brief, Facts, Authentication | None], Work]] = {
    "scaffold": _scaffold,
    "security": _security,
    "rate_limit": _rate_limit,
    "schema": _schema,
    "links": _links,
    "endpoint": _endpoint,
    "tests": _endpoint_tests,
    "quality": _quality,
    "document": _document,
}
