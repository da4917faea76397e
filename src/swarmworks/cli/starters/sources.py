"""Where a Python repository keeps the packages it is made of, and whether parts of them have to be compiled."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any, cast

from swarmworks.cli.starters.manifests import ini, strings, table, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SETUP_PY = (
    r"""package_dir\s*=\s*(?:\{\s*["']{2}\s*:|dict\(\s*\*\*\{\s*["']{2}\s*:)\s*["']([^"']+)["']""",
    r"""find_(?:namespace_)?packages\(\s*(?:where\s*=\s*)?["']([^"']+)["']""",
)
_COMPILING = ("maturin", "setuptools-rust", "scikit-build-core", "meson-python", "cython", "cffi", "pybind11", "mypy")


def source_folders(root: Path, project: dict[str, Any]) -> tuple[str, ...]:
    """The folders below `root`, beside itself, from which its packages are imported."""
    named = dict.fromkeys(posixpath.normpath(each) for each in ("src", *_declared(root, project)))
    inside = (each for each in named if each != "." and re.fullmatch(r"(?!\.\.|/)[\w./ @+-]+", each))
    return tuple(each for each in inside if (root / each).is_dir())


def renamed_packages(root: Path, project: dict[str, Any]) -> tuple[str, ...]:
    """Packages whose folder has another name, which only an installation can import."""
    mapped = table(project, "tool", "setuptools", "package-dir")
    folders = {name: folder for name, folder in mapped.items() if name and isinstance(folder, str)}
    for line in ini(root / "setup.cfg").get("options", {}).get("package_dir", "").splitlines():
        name, _, folder = (part.strip() for part in line.partition("="))
        folders |= {name: folder} if name else {}
    last = {name: name.rpartition(".")[2] for name in folders}
    return tuple(name for name in folders if posixpath.basename(posixpath.normpath(folders[name])) != last[name])


def compiled_by(root: Path, project: dict[str, Any]) -> str:
    """What compiles a part of the packages, empty where they are Python alone."""
    needed = " ".join(strings(table(project, "build-system").get("requires"))).lower()
    for tool in _COMPILING:
        if re.search(rf"(?<![\w.-]){tool}(?![\w-])", needed):
            return tool
    if table(project, "tool", "setuptools").get("ext-modules"):
        return "ext-modules"
    named = re.search(r"\b(ext_modules|rust_extensions|cffi_modules)\b", text(root / "setup.py"))
    return named[1] if named else ""


def _declared(root: Path, project: dict[str, Any]) -> Iterator[str]:
    tool = table(project, "tool")
    yield from strings(table(tool, "setuptools", "package-dir").get(""))
    yield from strings(table(tool, "setuptools", "packages", "find").get("where"))
    yield from strings(table(tool, "maturin").get("python-source"))
    yield from strings(table(tool, "pdm", "build").get("package-dir"))
    yield from strings(table(tool, "uv", "build-backend").get("module-root"))
    wheel = table(tool, "hatch", "build", "targets", "wheel")
    yield from (posixpath.dirname(each) or "." for each in strings(wheel.get("packages")))
    yield from strings(wheel.get("sources"))
    packages = table(tool, "poetry").get("packages")
    for each in cast("list[Any]", packages) if isinstance(packages, list) else []:
        yield from strings(table(each).get("from"))
    cfg = ini(root / "setup.cfg")
    for line in cfg.get("options", {}).get("package_dir", "").splitlines():
        if line.strip().startswith("="):
            yield line.strip()[1:].strip()
    yield cfg.get("options.packages.find", {}).get("where", "").strip() or "."
    for pattern in _SETUP_PY:
        yield from re.findall(pattern, text(root / "setup.py"))
