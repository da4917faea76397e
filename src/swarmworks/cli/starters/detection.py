"""What a repository shows of its language and tools, as the gates and the set-up `swarm init` proposes for it.

Only looks at files; runs nothing. What is proposed is written into `swarm.toml`, where a person reads and changes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from swarmworks.cli.starters.compiled import detect_go, detect_java, detect_rust
from swarmworks.cli.starters.detected import Detected, ProposedGate
from swarmworks.cli.starters.manifests import present, text
from swarmworks.cli.starters.node import detect_node
from swarmworks.cli.starters.python import detect_python

DETECTORS: tuple[tuple[tuple[str, ...], Callable[[Path], Detected]], ...] = (
    (("pyproject.toml", "setup.py", "setup.cfg", "Pipfile"), detect_python),
    (("package.json",), detect_node),
    (("go.mod",), detect_go),
    (("Cargo.toml",), detect_rust),
    (("pom.xml", "build.gradle", "build.gradle.kts"), detect_java),
)
NO_TESTS = 'tests: write [gates.tests] with run = "the command that runs them"; exit status 0 is a pass'


def detect(root: Path) -> Detected:
    """The first language of Python, TypeScript/JavaScript, Go, Rust and Java that `root` has the manifest of."""
    if any(root.glob("requirements*.txt")):
        return detect_python(root)
    for manifests, detector in DETECTORS:
        if present(root, *manifests):
            return detector(root)
    scripts = any(root.glob("*.py")) or any(root.glob("*/*.py"))
    return detect_python(root) if scripts else _unknown(root)


def _unknown(root: Path) -> Detected:
    for name in ("Makefile", "GNUmakefile", "makefile"):
        target = re.search(r"^(test|check)\s*:", text(root / name), re.MULTILINE)
        if target is not None:
            gate = ProposedGate("tests", f"make {target[1]}", "exit", f"{name}: target {target[1]}")
            return Detected("unknown", gates=(gate,), evidence=(name,))
    return Detected("unknown", missing=(NO_TESTS,))
