"""What the rest of the house asks of git: a bare hub per project, working copies for sessions and gates, merges, landings.

All of it is the git command line with the user's and the system's configuration switched off; nothing here ever runs git
inside a tree with that tree's own configuration. Blocking functions: callers put them on a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """`status` is A, M, D or T (type changed); a rename is a D and an A. `added`/`removed` are None for binary files."""

    path: str
    status: str
    added: int | None
    removed: int | None
    mode: str  # the new mode, such as 100644, 100755, 120000 (a symbolic link), 160000 (an embedded repository)


@dataclass(frozen=True, slots=True)
class Merged:
    """A clean merge: the tree both sides make together."""

    tree: str


@dataclass(frozen=True, slots=True)
class Conflicted:
    """`paths` conflict; `detail` is git's own account, at most 4 KiB."""

    paths: tuple[str, ...]
    detail: str


@dataclass(frozen=True, slots=True, order=True)
class Loss:
    """`lines` that a change added to `path` and that a later tree has not; none when the file as a whole is not what it was."""

    path: str
    lines: tuple[str, ...]


Footprint = Mapping[bytes, tuple[tuple[int, int], ...]]
"""By file, the gaps between its lines that a change touches, as closed intervals (see `footprints`)."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A change to be built: its commit, and the message, author and time of the commit it is to land as. `union`: the files, and
    folders with a trailing slash, to which both sides may add where they would conflict.
    """

    head: str
    message: str
    author: Identity
    committer: Identity
    at: datetime
    union: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """`commit` has `tree` and one parent, `target`. `united`: the files that both sides had added to."""

    commit: str
    tree: str
    target: str
    united: tuple[str, ...] = ()


class Hub(Protocol):
    """The bare repository of a project. Refs: `refs/swarm/work/<swarm>/<task>/<fence>`,
    `refs/swarm/candidate/<change>`, and `refs/heads/swarm/<swarm>` (the integration branch).
    """

    @property
    def path(self) -> Path: ...

    def import_commit(self, repository: Path, commit: str) -> None:
        """Bring `commit` and its history in from the user's repository, which is only read."""
        ...

    def resolve(self, name: str) -> str | None:
        """The commit a name stands for, None when there is none."""
        ...

    def tree_of(self, commit: str) -> str: ...

    def read_file(self, commit: str, path: str, *, limit_bytes: int = 1 << 20) -> bytes | None: ...

    def list_files(self, commit: str) -> list[str]: ...

    def changes(self, base: str, head: str) -> list[FileChange]: ...

    def diff(self, base: str, head: str, *, limit_bytes: int = 1 << 20) -> str: ...

    def merge(self, ours: str, theirs: str) -> Merged | Conflicted:
        """Three-way merge of two commits from their merge base, by merge-ort, without a working copy."""
        ...

    def conflicts(self, ours: str, theirs: str) -> tuple[str, ...]:
        """The paths in which two commits conflict, none when they merge."""
        ...

    def merge_marked(self, ours: str, theirs: str) -> str:
        """The tree of a merge, with git's markers where it conflicts."""
        ...

    def united(
        self, ours: str, theirs: str, paths: Sequence[str], *, union: Sequence[str], generated: Sequence[str]
    ) -> str | None:
        """The tree of two commits that conflict in `paths`, all of which are named as files to which both only added (`union`) or
        as `generated`, of which `ours` is kept; None when there is another conflict than that.
        """
        ...

    def stack(self, target: str, pieces: Sequence[Piece]) -> list[Candidate | Conflicted]:
        """Merge one on top of the other, `target` (a full id) lowest, each a commit as it is to land; an answer for each. One
        that conflicts is left out of those above it. Durable when it returns.
        """
        ...

    def footprint(self, head: str, change: str) -> Footprint | None:
        """Where `change` touches `head`, both full ids; None when it conflicts with it, or nothing can be said."""
        ...

    def touched(self, old: str, new: str) -> frozenset[bytes]:
        """The files, as footprints name them, in which two commits differ."""
        ...

    def commit_tree(  # a commit is exactly these values: the same values give the same id
        self, tree: str, parents: Sequence[str], message: str, author: Identity, committer: Identity, at: datetime
    ) -> str: ...

    def update_ref(self, ref: str, new: str, old: str | None) -> bool:
        """Compare-and-swap, durable when it returns. `old` None: the ref must not exist yet. False when it was not
        what was expected.
        """
        ...

    def update_refs(self, moves: Mapping[str, str]) -> None:
        """Point references at commits, whatever they were, in one go."""
        ...

    def delete_ref(self, ref: str) -> None: ...

    def refs(self, prefix: str) -> Mapping[str, str]:
        """The references below `prefix`, which ends with a slash, and what they point at."""
        ...

    def is_ancestor(self, ancestor: str, descendant: str) -> bool: ...

    def kept_lines(self, base: str, head: str, tree: str) -> tuple[str, ...]:
        """Paths whose lines added between `base` and `head` do not all survive in `tree`: what a silent revert looks
        like. Empty when every change is still there.
        """
        ...

    def losses(self, base: str, head: str, tree: str) -> tuple[Loss, ...]:
        """As `kept_lines`, with the lines."""
        ...

    def mend(self) -> int:
        """Remove what a power cut left torn; how many objects that were."""
        ...

    def log(
        self, base: str | None, tip: str, *, limit: int = 100_000, path: str | None = None
    ) -> list[Mapping[str, str]]:
        """First-parent history, newest first, at most `limit` commits: keys commit, tree, author, email, subject, body. With
        `path` those that changed that file.
        """
        ...


@dataclass(frozen=True, slots=True)
class WorkingCopy:
    """A private checkout. `path` is the tree; `commit` what it was made from; `ref` where its work is kept, for whoever finds
    it after a crash.
    """

    path: Path
    commit: str
    name: str
    ref: str = ""


class WorkingCopies(Protocol):
    def create(self, name: str, commit: str, ref: str = "") -> WorkingCopy:
        """A working copy of `commit` under `name` (unique: `<task>-<fence>`), writable by the sandbox's uid."""
        ...

    def snapshot(self, copy: WorkingCopy, ref: str, message: str, author: Identity, at: datetime) -> str:
        """Commit everything in the copy (what .gitignore names aside) onto `copy.commit` under `ref`, and return the
        commit; `copy.commit` itself when nothing changed. Devices, sockets, setuid bits and embedded repositories are
        dropped, symbolic links kept as links. Safe while the agent is running.
        """
        ...

    def retire(self, copy: WorkingCopy) -> None:
        """The session is over: what lies in the copy stays, and takes as little as it can."""
        ...

    def destroy(self, copy: WorkingCopy) -> None: ...

    def existing(self) -> list[WorkingCopy]:
        """What an earlier process left behind, to be snapshotted before anything is cleaned. Without those that are retired."""
        ...

    def retired(self) -> list[WorkingCopy]:
        """Those whose session is over, in the order in which they ended."""
        ...
