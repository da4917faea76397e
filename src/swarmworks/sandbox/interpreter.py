"""The mounts with which a Python of the host runs inside, wherever it was installed."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from swarmworks.base.errors import SandboxUnavailableError
from swarmworks.sandbox.protocol import Mount

_SHOWN_ANYWAY: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_TIMEOUT_S: Final = 30
# The libraries are read from the interpreter's own memory map, after loading the modules that bring foreign ones.
_QUESTION: Final = """
import json, sys, ssl, sqlite3, ctypes
with open("/proc/self/maps") as maps:
    libraries = sorted({line.split(None, 5)[5].strip() for line in maps if ".so" in line})
print(json.dumps({"prefixes": [sys.base_prefix, sys.base_exec_prefix, sys.prefix], "libraries": libraries}))
"""


@cache
def python_mounts(executable: Path) -> tuple[Mount, ...]:
    """Read-only mounts, at the same absolute paths, of the installation of `executable`, of its virtual environment when it
    is in one, and of shared libraries it loads from elsewhere. Asks the interpreter itself (some 50 ms); remembered. Raises
    SandboxUnavailableError when it cannot be run.
    """
    answer = _ask(executable)
    mounts: dict[str, Mount] = {}
    wanted = [Path(prefix) for prefix in answer["prefixes"]]
    wanted += _links(executable)
    wanted += [Path(library) for library in answer["libraries"]]
    for path in sorted(wanted, key=lambda p: len(p.parts)):
        if not _is_shown(path, mounts):
            mounts[str(path)] = Mount(path.resolve(), str(path))
    return tuple(mounts.values())


def _ask(executable: Path) -> dict[str, list[str]]:
    try:
        done = subprocess.run(
            [str(executable), "-I", "-c", _QUESTION], capture_output=True, text=True, check=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxUnavailableError(
            f"the interpreter {executable} cannot be asked where it lives: {error}",
            mend="name a Python 3.11 or newer with ssl and sqlite3",
        ) from error
    return json.loads(done.stdout)


def _links(executable: Path) -> list[Path]:
    """Each step of the chain of symbolic links from `executable` to the program."""
    steps = [Path(os.path.normpath(executable.absolute()))]
    while steps[-1].is_symlink() and len(steps) < 40:
        steps.append(Path(os.path.normpath(steps[-1].parent / steps[-1].readlink())))
    return steps


def _is_shown(path: Path, mounts: dict[str, Mount]) -> bool:
    return any(path.is_relative_to(place) for place in (*_SHOWN_ANYWAY, *mounts))
