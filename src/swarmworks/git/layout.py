"""Lays out repositories file by file: no templates, no `git init` reading anybody's configuration, and fast."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# The branch HEAD names does not exist, so nothing that git reads "from HEAD" (attributes, for one) has an effect.
HUB_HEAD = "ref: refs/heads/swarm-none\n"

# Merges must give the same tree wherever they run, hence every setting merge-ort reads. `core.fsync`: all but the index,
# which is private and can be rebuilt; git by default syncs neither loose objects nor refs.
HUB_CONFIG = """\
[core]
	repositoryformatversion = 0
	filemode = true
	bare = true
	autocrlf = false
	logAllRefUpdates = false
	fsync = committed,derived-metadata,reference
	fsyncMethod = fsync
	filesRefLockTimeout = 2000
	packedRefsTimeout = 2000
	protectNTFS = true
	protectHFS = true
[gc]
	auto = 0
[maintenance]
	auto = false
[diff]
	algorithm = histogram
	renameLimit = 7000
	renames = true
[merge]
	renameLimit = 7000
	renames = true
	directoryRenames = conflict
	renormalize = false
	conflictStyle = merge
[receive]
	autogc = false
"""


def lay_out(directory: Path, *, head: str, config: str, alternate: Path | None = None) -> None:
    """Write an empty repository into the new directory `directory`; `alternate` is another one's object directory. git
    makes the other directories when it needs them; on a disk each costs as much as a small file.
    """
    for part in ("objects/info", "refs"):
        (directory / part).mkdir(parents=True)
    if alternate is not None:
        (directory / "objects/info/alternates").write_bytes(os.fsencode(alternate) + b"\n")
    (directory / "config").write_text(config, encoding="utf-8")
    (directory / "HEAD").write_text(head, encoding="ascii")


def write_durable(path: Path, text: str) -> None:
    """Its name is durable with the directory's next sync, or with a rename."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable: git syncs a file before it renames it, never the directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
