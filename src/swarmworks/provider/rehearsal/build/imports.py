"""Import blocks: which names a generated body uses, and the order in which imports are written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MARK = "# imports #"
LINE_LENGTH = 100

STANDARD = {
    "dt": "import datetime as dt",
    "itertools": "import itertools",
    "json": "import json",
    "math": "import math",
    "sqlite3": "import sqlite3",
    "time": "import time",
    "Annotated": "from typing import Annotated",
    "Any": "from typing import Any",
    "Literal": "from typing import Literal",
    "Self": "from typing import Self",
    "cast": "from typing import cast",
    "closing": "from contextlib import closing",
    "Decimal": "from decimal import Decimal",
    "Iterator": "from collections.abc import Iterator",
    "ThreadPoolExecutor": "from concurrent.futures import ThreadPoolExecutor",
    "UUID": "from uuid import UUID",
    "uuid4": "from uuid import uuid4",
}
PYDANTIC = (
    "AfterValidator",
    "BaseModel",
    "ConfigDict",
    "Field",
    "JsonValue",
    "ValidationError",
    "field_validator",
    "model_validator",
)
THIRD_PARTY = {
    **{name: f"from pydantic import {name}" for name in PYDANTIC},
    **{
        name: f"from fastapi import {name}"
        for name in ("APIRouter", "Depends", "FastAPI", "HTTPException", "Query", "status")
    },
    "Path": "from fastapi import Path",
    "RequestValidationError": "from fastapi.exceptions import RequestValidationError",
    "TestClient": "from fastapi.testclient import TestClient",
    "pytest": "import pytest",
}
APPLICATION = {
    "Database": "from app.database import Database",
    "RuleViolationError": "from app.database import RuleViolationError",
    "connect": "from app.database import connect",
    "migrate": "from app.database import migrate",
    "create_app": "from app.main import create_app",
    "create_token": "from app.security import create_token",
    "current_user": "from app.security import current_user",
    "hash_password": "from app.security import hash_password",
    "verify_password": "from app.security import verify_password",
}
# Words of prose and strings are not uses of a name.
PROSE = re.compile(r'"""(?:.|\n)*?"""|(?<!f)"[^"\n]*"|#.*')


def with_imports(source: str, local: Sequence[str] = (), extra: Sequence[str] = ()) -> str:
    """Replace the mark by the imports that the body uses; `local` and `extra` are statements to add as they are."""
    code = PROSE.sub('""', source)
    blocks = (
        [*_used(STANDARD, code), *extra],
        [line for line in _used(THIRD_PARTY, code) if line not in _shadowed(extra)],
        [*_used(APPLICATION, code), *local],
    )
    text = "\n\n".join("\n".join(merge(block)) for block in blocks if block)
    return re.sub(r"\n*# imports #\n*", f"\n\n{text}\n\n" if text else "\n\n", source, count=1)


def _shadowed(extra: Sequence[str]) -> set[str]:
    """`Path` is two things: who brings the one of the standard library does not mean the other."""
    return {"from fastapi import Path"} if "from pathlib import Path" in extra else set()


def _used(known: dict[str, str], code: str) -> list[str]:
    """A module counts when something is taken from it, a name when it stands alone and is not defined here."""
    found: list[str] = []
    for name, statement in known.items():
        pattern = (
            rf"(?<![\w.]){name}\."
            if statement.startswith("import ") or name == "status"
            else rf"(?<![\w.]){name}\b(?!\s*=)"
        )
        if re.search(pattern, code) and not re.search(rf"^(?:def|class) {name}\b", code, re.MULTILINE):
            found.append(statement)
    return found


def merge(lines: Iterable[str]) -> list[str]:
    """`import x` before `from x import ...`, the names of one module on one line, all sorted as isort sorts them."""
    plain: set[str] = set()
    names: dict[str, set[str]] = {}
    for line in lines:
        if line.startswith("from "):
            module, _, listed = line.removeprefix("from ").partition(" import ")
            names.setdefault(module, set()).update(part.strip() for part in listed.split(","))
        else:
            plain.add(line)
    return [*sorted(plain), *(_statement(module, names[module]) for module in sorted(names))]


def _statement(module: str, names: set[str]) -> str:
    renamed = sorted(name for name in names if " as " in name)
    ordered = sorted(names - set(renamed), key=_rank)
    lines = [f"from {module} import {name}" for name in renamed]
    if ordered:
        line = f"from {module} import {', '.join(ordered)}"
        if len(line) > LINE_LENGTH:
            line = f"from {module} import (\n" + "".join(f"    {name},\n" for name in ordered) + ")"
        lines.append(line)
    return "\n".join(sorted(lines))


def _rank(name: str) -> tuple[int, str]:
    """Constants, classes, functions: the order inside one import."""
    if name.isupper() and len(name) > 1:
        return (0, name)
    return (1 if name[:1].isupper() else 2, name)
