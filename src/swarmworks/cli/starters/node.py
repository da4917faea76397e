"""TypeScript and JavaScript: npm, pnpm, yarn, bun; vitest, jest, mocha, node --test; eslint, biome, tsc."""

from __future__ import annotations

import re
import shlex
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from swarmworks.cli.starters.detected import Detected, ProposedGate
from swarmworks.cli.starters.manifests import MOST_FILES, files, json_object, present, table, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINKED = 'ln -sfn "$SWARM_ENVIRONMENT/node_modules" node_modules && '
REPORT = '"$SWARM_REPORTS/junit.xml"'
_MANAGERS = (
    ("pnpm-lock.yaml", "pnpm", "npx --yes pnpm install --frozen-lockfile"),
    ("yarn.lock", "yarn", "npx --yes yarn install --frozen-lockfile"),
    ("bun.lock", "bun", "npx --yes bun install --frozen-lockfile"),
    ("bun.lockb", "bun", "npx --yes bun install --frozen-lockfile"),
    ("package-lock.json", "npm", "npm ci"),
)
_SETTINGS = (".npmrc", ".pnpmfile.cjs", ".yarnrc", ".yarnrc.yml", "bunfig.toml", "pnpm-workspace.yaml")
_ESLINT = (
    "eslint.config.js",
    "eslint.config.mjs",
    "eslint.config.cjs",
    "eslint.config.ts",
    ".eslintrc.json",
    ".eslintrc.js",
    ".eslintrc.cjs",
    ".eslintrc.yml",
    ".eslintrc.yaml",
)
_BIOME = ("biome.json", "biome.jsonc")
_VITEST_REPORT = f"--reporter=default --reporter=junit --outputFile.junit={REPORT}"
_MOCHA_REPORT = f"--reporter xunit --reporter-option output={REPORT}"
_NODE_REPORT = (
    "--test-reporter=spec --test-reporter-destination=stdout "
    f"--test-reporter=junit --test-reporter-destination={REPORT}"
)
_OWN_REPORTS = ("--reporter", "--outputFile", "--test-reporter", "-R")
_RUNNERS = {
    "vitest": (f"node_modules/.bin/vitest run {_VITEST_REPORT}", "junit"),
    "jest": ("node_modules/.bin/jest --ci", "exit"),
    "mocha": (f"node_modules/.bin/mocha {_MOCHA_REPORT}", "junit"),
}
_BEFORE = ("npx", "cross-env")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")


def detect_node(root: Path) -> Detected:
    manifest = json_object(root / "package.json")
    scripts = {name: str(run) for name, run in table(manifest, "scripts").items()}
    packages = {*table(manifest, "dependencies"), *table(manifest, "devDependencies")}
    typescript = (root / "tsconfig.json").is_file()
    setup, locks, manager = _setup(root, manifest)
    gates = (*_checks(root, scripts, packages, typescript=typescript), *_tests(scripts, packages))
    missing: list[str] = []
    if not any(gate.name == "tests" for gate in gates):
        missing.append('tests: add a script "test" to package.json, then [gates.tests] with run = "npm test"')
    if not any(gate.name == "lint" for gate in gates):
        missing.append("a linter: such as eslint or biome, with [gates.lint]")
    notes = [f"{manager}: it is fetched with npx while the environment is built"] if manager != "npm" else []
    if _workspaces(root, manifest):
        notes.append(
            "workspaces: the set-up has their manifests alone; check with swarm init --verify that they find each other"
        )
    return Detected(
        "typescript" if typescript else "javascript",
        setup,
        locks,
        gates,
        evidence=("package.json", manager, *(gate.name for gate in gates)),
        setup_why=f"{locks[min(1, len(locks) - 1)]} ({manager})",
        missing=tuple(missing),
        notes=tuple(notes),
    )


def _setup(root: Path, manifest: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    lock, manager, install = next((row for row in _MANAGERS if (root / row[0]).is_file()), ("", "npm", "npm install"))
    settings = [name for name in _SETTINGS if (root / name).is_file()]
    locks = ("package.json", *([lock] if lock else []), *settings, *_yarns_own(root), *_workspaces(root, manifest))
    parents = "--parents " if any("/" in name for name in locks) else ""
    copied = f'cp {parents}{shlex.join(locks)} "$SWARM_ENVIRONMENT/" && cd "$SWARM_ENVIRONMENT"'
    return (f'{copied} && npm_config_cache="$TMPDIR/npm" {install}',), locks, manager


def _yarns_own(root: Path) -> list[str]:
    """What .yarnrc.yml names: yarn itself, its plugins and patches."""
    found = (path for folder in ("releases", "plugins", "patches") for path in (root / ".yarn" / folder).rglob("*"))
    return sorted(path.relative_to(root).as_posix() for path in islice(found, MOST_FILES) if path.is_file())


def _workspaces(root: Path, manifest: dict[str, Any]) -> list[str]:
    """The manifests of the packages in one repository, as package.json or pnpm-workspace.yaml names their folders."""
    named: Any = manifest.get("workspaces")
    if isinstance(named, dict):
        named = cast("dict[str, Any]", named).get("packages")
    patterns = [each for each in cast("list[Any]", named) if isinstance(each, str)] if isinstance(named, list) else []
    patterns += re.findall(r"^\s*-\s*['\"]?([^'\"#\n]+?)['\"]?\s*$", text(root / "pnpm-workspace.yaml"), re.MULTILINE)
    wanted = [_matcher(each) for each in patterns if not each.startswith("!")]
    unwanted = [_matcher(each[1:]) for each in patterns if each.startswith("!")]
    folders = [path.removesuffix("/package.json") for path in files(root) if path.endswith("/package.json")]
    chosen = (each for each in folders if any(one.fullmatch(each) for one in wanted))
    return sorted(f"{each}/package.json" for each in chosen if not any(one.fullmatch(each) for one in unwanted))


def _matcher(pattern: str) -> re.Pattern[str]:
    """A folder's pattern: `*` stays within one part, `**` spans parts."""
    parts = re.split(r"(\*\*/?|\*)", pattern.removeprefix("./").rstrip("/"))
    told = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    return re.compile("".join(told.get(part) or re.escape(part) for part in parts))


def _checks(root: Path, scripts: dict[str, str], packages: set[str], *, typescript: bool) -> Iterator[ProposedGate]:
    eslint = present(root, *_ESLINT)
    biome = present(root, *_BIOME)
    if "lint" in scripts:
        why = f'package.json: script "lint" ({scripts["lint"][:60]})'
        yield ProposedGate("lint", f"{LINKED}npm run --silent lint", "lines", why, early=True)
    elif eslint:
        yield ProposedGate("lint", f"{LINKED}node_modules/.bin/eslint .", "exit", eslint, early=True)
    elif biome or "@biomejs/biome" in packages:
        run = f"{LINKED}node_modules/.bin/biome ci ."
        yield ProposedGate("lint", run, "exit", biome or "package.json names it", early=True)
    types = next((name for name in ("typecheck", "type-check", "types") if name in scripts), None)
    if types:
        run = f"npm run --silent {types}"
        yield ProposedGate("types", LINKED + run, "lines", f'package.json: script "{types}"')
    elif typescript:
        run = "node_modules/.bin/tsc --noEmit --pretty false"
        yield ProposedGate("types", LINKED + run, "lines", "tsconfig.json")


def _tests(scripts: dict[str, str], packages: set[str]) -> Iterator[ProposedGate]:
    """The script as it stands: its arguments are the project's. A report is asked for only where that can go wrong nowhere."""
    script = scripts.get("test", "")
    if "no test specified" in script:
        script = ""
    runner = next((name for name in _RUNNERS if name in packages), None)
    if script:
        why = f'package.json: script "test" ({script[:60]})'
        run, reads = _reporting(script, wrapped="pretest" in scripts or "posttest" in scripts)
        yield ProposedGate("tests", LINKED + run, reads, why)
    elif runner is not None:
        run, reads = _RUNNERS[runner]
        yield ProposedGate("tests", LINKED + run, reads, f"package.json names {runner}")


def _reporting(script: str, *, wrapped: bool) -> tuple[str, str]:
    """How the script is run and read. `wrapped`: npm runs others before or after it."""
    program = _program(script)
    if program == "node" and not wrapped and (test := re.search(r"(?<=\s)--test(?=\s|$)", script)):
        return f"{script[: test.end()]} {_NODE_REPORT}{script[test.end() :]}", "junit"
    if program == "mocha":
        return f"npm test --silent -- {_MOCHA_REPORT}", "junit"
    if program == "vitest":
        once = "" if "run" in script.split() or "--run" in script.split() else "--run "
        return f"npm test --silent -- {once}{_VITEST_REPORT}", "junit"
    return "npm test --silent", "exit"


def _program(script: str) -> str:
    """What a script runs, where it is one command that takes further flags at its end; else empty."""
    words = script.split()
    own = any(word.startswith(_OWN_REPORTS) or word == "--" for word in words)
    if own or re.search(r"[&|;<>`$#\\\n]", script):
        return ""
    while words and (words[0] in _BEFORE or _ASSIGNED.match(words[0])):
        words.pop(0)
    program = words[0].removeprefix("./").removeprefix("node_modules/.bin/") if words else ""
    return "" if program == "node" and script.split(maxsplit=1)[0] in _BEFORE else program
