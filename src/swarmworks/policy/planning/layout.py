"""Where files go, by framework: one module per endpoint, one owner for each shared file, registration by discovery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarmworks.domain.spec import Architecture

PYTHON, JAVASCRIPT, TYPESCRIPT = "python", "javascript", "typescript"


@dataclass(frozen=True, slots=True)
class Layout:
    """Path patterns with `{name}` for the module's name. `texts` names the file with the words of the tasks."""

    texts: str
    model: str
    endpoint: str
    test: str
    requirement_test: str
    quality_tests: str
    security: str
    rate_limit: str
    database: str
    support: str
    scaffold: tuple[str, ...]
    factory: str = ""

    def factory_of(self, name: str) -> str:
        return self.factory.format(name=name)


FASTAPI = Layout(
    texts="fastapi",
    model="app/models/{name}.py",
    endpoint="app/api/{name}.py",
    test="tests/test_{name}.py",
    requirement_test="tests/requirements/test_{name}.py",
    quality_tests="tests/quality/",
    security="app/security.py",
    rate_limit="app/middleware/rate_limit.py",
    database="app/database.py",
    support="tests/conftest.py",
    scaffold=(
        "app/__init__.py",
        "app/main.py",
        "app/database.py",
        "app/api/__init__.py",
        "app/models/__init__.py",
        "app/middleware/__init__.py",
        "tests/__init__.py",
        "tests/conftest.py",
        "tests/factories/__init__.py",
        "tests/requirements/__init__.py",
        "tests/test_health.py",
    ),
    factory="tests/factories/{name}.py",
)

DJANGO = Layout(
    texts="generic",
    model="api/models/{name}.py",
    endpoint="api/views/{name}.py",
    test="tests/test_{name}.py",
    requirement_test="tests/requirements/test_{name}.py",
    quality_tests="tests/quality/",
    security="api/security.py",
    rate_limit="api/middleware/rate_limit.py",
    database="config/settings.py",
    support="tests/conftest.py",
    scaffold=(
        "manage.py",
        "config/__init__.py",
        "config/settings.py",
        "config/urls.py",
        "config/wsgi.py",
        "api/__init__.py",
        "api/models/__init__.py",
        "api/views/__init__.py",
        "api/middleware/__init__.py",
        "tests/__init__.py",
        "tests/conftest.py",
        "tests/requirements/__init__.py",
        "tests/test_health.py",
    ),
)

_BY_FRAMEWORK = {"django": DJANGO}

_EXTENSIONS = {
    PYTHON: "py",
    JAVASCRIPT: "js",
    TYPESCRIPT: "ts",
    "go": "go",
    "ruby": "rb",
    "java": "java",
    "rust": "rs",
    "php": "php",
    "csharp": "cs",
}


def layout_for(architecture: Architecture) -> Layout:
    """FastAPI on SQLite has conventions of its own; every other stack gets its table or a plain layout by language."""
    if architecture.framework == "fastapi" and architecture.database.startswith("sqlite"):
        return FASTAPI
    return _BY_FRAMEWORK.get(architecture.framework) or _plain(architecture.language)


def _plain(language: str) -> Layout:
    extension = _EXTENSIONS[language]
    test = (
        "tests/test_{name}."
        if language == PYTHON
        else "tests/{name}.test."
        if language in {JAVASCRIPT, TYPESCRIPT}
        else "tests/{name}_test."
    )
    return Layout(
        texts="generic",
        model="src/models/{name}." + extension,
        endpoint="src/endpoints/{name}." + extension,
        test=test + extension,
        requirement_test=test.replace("tests/", "tests/requirements/") + extension,
        quality_tests="tests/quality/",
        security=f"src/security.{extension}",
        rate_limit=f"src/middleware/rate_limit.{extension}",
        database=f"src/database.{extension}",
        support=f"tests/support.{extension}",
        scaffold=(
            f"src/app.{extension}",
            f"src/database.{extension}",
            f"tests/support.{extension}",
            (test + extension).format(name="health"),
        ),
    )
