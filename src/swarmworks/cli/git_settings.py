"""What of a repository's own settings makes work harder for a swarm than for its owner: the platform runs git without anybody's
configuration, without a network, and without the programs that filters name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from swarmworks.base.errors import SwarmworksError
from swarmworks.base.findings import Check, Finding
from swarmworks.git.command import Git, records
from swarmworks.git.importing import common_dir, find_git_dir

NAME = "git settings"
MOST_SHOWN = 3
_MOST_BYTES = 16 << 20


def git_settings(root: Path) -> Iterator[Check]:
    """Checks of the repository `root` lies in. Blocks, for as long as the list of its files is long."""
    try:
        notes = list(_notes(Git(), find_git_dir(root), root))
    except SwarmworksError as error:
        yield Check(NAME, Finding.LACKING, error.what, error.mend)
        return
    yield from notes or [Check(NAME, Finding.OK, "nothing in the repository stands in the way")]


def _notes(git: Git, git_dir: Path, root: Path) -> Iterator[Check]:
    settings = _settings(git, git_dir)
    if partial := settings.get("extensions.partialclone"):
        mend = "git fetch --refetch --no-filter"
        yield Check(NAME, Finding.LACKING, f"a partial clone of {partial}: objects are missing here", mend)
    if (common_dir(git_dir) / "shallow").is_file():
        mend = "git fetch --unshallow, if agents are to see the whole history"
        yield Check(NAME, Finding.NOTE, "a shallow clone: agents see the history it has", mend)
    if settings.get("core.autocrlf", "") in {"true", "input"}:
        mend = "say in .gitattributes what line endings files have: agents work without core.autocrlf"
        yield Check(NAME, Finding.NOTE, f"core.autocrlf is {settings['core.autocrlf']}", mend)
    if filtered := _filtered(git, git_dir, root):
        shown = ", ".join(filtered[:MOST_SHOWN]) + (
            f" and {len(filtered) - MOST_SHOWN} more" if filtered[MOST_SHOWN:] else ""
        )
        mend = "agents see what is stored of them, such as pointers of Git LFS, and a delivery refuses to write them"
        yield Check(NAME, Finding.NOTE, f"files that pass through a filter: {shown}", mend)


def _settings(git: Git, git_dir: Path) -> dict[str, str]:
    """Of this repository alone, names in lower case."""
    listed = git.run(common_dir(git_dir), ["config", "--local", "--null", "--list"]).out
    pairs = (record.decode("utf-8", "replace").partition("\n") for record in records(listed))
    return {name.lower(): value for name, _, value in pairs}


def _filtered(git: Git, git_dir: Path, root: Path) -> list[str]:
    """The tracked files with an attribute `filter`, of those whose names fit into the limit."""
    names = git.run(git_dir, ["ls-files", "-z"], limit_bytes=_MOST_BYTES, cut=True).out
    asked = [f"--work-tree={root}", "check-attr", "--cached", "-z", "--stdin", "filter"]
    fields = records(git.run(git_dir, asked, given=names).out)
    return [
        path.decode("utf-8", "replace")
        for path, value in zip(fields[::3], fields[2::3], strict=False)
        if value not in {b"unspecified", b"unset"}
    ]
