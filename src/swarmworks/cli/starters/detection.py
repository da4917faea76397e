"""What a repository shows of its language and tools, as the gates and the set-up `swarm init` proposes for it.

Only looks at files; runs nothing. What is proposed is written into `swarm.toml`, where a person reads and changes it.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pathlib import Path

_READ_LIMIT = 1 << 20
_PYTEST = 'pytest -q -p no:cacheprovider -o junit_family=xunit1 --junitxml "$SWARM_REPORTS/junit.xml"'
_DATA = '--data-file "$SWARM_REPORTS/coverage.data"'
_COVERED = (
    f"python -m ${{SWARM_READ_BY:+coverage run {_DATA} -m}} {_PYTEST}; code=$?; "
    f'[ -z "$SWARM_READ_BY" ] || coverage json -q {_DATA} -o "$SWARM_REPORTS/coverage.json"; exit $code'
)
_PIP = '"$SWARM_ENVIRONMENT/bin/pip" install'
_VENV = '"$SWARM_PYTHON" -m venv "$SWARM_ENVIRONMENT"'


@dataclass(frozen=True, slots=True)
class ProposedGate:
    name: str
    run: str
    reads: str
    early: bool = False  # cheap enough to run on every session's own tree
    cache: bool = False
    nothing: tuple[int, ...] = ()
    source: str = ""
    floor: float | None = None


@dataclass(frozen=True, slots=True)
class Detected:
    language: str
    setup: tuple[str, ...]
    lock_files: tuple[str, ...]
    gates: tuple[ProposedGate, ...]
    evidence: tuple[str, ...]


def detect(root: Path) -> Detected:
    """The first language of Python, TypeScript/JavaScript, Go and Rust that `root` has the manifest of."""
    if any((root / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg")) or any(
        root.glob("requirements*.txt")
    ):
        return _python(root)
    if (root / "package.json").is_file():
        return _node(root)
    if (root / "go.mod").is_file():
        return _go(root)
    if (root / "Cargo.toml").is_file():
        return _rust(root)
    if any(root.glob("*.py")) or any(root.glob("*/*.py")):
        return _python(root)
    return Detected("unknown", (), (), (), ())


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_READ_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError:
        return {}


def _python(root: Path) -> Detected:
    project = _toml(root / "pyproject.toml")
    tool = cast("dict[str, Any]", project.get("tool", {}))
    requirements = tuple(sorted(path.name for path in root.glob("requirements*.txt")))
    names = ("pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "uv.lock", "poetry.lock", *requirements)
    everything = "\n".join(_text(root / name) for name in names)
    has = {
        word: re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", everything) is not None
        for word in ("pytest", "ruff", "mypy", "flake8", "coverage", "pytest-cov")
    }
    has["pytest"] = (
        has["pytest"] or (root / "pytest.ini").is_file() or (root / "tests").is_dir() or (root / "test").is_dir()
    )
    has["ruff"] = has["ruff"] or (root / "ruff.toml").is_file() or (root / ".ruff.toml").is_file()
    has["mypy"] = has["mypy"] or (root / "mypy.ini").is_file()
    measured = has["coverage"] or has["pytest-cov"]
    setup, locks, way = _python_setup(root, project, requirements)
    declared = {word for word in ("pytest", "ruff", "mypy", "flake8", "coverage") if word in everything}
    missing = [word for word in ("pytest", "ruff", "mypy") if has[word] and word not in declared]
    if missing:
        setup = (*(setup or (_VENV,)), f"{_PIP} {' '.join(missing)}")
    gates = [ProposedGate("syntax", 'python "$SWARM_CHECKS/python_syntax.py"', "lines", early=True, nothing=(5,))]
    if has["ruff"]:
        gates.append(ProposedGate("lint", "ruff check --no-cache --output-format json .", "ruff", early=True))
    elif has["flake8"]:
        gates.append(ProposedGate("lint", "python -m flake8", "lines", early=True))
    if has["mypy"]:
        target = "" if "files" in tool.get("mypy", {}) else " ."
        run = f'mypy --output json --cache-dir "$SWARM_CACHE"{target}'
        gates.append(ProposedGate("types", run, "mypy", cache=True))
    if has["pytest"]:
        path = "PYTHONPATH=src " if (root / "src").is_dir() else ""
        run = path + (_COVERED if measured else f"python -m {_PYTEST}")
        gates.append(ProposedGate("tests", run, "junit", nothing=(5,)))
        floor = tool.get("coverage", {}).get("report", {}).get("fail_under")
        if measured and isinstance(floor, int | float):
            gates.append(ProposedGate("coverage", "", "coverage", source="tests", floor=float(floor)))
    found = tuple(word for word in ("pytest", "ruff", "flake8", "mypy", "coverage") if has[word])
    return Detected("python", setup, locks, tuple(gates), (way, *found))


def _python_setup(
    root: Path, project: dict[str, Any], requirements: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    if (root / "uv.lock").is_file():
        sync = 'UV_PROJECT_ENVIRONMENT="$SWARM_ENVIRONMENT" "$SWARM_ENVIRONMENT/bin/uv" sync --inexact --frozen --no-install-project'
        return (_VENV, f"{_PIP} uv", sync), ("uv.lock", "pyproject.toml"), "uv"
    if (root / "poetry.lock").is_file():
        install = 'VIRTUAL_ENV="$SWARM_ENVIRONMENT" "$SWARM_ENVIRONMENT/bin/poetry" install --no-root --no-interaction'
        return (_VENV, f"{_PIP} poetry", install), ("poetry.lock", "pyproject.toml"), "poetry"
    if requirements:
        hashed = all("--hash=" in _text(root / name) for name in requirements)
        flags = "--require-hashes " if hashed else ""
        files = " ".join(f"-r {name}" for name in requirements)
        return (_VENV, f"{_PIP} {flags}{files}"), requirements, "requirements"
    if "project" in project or (root / "setup.py").is_file():
        extras = cast("dict[str, Any]", project.get("project", {})).get("optional-dependencies", {})
        chosen = ",".join(name for name in ("dev", "test", "tests") if name in extras)
        suffix = f"[{chosen}]" if chosen else ""
        install = f'cp -R . "$TMPDIR/project" && {_PIP} "$TMPDIR/project{suffix}"'
        manifests = tuple(name for name in ("pyproject.toml", "setup.cfg", "setup.py") if (root / name).is_file())
        return (_VENV, install), manifests, "pyproject" if project else "setup.py"
    return (), (), "no manifest"


def _node(root: Path) -> Detected:
    try:
        manifest = cast("dict[str, Any]", json.loads(_text(root / "package.json") or "{}"))
    except json.JSONDecodeError:
        manifest = {}
    scripts = cast("dict[str, Any]", manifest.get("scripts", {}))
    linked = 'ln -sfn "$SWARM_ENVIRONMENT/node_modules" node_modules && '
    gates: list[ProposedGate] = []
    if "lint" in scripts:
        gates.append(ProposedGate("lint", f"{linked}npm run --silent lint", "lines", early=True))
    types = next((name for name in ("typecheck", "type-check", "types") if name in scripts), None)
    if types or (root / "tsconfig.json").is_file():
        run = f"npm run --silent {types}" if types else "node_modules/.bin/tsc --noEmit --pretty false"
        gates.append(ProposedGate("types", f"{linked}{run}", "lines"))
    if "test" in scripts and "no test specified" not in str(scripts["test"]):
        gates.append(ProposedGate("tests", f"{linked}npm test --silent", "lines"))
    locked = (root / "package-lock.json").is_file()
    locks = ("package.json", "package-lock.json") if locked else ("package.json",)
    install = (
        f'cp {" ".join(locks)} "$SWARM_ENVIRONMENT/" && cd "$SWARM_ENVIRONMENT" && npm {"ci" if locked else "install"}'
    )
    language = "typescript" if (root / "tsconfig.json").is_file() else "javascript"
    return Detected(language, (install,), locks, tuple(gates), ("package.json", *(g.name for g in gates)))


def _go(root: Path) -> Detected:
    modules = 'GOMODCACHE="$SWARM_ENVIRONMENT/mod" GOFLAGS=-modcacherw'
    offline = f'{modules} GOPROXY=off GOCACHE="$SWARM_CACHE"'
    gates = (
        ProposedGate("lint", f"{offline} go vet ./...", "lines", early=True),
        ProposedGate("tests", f"{offline} go test ./...", "lines"),
    )
    locks = tuple(name for name in ("go.mod", "go.sum") if (root / name).is_file())
    return Detected("go", (f"{modules} go mod download",), locks, gates, ("go.mod",))


def _rust(root: Path) -> Detected:
    cargo = 'CARGO_HOME="$SWARM_ENVIRONMENT/cargo" CARGO_TARGET_DIR="$SWARM_CACHE" cargo'
    gates = (
        ProposedGate("lint", f"{cargo} clippy --offline --message-format short -- -D warnings", "lines"),
        ProposedGate("tests", f"{cargo} test --offline", "exit"),
    )
    locks = tuple(name for name in ("Cargo.toml", "Cargo.lock") if (root / name).is_file())
    fetch = 'CARGO_HOME="$SWARM_ENVIRONMENT/cargo" CARGO_TARGET_DIR="$TMPDIR/target" cargo fetch'
    return Detected("rust", (fetch,), locks, gates, ("Cargo.toml",))
