"""The allowlist of programs, as the last steps of a set-up carry it out: which directories are emptied but for what is allowed,
what may be read where programs could lie, and what may be run.

The loader runs whatever can be read and mapped as code, so a program that is not allowed must not be readable either: below the
library folders only libraries are. Looks at the host's directories, which are the sandbox's own (`view.system_root`).
"""

from __future__ import annotations

import fnmatch
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from swarmworks.sandbox.elf import MAGIC, loader_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from swarmworks.sandbox.inside import Cover

PROGRAM_FOLDERS: Final = (
    *("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"),
    *("/usr/local/games", "/usr/games"),
)
_LIBRARY_FOLDERS: Final = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/local/lib", "/lib", "/lib64")
_WHOLE: Final = ("/usr/share", "/usr/include", "/usr/local/share", "/usr/local/include", "/usr/src")
_LIBRARIES: Final = (
    *(
        "*-linux-*",
        "*.so",
        "*.so.*",
        "engines-*",
        "gconv",
        "jvm-exports",
        "locale",
        "lua*",
        "os-release",
        "ossl-modules",
    ),
    *("perl*", "pkgconfig", "python*", "rpm", "ruby*", "sasl2", "ssl", "tcl*", "terminfo", "tk*", "security"),
)
"""What of a library folder may be read whatever is allowed: patterns of names. Programs among it are shown empty."""
_LOADERS: Final = (
    "/lib/ld-*",
    "/lib64/ld-*",
    "/usr/lib/ld-*",
    "/usr/lib64/ld-*",
    "/lib/*-linux-*/ld-*",
    "/libx32/ld-*",
)
_COMPANIONS: Final = {
    "git": ("/usr/lib/git-core", "/usr/libexec/git-core"),
    "npm": ("/usr/lib/node_modules", "/usr/local/lib/node_modules"),
    **dict.fromkeys(("cc", "gcc", "c++", "g++", "cpp"), ("/usr/lib/gcc", "/usr/lib64/gcc", "/usr/libexec/gcc")),
}
"""Programs of other folders that a program starts by itself."""
_ALTERNATIVES: Final = "/etc/alternatives"

_Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Libraries:
    """What may be read in the library folders, and the programs that lie among it. Without mounts these cannot be shown empty: then
    folders that hold some may only be listed, and of what lies in them `parts` may be read.
    """

    shown: tuple[str, ...]
    masks: tuple[str, ...]
    listed: tuple[str, ...]
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Allowed:
    """Paths inside. `covers` are directories emptied but for what is allowed, `masks` files shown empty. `read` is what may be read
    where masks are; where they cannot be, that is `parts`, and `listed` are folders of which only the names may.
    """

    covers: tuple[Cover, ...]
    masks: tuple[str, ...]
    read: tuple[str, ...]
    listed: tuple[str, ...]
    parts: tuple[str, ...]
    run: tuple[str, ...]
    named: tuple[str, ...]  # of `run`, what was asked for by its path, and lies in some mount


def allowed(programs: tuple[str, ...]) -> Allowed:
    """Of `programs`, names are looked for where the system keeps its programs, and what is not installed there is left out; an
    absolute path is the name of such a program too, or else a program, or a directory of programs, of some mount. Blocks, the
    first time, and when anything was installed since, for as long as the library folders are large.
    """
    return _found.allowed(programs)


class _Found:
    """What was found, for as long as the folders it was found in are as they were."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stamps: dict[str, _Stamp | None] = {}
        self._libraries = _Libraries((), (), (), ())
        self._allowed: dict[tuple[str, ...], Allowed] = {}

    def allowed(self, programs: tuple[str, ...]) -> Allowed:
        with self._lock:
            if not self._stamps or any(_stamp(folder) != stamp for folder, stamp in self._stamps.items()):
                self._stamps = _stamps()
                self._libraries = _libraries()
                self._allowed = {}
            if programs not in self._allowed:
                self._allowed[programs] = _allowed(programs, self._libraries)
            return self._allowed[programs]


_found: Final = _Found()


def _stamps() -> dict[str, _Stamp | None]:
    """Each is taken before its folder is looked into: what changes meanwhile is noticed the next time."""
    found = {folder: _stamp(folder) for folder in (*PROGRAM_FOLDERS, *_LIBRARY_FOLDERS, _ALTERNATIVES)}
    pending = [entry.path for entry in _library_entries() if entry.is_dir(follow_symlinks=False)]
    while pending:
        folder = pending.pop()
        found[folder] = _stamp(folder)
        with suppress(OSError), os.scandir(folder) as entries:
            pending += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return found


def _stamp(folder: str) -> _Stamp | None:
    """The time of the last change of the entry itself cannot be set by anybody."""
    try:
        status = os.stat(folder)  # noqa: PTH116 -- a thousand at each start
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def _allowed(programs: tuple[str, ...], found: _Libraries) -> Allowed:
    names = sorted({name for program in programs if (name := _name_of(program))})
    named = [program for program in programs if not _name_of(program)]
    covers: list[Cover] = []
    run = [*named]
    for folder in PROGRAM_FOLDERS:
        if Path(folder).is_dir() and not Path(folder).is_symlink():
            cover, elsewhere = _cover(folder, names)
            covers.append(cover)
            run += [folder, *elsewhere]
    run += [companion for name in names for companion in _COMPANIONS.get(name, ())]
    run += _loaders()
    return Allowed(
        tuple(covers),
        found.masks,
        (*_WHOLE, *found.shown),
        found.listed,
        (*_WHOLE, *found.parts),
        tuple(dict.fromkeys(run)),
        tuple(named),
    )


def _name_of(program: str) -> str:
    folder, slash, name = program.rpartition("/")
    return name if not slash or folder in PROGRAM_FOLDERS else ""


def _cover(folder: str, names: Iterable[str]) -> tuple[Cover, list[str]]:
    """A program that lies among others is shown by itself under its name; one that lies in a folder of its own needs what lies
    beside it, and is led to by a link.
    """
    files: list[tuple[str, str]] = []
    links: list[tuple[str, str]] = []
    elsewhere: list[str] = []
    for name in names:
        real = os.path.realpath(f"{folder}/{name}")
        if not Path(real).is_file():
            continue
        if os.path.dirname(real) in PROGRAM_FOLDERS:  # noqa: PTH120 -- text, as everything here
            files.append((name, real))
        else:
            links.append((name, real))
            elsewhere.append(_package(real))
    return {"directory": folder, "files": files, "links": links}, elsewhere


def _package(real: str) -> str:
    """The folder a program came with: /usr/lib/jvm of /usr/lib/jvm/java-17/bin/java."""
    for base in (*_LIBRARY_FOLDERS, "/usr/libexec", "/usr/share", "/usr/local/share", "/usr/local"):
        if real.startswith(f"{base}/"):
            first = real[len(base) + 1 :].partition("/")[0]
            return real if _is_library(first) else f"{base}/{first}"
    return real


def _is_library(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _LIBRARIES)


def _loaders() -> list[str]:
    found = [path for pattern in _LOADERS for path in Path("/").glob(pattern.removeprefix("/"))]
    return sorted({os.path.realpath(path) for path in found if path.is_file()})


def _libraries() -> _Libraries:
    shown: list[str] = []
    masks: list[str] = []
    for entry in _library_entries():
        shown.append(entry.path)
        if entry.is_dir(follow_symlinks=False):
            masks += _programs_below(entry.path)
    listed, parts = _without(masks, shown)
    return _Libraries(tuple(shown), tuple(masks), tuple(listed), tuple(parts))


def _without(masks: Iterable[str], shown: Iterable[str]) -> tuple[list[str], list[str]]:
    """Of `shown`, the folders that hold some of `masks`, at any depth, and all else in them. Links are left out: what may be read,
    may be read by them too.
    """
    hidden = set(masks)
    leading = {str(folder) for mask in hidden for folder in Path(mask).parents}
    listed: list[str] = []
    parts: list[str] = []
    pending = [*shown]
    while pending:
        path = pending.pop()
        if path not in leading:
            parts.append(path)
            continue
        listed.append(path)
        with os.scandir(path) as entries:
            pending += [entry.path for entry in entries if entry.path not in hidden and not entry.is_symlink()]
    return listed, parts


def _library_entries() -> Iterator[os.DirEntry[str]]:
    for folder in _LIBRARY_FOLDERS:
        if Path(folder).is_dir() and not Path(folder).is_symlink():
            yield from (e for e in sorted(os.scandir(folder), key=lambda each: each.name) if _is_library(e.name))


def _programs_below(root: str) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        for name in names:
            path = f"{folder}/{name}"
            if not name.endswith(".so") and ".so." not in name and os.access(path, os.X_OK) and _is_program(path):
                yield path


def _is_program(path: str) -> bool:
    """A dot in its name mostly means that it is something else: then only what names a loader is one."""
    if Path(path).is_symlink():
        return False
    if "." in os.path.basename(path):  # noqa: PTH119 -- as above
        return loader_of(path) != ""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 -- as above
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
