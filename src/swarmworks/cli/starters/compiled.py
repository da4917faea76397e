"""Go, Rust and Java: their own tools do it all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swarmworks.cli.starters.detected import Detected, ProposedGate
from swarmworks.cli.starters.manifests import files, present, text, toml

if TYPE_CHECKING:
    from pathlib import Path

_GOLANGCI = (".golangci.yml", ".golangci.yaml", ".golangci.toml", ".golangci.json")
_RUST_TEST = re.compile(
    r"#\[(?:\w+::)*(?:\w*test|test_case|quickcheck)\b(?!\s*=)|\bproptest!|^\s*//[/!]\s*```", re.MULTILINE
)
_RUSTFMT = ("rustfmt.toml", ".rustfmt.toml")


def detect_go(root: Path) -> Detected:
    modules = 'GOMODCACHE="$SWARM_ENVIRONMENT/mod" GOFLAGS=-modcacherw'
    offline = f'{modules} GOPROXY=off GOCACHE="$SWARM_CACHE"'
    gates = [
        ProposedGate("lint", f"{offline} go vet ./...", "lines", "go.mod: go vet comes with Go", early=True, cache=True)
    ]
    missing: tuple[str, ...] = ()
    if any(path.endswith("_test.go") for path in files(root)):
        gates.append(ProposedGate("tests", f"{offline} go test ./...", "lines", "files named *_test.go"))
    else:
        missing = ('tests: write some, then add [gates.tests] with run = "go test ./..."',)
    if found := present(root, *_GOLANGCI):
        cached = f'{offline} GOLANGCI_LINT_CACHE="$SWARM_CACHE" golangci-lint run'
        gates.append(ProposedGate("golangci", cached, "lines", found, cache=True))
    locks = tuple(name for name in ("go.mod", "go.sum") if (root / name).is_file())
    notes = ("golangci-lint has to be installed on the machines that work",) if found else ()
    setup = (f"{modules} go mod download",)
    return Detected("go", setup, locks, tuple(gates), ("go.mod",), "go.mod", missing, notes)


def detect_rust(root: Path) -> Detected:
    cargo = 'CARGO_HOME="$SWARM_ENVIRONMENT/cargo" CARGO_TARGET_DIR="$SWARM_CACHE" cargo'
    all_members = " --workspace" if "workspace" in toml(root / "Cargo.toml") else ""
    clippy = f"{cargo} clippy --offline{all_members} --message-format short -- -D warnings"
    builds = any(path.rpartition("/")[2] == "build.rs" for path in files(root))  # which clippy runs
    gates = [ProposedGate("lint", clippy, "lines", "Cargo.toml: clippy comes with Rust", cache=not builds)]
    missing: tuple[str, ...] = ()
    if tested := _rust_tests(root):
        gates.append(ProposedGate("tests", f"{cargo} test --offline{all_members}", "exit", tested))
    else:
        missing = (f'tests: write some, then add [gates.tests] with run = "cargo test --offline{all_members}"',)
    if found := present(root, *_RUSTFMT):
        every = " --all" if all_members else ""
        gates.append(ProposedGate("format", f"{cargo} fmt{every} --check", "exit", found, early=True))
    locks = tuple(name for name in ("Cargo.toml", "Cargo.lock") if (root / name).is_file())
    fetch = 'cp -R . "$TMPDIR/project" && cd "$TMPDIR/project" && CARGO_HOME="$SWARM_ENVIRONMENT/cargo" cargo fetch'
    return Detected("rust", (fetch,), locks, tuple(gates), ("Cargo.toml",), "Cargo.toml", missing)


def _rust_tests(root: Path) -> str:
    """The first file that cargo finds tests in, as the reason; empty where there is none."""
    sources = [path for path in files(root) if path.endswith(".rs")]
    found = next((path for path in sources if path.startswith("tests/") or "/tests/" in path), None)
    found = found or next((path for path in sources if _RUST_TEST.search(text(root / path))), None)
    return f"{found}: has tests" if found else ""


def detect_java(root: Path) -> Detected:
    if (root / "pom.xml").is_file():
        return _maven(root)
    return _gradle(root)


def _maven(root: Path) -> Detected:
    maven = "./mvnw" if (root / "mvnw").is_file() else "mvn"
    local = '-Dmaven.repo.local="$TMPDIR/m2"'
    ready = 'cp -R "$SWARM_ENVIRONMENT/m2" "$TMPDIR/m2"'
    fetch = (
        f'cp -R . "$TMPDIR/project" && cd "$TMPDIR/project" && {maven} -B -q -Dmaven.repo.local="$SWARM_ENVIRONMENT/m2"'
    )
    run = f"{ready} && {maven} -o -B -q {local} test"
    gates = (ProposedGate("tests", run, "exit", "pom.xml: maven compiles and tests"),)
    missing = ("a linter: such as checkstyle or spotbugs, with [gates.lint]",)
    notes = ("maven offline is a guess: check it with swarm init --verify",)
    return Detected(
        "java", (f"{fetch} test-compile surefire:help",), ("pom.xml",), gates, ("pom.xml",), "pom.xml", missing, notes
    )


def _gradle(root: Path) -> Detected:
    name = present(root, "build.gradle.kts", "build.gradle")
    gradle = "./gradlew" if (root / "gradlew").is_file() else "gradle"
    fetch = f'cp -R . "$TMPDIR/project" && cd "$TMPDIR/project" && GRADLE_USER_HOME="$SWARM_ENVIRONMENT/gradle" {gradle} testClasses'
    ready = 'cp -R "$SWARM_ENVIRONMENT/gradle" "$TMPDIR/gradle"'
    run = f'{ready} && GRADLE_USER_HOME="$TMPDIR/gradle" {gradle} --offline --no-daemon test'
    gates = (ProposedGate("tests", run, "exit", f"{name}: gradle compiles and tests"),)
    missing = ("a linter: such as checkstyle or spotbugs, with [gates.lint]",)
    notes = ("gradle offline is a guess: check it with swarm init --verify",)
    locks = tuple(each for each in (name, "gradle.lockfile") if each and (root / each).is_file())
    return Detected("java", (fetch,), locks, gates, (name,), name, missing, notes)
