"""What a repository shows of its language and tools, as the gates and the set-up `swarm init` proposes for it.

Only looks at files; runs nothing. What is proposed is written into `swarm.toml`, where a person reads and changes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from swarmworks.cli.starters.compiled import detect_go, detect_java, detect_rust
from swarmworks.cli.starters.detected import Detected, ProposedGate
from swarmworks.cli.starters.manifests import files, not_read, present, text
from swarmworks.cli.starters.node import detect_node
from swarmworks.cli.starters.python import detect_python


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
_DEEPEST = 3
_NOT_THE_PROJECTS = frozenset({"docs", "examples", "fixtures", "test", "testdata", "tests", "third_party", "vendor"})
NO_TESTS = 'tests: write [gates.tests] with run = "the command that runs them"; exit status 0 is a pass'


def detect(root: Path) -> Detected:
    """The first of LANGUAGES that `root` has the manifest of, and a note for each other one that is there. A file of
    requirements alone is Python's where Python is most of the sources: others have one for their documentation.
    """
    paths = list(files(root))
    chosen = _chosen(root, paths)
    detected = _unknown(root) if chosen is None else chosen.detect(root)
    return replace(detected, notes=(*not_read(root), *detected.notes, *_others(paths, chosen)))


def _chosen(root: Path, paths: list[str]) -> Language | None:
    named = next((each for each in LANGUAGES if present(root, *each.manifests)), None)
    if any(root.glob("requirements*.txt")) and (named is None or _sources(paths, PYTHON) > _sources(paths, named)):
        return PYTHON
    scripts = any(root.glob("*.py")) or any(root.glob("*/*.py"))
    return PYTHON if named is None and scripts else named


def _sources(paths: list[str], language: Language) -> int:
    return sum(path.endswith(language.endings) for path in paths)


def _others(paths: list[str], chosen: Language | None) -> Iterator[str]:
    """The languages whose changes none of the proposed gates looks at."""
    near = [path.split("/") for path in paths if path.count("/") < _DEEPEST]
    own = [parts for parts in near if _NOT_THE_PROJECTS.isdisjoint(parts[:-1])]
    for language in LANGUAGES:
        found = next(("/".join(parts) for parts in own if parts[-1] in language.manifests), None)
        if language is not chosen and found is not None:
            yield f"{found}: {language.name} changes are not checked; add gates for them, and their tools to the set-up"


def _unknown(root: Path) -> Detected:
    for name in ("Makefile", "GNUmakefile", "makefile"):
        target = re.search(r"^(test|check)\s*:", text(root / name), re.MULTILINE)
        if target is not None:
            gate = ProposedGate("tests", f"make {target[1]}", "exit", f"{name}: target {target[1]}")
            return Detected("unknown", gates=(gate,), evidence=(name,))
    return Detected("unknown", missing=(NO_TESTS,))
