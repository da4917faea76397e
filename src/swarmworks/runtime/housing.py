"""Where a program of the host appears in the sandbox, with what it needs to run: a native file, a package of npm, or a Python
environment of its own. Everything is shown read-only; nothing of it is copied.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from swarmworks.base.errors import UnavailableError
from swarmworks.runtime.protocol import Shown

ELF = b"\x7fELF"
INSIDE = "/opt"
SYSTEM = Path("/usr")
"""Shown in every sandbox."""
MOST_SHEBANG_BYTES = 4_096

Python = Callable[[Path], tuple[Shown, ...]]
"""What the interpreter at a path needs inside, at the same paths."""


@dataclass(frozen=True, slots=True)
class Housed:
    """`outside` are the words with which it is run on the host, `inside` those in the sandbox, where `shown` is there."""

    outside: tuple[str, ...]
    inside: tuple[str, ...]
    shown: tuple[Shown, ...]


class Housing(Protocol):
    def house(self, name: str, program: Path, python: Python) -> Housed:
        """Of the program found for the runtime `name`. UnavailableError says what is missing, when it cannot be shown."""
        ...


@dataclass(frozen=True, slots=True)
class Native:
    """One native file. Where the program is a script that starts it, as npm installs them, it is looked for as `below`: paths
    below the folders `node_modules` around the script, where `{arch}` stands for the machine's, as npm calls it.
    """

    below: tuple[str, ...] = ()

    def house(self, name: str, program: Path, python: Python) -> Housed:
        del python
        found = program.resolve() if _begins(program).startswith(ELF) else self._beside(program.resolve())
        if found is None:
            raise UnavailableError(f"{program.resolve()} is not the native program, but a stand-in or a script")
        inside = f"{INSIDE}/{name}/{name}"
        return Housed((str(found),), (inside,), (Shown(found, inside),))

    def _beside(self, script: Path) -> Path | None:
        arch = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        folders = [parent / "node_modules" for parent in script.parents]
        found = (
            file
            for folder in folders
            for pattern in self.below
            for file in sorted(folder.glob(pattern.format(arch=arch)))
        )
        return next((file.resolve() for file in found if _begins(file).startswith(ELF)), None)


@dataclass(frozen=True, slots=True)
class NodePackage:
    """A script of a package of npm: shown with the outermost `node_modules` it is in, since its dependencies may lie beside
    it, and with the Node that would run it.
    """

    def house(self, name: str, program: Path, python: Python) -> Housed:
        del python
        script = program.resolve()
        if b"node" not in _begins(program).partition(b"\n")[0]:
            raise UnavailableError(f"{script} is no script for Node")
        library = next((parent for parent in reversed(script.parents) if parent.name == "node_modules"), None)
        if library is None:
            raise UnavailableError(f"{script} is not in a folder node_modules: its package cannot be told")
        node = _node_beside(program)
        shown: list[Shown] = []
        inside_node = str(node)
        if not node.is_relative_to(SYSTEM):
            inside_node = f"{INSIDE}/{name}/node"
            shown.append(Shown(node, inside_node))
        inside_library = str(library)
        if not library.is_relative_to(SYSTEM):
            inside_library = f"{INSIDE}/{name}/node_modules"
            shown.append(Shown(library, inside_library))
        inside_script = f"{inside_library}/{script.relative_to(library)}"
        return Housed((str(node), str(script)), (inside_node, inside_script), tuple(shown))


@dataclass(frozen=True, slots=True)
class PythonScript:
    """A program of a Python environment, at the same paths as on the host: such an environment cannot be moved."""

    def house(self, name: str, program: Path, python: Python) -> Housed:
        del name
        script = program.resolve()  # often a link from a folder of programs into the tool's own environment
        interpreter = _interpreter(script)
        if interpreter is None:
            raise UnavailableError(f"{script} is no script of a Python environment")
        shown = python(interpreter)
        if not any(script.is_relative_to(one.target) for one in shown) and not script.is_relative_to(SYSTEM):
            raise UnavailableError(f"{script} is not in the environment of its interpreter {interpreter}")
        words = (str(interpreter), str(script))
        return Housed(words, words, shown)


def _begins(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MOST_SHEBANG_BYTES)
    except OSError as error:
        raise UnavailableError(f"{file} cannot be read: {error.strerror}") from error


def _node_beside(program: Path) -> Path:
    """The Node of the folder the program is in, as version managers lay them out; else the machine's."""
    beside = program.absolute().parent / "node"
    found = str(beside) if beside.is_file() else shutil.which("node")
    if found is None:
        raise UnavailableError("there is no Node to run it with")
    return Path(found).resolve()


def _interpreter(script: Path) -> Path | None:
    """Named in the first line; in the second where the path is too long for a first one."""
    lines = _begins(script).split(b"\n", 2)
    words = lines[0].removeprefix(b"#!").split() if lines[0].startswith(b"#!") else []
    if words == [b"/bin/sh"] and len(lines) > 1 and lines[1].startswith(b"'''exec' "):
        words = [lines[1].removeprefix(b"'''exec' ").rpartition(b' "$0"')[0].strip(b'"')]
    named = Path(words[0].decode(errors="replace")) if len(words) == 1 else None
    return named if named is not None and named.is_absolute() and named.is_file() and "python" in named.name else None
