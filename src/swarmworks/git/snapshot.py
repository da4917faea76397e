"""Turns what lies in a working copy into a tree in the hub, while its agent may still be writing, and may be hostile.

git compares the copy with a private index and lists names. The contents of what differs are then taken by `untrusted`,
which follows no link, into a directory of our own, and only from there read by git. So line endings follow
`.gitattributes` as usual, and nothing from outside the copy gets in, whatever is swapped for a link meanwhile.
"""

from __future__ import annotations

import errno
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from swarmworks.base.errors import GitError, LimitReachedError
from swarmworks.git.command import path_text, records
from swarmworks.git.untrusted import Taken, Tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.git.command import Finished, Git

CHANGED_PATHS_LIMIT = 200_000
TOTAL_LIMIT_BYTES = 2 << 30
NESTING_LIMIT = 16
DEPTH_LIMIT = 200
LEFT_OUT_SHOWN = 50
TOOL_CACHES = ("__pycache__/", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".aider*", "node_modules")
"""Left by running a test or an agent's program, not written by anybody: a repository that forgot them in .gitignore has work all the same. What is
tracked already stays tracked.
"""

HANDOFF_FILE = ".swarm-handoff.json"
"""At the root of a working copy: what an agent's program says to the worker, and no work of its."""

_LEFT_OUT = (*TOOL_CACHES, f"/{HANDOFF_FILE}", f"/{HANDOFF_FILE}.part")
_LISTING = ("ls-files", "-z", "-t", "-o", "--exclude-standard", *(f"--exclude={name}" for name in _LEFT_OUT))


@dataclass(slots=True)
class Snapshot:
    """One snapshot in the making. `index` outlives it: git's cache of what it has seen, rebuilt from `commit` when bad."""

    git: Git
    hub: Path
    copy: Tree
    index: Path
    commit: str
    left_out: dict[bytes, str] = field(default_factory=dict[bytes, str])

    def write_tree(self) -> str:
        self._refresh_index()
        with tempfile.TemporaryDirectory(prefix="stage-", dir=self.index.parent) as stage:
            staged, removed = self._stage(Path(stage))
            if removed:
                self._run(["update-index", "-z", "--force-remove", "--stdin"], given=_joined(removed))
            self._add(Path(stage), staged)
        return self._run(["write-tree"]).out.decode().strip()

    def message(self, message: str) -> str:
        """`message`, and a line for each file that is in the copy and could not be taken."""
        if not self.left_out:
            return message
        rows = [f"Left-Out: {path_text(path)!r} ({why})" for path, why in sorted(self.left_out.items())]
        more = [f"Left-Out: and {len(rows) - LEFT_OUT_SHOWN} more"] if len(rows) > LEFT_OUT_SHOWN else []
        return "\n".join([message.rstrip("\n"), "", *rows[:LEFT_OUT_SHOWN], *more, ""])

    def _refresh_index(self) -> None:
        self.index.with_name(f"{self.index.name}.lock").unlink(missing_ok=True)  # of a killed snapshot: ours is locked
        refresh = ["update-index", "-q", "--ignore-submodules", "--refresh"]
        if self.index.exists() and self._run(refresh, ok=(0, 1, 128)).code != 128:
            return
        self.index.unlink(missing_ok=True)
        self._run(["read-tree", self.commit])
        self._run(refresh, ok=(0, 1))

    def _stage(self, stage: Path) -> tuple[list[bytes], list[bytes]]:
        """Copy all that differs into `stage`; the paths copied, and those that are no longer there."""
        known, unknown = self._differing()
        if len(known) + len(unknown) > CHANGED_PATHS_LIMIT:
            raise LimitReachedError(
                f"more than {CHANGED_PATHS_LIMIT} files differ",
                where=str(self.copy.root),
                mend="name what is generated in .gitignore",
            )
        staged: list[bytes] = []
        removed: list[bytes] = []
        total = 0
        for path in sorted(known | unknown):
            taken = self._take(stage, path) if total < TOTAL_LIMIT_BYTES else Taken.TOO_LARGE
            if taken is Taken.COPIED:
                staged.append(path)
                total += os.lstat(os.fsencode(stage) + b"/" + path).st_size
            elif taken in {Taken.GONE, Taken.SPECIAL, Taken.DIRECTORY}:
                removed += [path] if path in known and not self._is_submodule(taken, path) else []
            else:
                self.left_out[path] = taken.value
        return staged, removed

    def _differing(self) -> tuple[set[bytes], set[bytes]]:
        known: set[bytes] = set()
        unknown: set[bytes] = set()
        for record in records(self._run([*_LISTING, "-m", "-d"]).out):
            tag, path = record[:1], record[2:]
            (unknown if tag == b"?" else known).add(path)
        for embedded in [path for path in unknown if path.endswith(b"/")]:
            unknown.discard(embedded)
            unknown |= self._inside(embedded, NESTING_LIMIT)
        return known, unknown

    def _inside(self, embedded: bytes, depth: int) -> set[bytes]:
        """The files of an embedded repository, as plain files: it is listed as a tree of its own, without its `.git`."""
        if depth == 0:
            self.left_out[embedded] = "repositories nested too deep"
            return set()
        environment = {
            "GIT_INDEX_FILE": str(self.index.parent / "no-index"),
            "GIT_WORK_TREE": str(self.copy.root / os.fsdecode(embedded)),
        }
        finished = self.git.run(self.hub, ["-c", "core.bare=false", *_LISTING], environment=environment, ok=(0, 128))
        paths = {embedded + record[2:] for record in records(finished.out)}
        deeper = {path for path in paths if path.endswith(b"/")}
        for path in deeper:
            paths |= self._inside(path, depth - 1)
        return paths - deeper

    def _take(self, stage: Path, path: bytes) -> Taken:
        if path.count(b"/") > DEPTH_LIMIT:
            return Taken.TOO_DEEP
        target = os.fsencode(stage) + b"/" + path
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
            return self.copy.take(path, target)
        except (NotADirectoryError, FileExistsError):
            return Taken.GONE  # the copy held a file where it now holds a directory; the next snapshot sees one of them
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return Taken.UNREADABLE
            raise GitError(
                f"a snapshot could not be written: {error.strerror}",
                where=str(stage),
                mend="see to space and permissions",
            ) from error

    def _is_submodule(self, taken: Taken, path: bytes) -> bool:
        if taken is not Taken.DIRECTORY:
            return False
        return self._run(["ls-files", "-s", "-z", "--", os.fsdecode(path)]).out.startswith(b"160000 ")

    def _add(self, stage: Path, paths: Sequence[bytes]) -> None:
        """Into the index, all at once; when git refuses one (a broken `working-tree-encoding`), halve until it is found."""
        if not paths:
            return
        arguments = ["update-index", "-z", "--add", "--replace", "--stdin"]
        finished = self._run(arguments, given=_joined(paths), work_tree=stage, ok=(0, 1, 128))
        if finished.code == 0:
            self._note_ignored(finished.error)
        elif len(paths) == 1:
            self._add_raw(stage, paths[0])
        else:
            middle = len(paths) // 2
            self._add(stage, paths[:middle])
            self._add(stage, paths[middle:])

    def _add_raw(self, stage: Path, path: bytes) -> None:
        file = Path(os.fsdecode(os.fsencode(stage) + b"/" + path))
        content = os.fsencode(file.readlink()) if file.is_symlink() else file.read_bytes()
        mode = "120000" if file.is_symlink() else "100755" if os.access(file, os.X_OK) else "100644"
        blob = self._run(["hash-object", "-w", "--stdin"], given=content).out.decode().strip()
        entry = f"{mode},{blob},{os.fsdecode(path)}"
        finished = self._run(["update-index", "--add", "--replace", "--cacheinfo", entry], ok=(0, 1, 128))
        if finished.code != 0:
            self.left_out[path] = "a name git refuses"

    def _note_ignored(self, error: str) -> None:
        for line in error.splitlines():
            if line.startswith("Ignoring path "):
                self.left_out[line.removeprefix("Ignoring path ").encode()] = "a name git refuses"

    def _run(
        self,
        arguments: Sequence[str],
        *,
        given: bytes | None = None,
        work_tree: Path | None = None,
        ok: tuple[int, ...] = (0,),
    ) -> Finished:
        environment = {"GIT_INDEX_FILE": str(self.index), "GIT_WORK_TREE": str(work_tree or self.copy.root)}
        return self.git.run(
            self.hub, ["-c", "core.bare=false", *arguments], given=given, environment=environment, ok=ok
        )


def _joined(paths: Sequence[bytes]) -> bytes:
    return b"".join(path + b"\0" for path in paths)
