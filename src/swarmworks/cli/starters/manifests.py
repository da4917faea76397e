"""Reads what repositories say of themselves: bounded, nothing is run, and a broken file is an empty one."""

from __future__ import annotations

import configparser
import json
import os
import re
import tomllib
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READ_LIMIT = 1 << 20
MOST_FILES = 5_000
_NOT_SOURCES = frozenset({".git", ".hg", ".swarm", ".tox", ".nox", ".venv", "venv", "node_modules", "target", "build"})


def text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(READ_LIMIT).decode("utf-8-sig", "replace")
    except OSError:
        return ""


def toml(path: Path) -> dict[str, Any]:
    return _toml(path) or {}


def json_object(path: Path) -> dict[str, Any]:
    return _json(path) or {}


def not_read(root: Path) -> list[str]:
    """What a person should know of manifests that count as empty, because they cannot be read."""
    readers = {"pyproject.toml": _toml, "Pipfile": _toml, "package.json": _json}
    return [f"{name} was not read: it is broken" for name, read in readers.items() if read(root / name) is None]


def _toml(path: Path) -> dict[str, Any] | None:
    """None where it is no TOML; besides what its parser calls an error, too deep, or a number of thousands of digits."""
    try:
        return tomllib.loads(text(path))
    except (ValueError, RecursionError):
        return None


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found: Any = json.loads(text(path) or "{}")
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def ini(path: Path) -> dict[str, dict[str, str]]:
    """Sections, of each the keys and values."""
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(text(path))
    except configparser.Error:
        return {}
    return {name: {key: str(value or "") for key, value in parser.items(name)} for name in parser.sections()}


def strings(value: Any) -> list[str]:
    """The strings of a list, and a string alone as a list of one."""
    listed = cast("list[Any]", value) if isinstance(value, list) else [value]
    return [each for each in listed if isinstance(each, str)]


def table(value: Any, *keys: str) -> dict[str, Any]:
    """The table below `keys`, empty where there is none."""
    for key in keys:
        value = cast("dict[str, Any]", value).get(key) if isinstance(value, dict) else None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def present(root: Path, *names: str) -> str:
    """The first of `names` that is a file in `root`, else empty."""
    return next((name for name in names if (root / name).is_file()), "")


def names_word(words: str, word: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", words, re.IGNORECASE) is not None


def files(root: Path) -> Iterator[str]:
    """Paths of at most MOST_FILES files, without what is built or installed."""
    seen = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(each for each in folders if each not in _NOT_SOURCES and not each.startswith("."))
        prefix = os.path.relpath(folder, root)
        for name in sorted(names):
            seen += 1
            if seen > MOST_FILES:
                return
            yield name if prefix == "." else f"{prefix}/{name}"
