"""TypeScript and JavaScript: npm, pnpm, yarn, bun; vitest, jest, mocha, node --test; eslint, biome, tsc."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.cli.starters.detected import Detected, ProposedGate
from swarmworks.cli.starters.manifests import json_object, present, table

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
_RUNNERS = {
    "vitest": (
        f"node_modules/.bin/vitest run --reporter=default --reporter=junit --outputFile.junit={REPORT}",
        "junit",
    ),
    "jest": ("node_modules/.bin/jest --ci", "exit"),
    "mocha": (f"node_modules/.bin/mocha --reporter xunit --reporter-option output={REPORT}", "junit"),
}


def detect_node(root: Path) -> Detected:
    manifest = json_object(root / "package.json")
    scripts = {name: str(run) for name, run in table(manifest, "scripts").items()}
    packages = {*table(manifest, "dependencies"), *table(manifest, "devDependencies")}
    typescript = (root / "tsconfig.json").is_file()
    setup, locks, manager = _setup(root)
    gates = (*_checks(root, scripts, packages, typescript=typescript), *_tests(scripts, packages))
    missing: list[str] = []
    if not any(gate.name == "tests" for gate in gates):
        missing.append('tests: add a script "test" to package.json, then [gates.tests] with run = "npm test"')
    if not any(gate.name == "lint" for gate in gates):
        missing.append("a linter: such as eslint or biome, with [gates.lint]")
    notes = (f"{manager}: it is fetched with npx while the environment is built",) if manager != "npm" else ()
    return Detected(
        "typescript" if typescript else "javascript",
        setup,
        locks,
        gates,
        evidence=("package.json", manager, *(gate.name for gate in gates)),
        setup_why=f"{locks[-1]} ({manager})",
        missing=tuple(missing),
        notes=notes,
    )


def _setup(root: Path) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    lock, manager, install = next((row for row in _MANAGERS if (root / row[0]).is_file()), ("", "npm", "npm install"))
    locks = ("package.json", lock) if lock else ("package.json",)
    copied = f'cp {" ".join(locks)} "$SWARM_ENVIRONMENT/" && cd "$SWARM_ENVIRONMENT"'
    return (f'{copied} && npm_config_cache="$TMPDIR/npm" {install}',), locks, manager


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
    script = scripts.get("test", "")
    if "no test specified" in script:
        script = ""
    if "node --test" in script:
        run = f"{script} --test-reporter=spec --test-reporter-destination=stdout --test-reporter=junit"
        yield ProposedGate(
            "tests",
            f"{LINKED}{run} --test-reporter-destination={REPORT}",
            "junit",
            'package.json: script "test" (node --test)',
        )
        return
    runner = next((name for name in _RUNNERS if name in script.split() or name in packages), None)
    if runner in {"vitest", "mocha"} and (not script or script.split()[0] == runner):
        run, reads = _RUNNERS[runner]
        yield ProposedGate("tests", LINKED + run, reads, f"package.json names {runner}")
    elif script:
        yield ProposedGate(
            "tests", f"{LINKED}npm test --silent", "exit", f'package.json: script "test" ({script[:60]})'
        )
    elif runner is not None:
        run, reads = _RUNNERS[runner]
        yield ProposedGate("tests", LINKED + run, reads, f"package.json names {runner}")
