"""What the project's environment folder shows from outside: whether one is being built, and where its programs lie.

`worker/environment.py` makes it: a folder per environment with `env/` inside, `complete` once it is built, and a lock file
beside it that is held during the build.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

FOLDER = "environments"
MOST_LOOKED_AT = 50


def being_built(state: Path) -> bool:
    """Whether some process builds an environment now. Safe to ask at any time: a builder waits for locks by trying again."""
    return any(_locked(home.with_suffix(".lock")) for home in _homes(state) if not (home / "complete").is_file())


def newest_programs(state: Path) -> Path | None:
    """The folder with the programs of the environment that was completed last, None when there is none."""
    complete = [home for home in _homes(state) if (home / "complete").is_file()]
    if not complete:
        return None
    return max(complete, key=lambda home: (home / "complete").stat().st_mtime) / "env" / "bin"


def _homes(state: Path) -> list[Path]:
    try:
        return [entry for entry in sorted((state / FOLDER).iterdir())[:MOST_LOOKED_AT] if entry.is_dir()]
    except OSError:
        return []


def _locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
