"""The working copy as the tools see it: paths that cannot leave it, and the files this task may write.

The sandbox and the scope gate enforce; this module gives the model errors it can act on, and never follows a link out.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from swarmworks.base.errors import ToolError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_REGULAR = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # NONBLOCK: opening a pipe without a writer must not hang


class Workspace:
    def __init__(self, root: str, owned: tuple[str, ...]) -> None:
        """`root` must exist. `owned` as in the task: a path, or a folder with a trailing slash."""
        self.root = Path(root).resolve(strict=True)
        self._owned = owned

    def own(self, paths: tuple[str, ...]) -> None:
        """The task owns these, too."""
        self._owned += paths

    def locate(self, path: str) -> str:
        """The repository path (no links, no `..`, "" for the root itself) that `path` means. ToolError when it leads
        out of the working copy or into `.git`.
        """
        if "\0" in path:
            raise ToolError("a path cannot hold a NUL character")
        try:
            resolved = (self.root / path).resolve()
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
            raise ToolError(f"{path!r} cannot be resolved: {error}") from error
        if not resolved.is_relative_to(self.root):
            raise ToolError(f"{path!r} is outside the working copy; use a path relative to its root")
        relative = resolved.relative_to(self.root)
        if ".git" in relative.parts:
            raise ToolError(f"{path!r} belongs to git, not to the files of the working copy")
        return "" if relative == Path() else relative.as_posix()

    def open_read(self, path: str) -> int:
        """A descriptor of a regular file, never through a link. The caller closes it."""
        return self._open(path, self.locate(path), os.O_RDONLY, make_folders=False)

    def open_write(self, path: str) -> int:
        """A descriptor of an owned file, made with its folders when it is not there. Its old content is still in it."""
        relative = self.locate(path)
        self.require_owned(relative)
        return self._open(path, relative, os.O_RDWR | os.O_CREAT, make_folders=True)

    def require_owned(self, relative: str) -> None:
        for entry in self._owned:
            if relative == entry or (entry.endswith("/") and relative.startswith(entry)):
                return
        owned = ", ".join(self._owned[:50]) or "no files"
        raise ToolError(f"{relative!r} is not yours to write; this task owns: {owned}")

    def _open(self, path: str, relative: str, flags: int, *, make_folders: bool) -> int:
        if not relative:
            raise ToolError(f"{path!r} is a folder, not a file")
        try:
            descriptor = self._open_beneath(relative, flags, make_folders=make_folders)
        except FileNotFoundError:
            raise ToolError(f"{path!r} does not exist") from None
        except IsADirectoryError:
            raise ToolError(f"{path!r} is a folder, not a file") from None
        except OSError as error:
            what = "leads through a link" if error.errno == errno.ELOOP else f"cannot be opened: {error.strerror}"
            raise ToolError(f"{path!r} {what}") from error
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            raise ToolError(f"{path!r} is {'a folder, not a file' if stat.S_ISDIR(mode) else 'not a regular file'}")
        return descriptor

    def _open_beneath(self, relative: str, flags: int, *, make_folders: bool) -> int:
        """Component by component from the root, so that a link put there since `locate` is refused, not followed."""
        *folders, name = relative.split("/")
        parent = os.open(self.root, _DIRECTORY)
        try:
            for folder in folders:
                if make_folders:
                    _make_folder(folder, parent)
                child = os.open(folder, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
                os.close(parent)
                parent = child
            return os.open(name, flags | _REGULAR, 0o644, dir_fd=parent)
        finally:
            os.close(parent)


def _make_folder(name: str, parent: int) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        return
