"""Which hub this is: a random name in a file of its own, made once, so that a database can tell its hub from others."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from uuid import uuid4

from swarmworks.base.errors import GitError
from swarmworks.git.layout import sync_directory

FILE_NAME = "swarmworks-hub-id"


def hub_id(hub: Path) -> str:
    """The same for every process and at every time, also when two ask for the first time at once."""
    path = hub / FILE_NAME
    try:
        if not path.exists():
            _make(path)
        found = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        mend = "see that its owner may read and write the folder"
        raise GitError(f"the repository's id cannot be read or made: {error}", where=str(path), mend=mend) from error
    if not found:
        raise GitError("the repository's id is empty", where=str(path), mend="restore that file from a backup")
    return found


def _make(path: Path) -> None:
    """Whole and durable before it has its name; who comes second leaves the first one's."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{FILE_NAME}-", encoding="ascii") as made:
        made.write(f"{uuid4().hex}\n")
        made.flush()
        os.fsync(made.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(made.name, path)
    sync_directory(path.parent)
