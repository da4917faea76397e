"""Writes the application's shell, its security and its rate limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal.build.imports import with_imports
from swarmworks.provider.rehearsal.build.requirements import PASSWORD
from swarmworks.provider.rehearsal.resources import dotted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swarmworks.provider.rehearsal.build.rendering import Renderer
    from swarmworks.provider.rehearsal.resources import Authentication, Resource

TOKEN_SECONDS = 3600


def scaffold_files(
    renderer: Renderer, owned: tuple[str, ...], title: str, authentication: Authentication | None
) -> Iterator[tuple[str, str]]:
    for path in owned:
        if path.endswith("/__init__.py"):
            yield path, ""
        elif path == "app/main.py":
            yield path, renderer.render("app/main.py", title=title)
        elif path == "app/database.py":
            yield path, renderer.render("app/database.py")
        elif path == "tests/test_health.py":
            yield path, renderer.render("tests/test_health.py")
        elif path == "tests/conftest.py":
            factory = dotted(authentication.factory) if authentication else ""
            yield (
                path,
                renderer.render(
                    "tests/conftest.py", authentication=authentication, factory_module=factory, password=PASSWORD
                ),
            )


def security_module(renderer: Renderer, *, authentication: bool, token_seconds: int) -> str:
    return renderer.render("app/security.py", authentication=authentication, token_seconds=token_seconds)


def rate_limit_module(renderer: Renderer, requests: int, seconds: float) -> str:
    return renderer.render("app/rate_limit.py", limit=requests, seconds=seconds)


def links_tests(renderer: Renderer, resource: Resource) -> str:
    late = [reference for reference in resource.references if not reference.enforced]
    source = renderer.render("tests/links.py", resource=resource, late=late)
    return with_imports(source, extra=["from pathlib import Path"])
