"""What a repository shows of its language and tools, as the gates and the set-up `swarm init` proposes for it.

Only looks at files; runs nothing. What is proposed is written into `swarm.toml`, where a person reads and changes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from swarmworks.cli.starters.compiled import detect_go, detect_java, detect_rust
from swarmworks.cli.starters.detected import Detected, ProposedGate
from swarmworks.cli.starters.manifests import files, not_read, present, text
from swarmworks.cli.starters.node import detect_node
from swarmworks.cli.starters.python import detect_python
from swarmworks.cli.starters.python_environment import is_text


@dataclass(frozen=True, slots=True)
class Language:
    """What a root folder is known by, and the endings of its sources."""

    name: str
    manifests: tuple[str, ...]
    endings: tuple[str, ...]
    detect: Callable[[Path], Detected]


PYTHON = Language("Python", ("pyproject.toml", "setup.py", "setup.cfg", "Pipfile"), (".py",), detect_python)
LANGUAGES = (
    PYTHON,
    Language("TypeScript and JavaScript", ("package.json",), (".ts", ".tsx", ".js", ".jsx", ".mjs"), detect_node),
    Language("Go", ("go.mod",), (".go",), detect_go),
    Language("Rust", ("Cargo.toml",), (".rs",), detect_rust),
    Language("Java", ("pom.xml", "build.gradle", "build.gradle.kts"), (".java", ".kt"), detect_java),
)
REQUIREMENTS = "requirements*.txt"
_PYTHON_TEST = re.compile(r"(^|/)(test_[^/]*|[^/]*_test|tests|tests?/(.*/)?[^/]*)\.py$")
_OTHER_TEST = re.compile(
    r"\.(test|spec)\.[cm]?[jt]sx?$|(^|/)__tests__/|_test\.go$|(^|/)tests/.*\.rs$|/test/.*\.(java|kt)$"
)
_NOBODYS_TESTS = frozenset({"docs", "examples", "fixtures", "testdata", "third_party", "vendor"})
_DEEPEST = 3
_NOT_THE_PROJECTS = frozenset({"docs", "examples", "fixtures", "test", "testdata", "tests", "third_party", "vendor"})
NO_TESTS = 'tests: write [gates.tests] with run = "the command that runs them"; exit status 0 is a pass'


def detect(root: Path) -> Detected:
    """The first of LANGUAGES that `root` has the manifest of, and a note for each other one that is there. A file of
    requirements alone is Python's where Python is most of the sources, or has tests and the other language has none:
    others have one for their documentation.
    """
    paths = list(files(root))
    chosen = _chosen(root, paths)
    detected = _unknown(root) if chosen is None else chosen.detect(root)
    return replace(detected, notes=(*not_read(root), *detected.notes, *_others(paths, chosen)))


def _chosen(root: Path, paths: list[str]) -> Language | None:
    named = next((each for each in LANGUAGES if present(root, *each.manifests)), None)
    if any(root.glob(REQUIREMENTS)) and (named is None or _weighs_more(root, paths, named)):
        return PYTHON
    scripts = any(root.glob("*.py")) or any(root.glob("*/*.py"))
    return PYTHON if named is None and scripts else named


def _weighs_more(root: Path, paths: list[str], other: Language) -> bool:
    """Whether Python is more of the project than `other`: what a program shows to browsers is often most of its files."""
    if _sources(paths, PYTHON) > _sources(paths, other):
        return True
    own = [path for path in paths if _NOBODYS_TESTS.isdisjoint(path.split("/"))]
    tested = any(_PYTHON_TEST.search(path) for path in own) and not any(_OTHER_TEST.search(path) for path in own)
    for_more_than_documents = any("doc" not in each.name for each in root.glob(REQUIREMENTS))
    return tested and for_more_than_documents and all(gate.name != "tests" for gate in other.detect(root).gates)


def _sources(paths: list[str], language: Language) -> int:
    return sum(path.endswith(language.endings) for path in paths)


def _others(paths: list[str], chosen: Language | None) -> Iterator[str]:
    """The languages whose changes none of the proposed gates looks at."""
    near = [path.split("/") for path in paths if path.count("/") < _DEEPEST]
    own = [parts for parts in near if _NOT_THE_PROJECTS.isdisjoint(parts[:-1])]
    for language in LANGUAGES:
        found = next(("/".join(parts) for parts in own if parts[-1] in language.manifests), None)
        if language is PYTHON and found is None:
            found = next((path for path in map("/".join, own) if _is_required_by_sources(path, paths)), None)
        if language is not chosen and found is not None:
            yield f"{found}: {language.name} changes are not checked; add gates for them, and their tools to the set-up"


def _is_required_by_sources(path: str, paths: list[str]) -> bool:
    """Whether it is a file of requirements with Python sources beside or below it."""
    folder, _, name = path.rpartition("/")
    beside = f"{folder}/" if folder else ""
    return (
        fnmatchcase(name, REQUIREMENTS)
        and is_text(path)
        and any(each.startswith(beside) and each.endswith(PYTHON.endings) for each in paths)
    )


def _unknown(root: Path) -> Detected:
    for name in ("Makefile", "GNUmakefile", "makefile"):
        target = re.search(r"^(test|check)\s*:", text(root / name), re.MULTILINE)
        if target is not None:
            gate = ProposedGate("tests", f"make {target[1]}", "exit", f"{name}: target {target[1]}")
            return Detected("unknown", gates=(gate,), evidence=(name,))
    return Detected("unknown", missing=(NO_TESTS,))
