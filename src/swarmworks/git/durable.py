"""Files that are on the disk before they have their names, and names that are."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from swarmworks.git.layout import sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterable


class Temporaries:
    """Of one folder, for several threads. Those that nobody renamed are deleted at the end. `prefix` is what git knows as its own:
    it cleans up what a killed process leaves.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for made in self._made:
            made.unlink(missing_ok=True)

    def write(self, parts: Iterable[bytes]) -> Path:
        """A file that only its owner may write, and nobody changes. On the disk when it is returned."""
        descriptor, name = tempfile.mkstemp(prefix=self._prefix, dir=self._folder)
        made = Path(name)
        self._made.append(made)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
        return made


def sync_names(folder: Path) -> None:
    """Of what was renamed into `folder`. One that is gone was emptied by git, into a pack."""
    with contextlib.suppress(FileNotFoundError):
        sync_directory(folder)
