"""`SharedClones`: private working copies that borrow the hub's objects. Works everywhere git does, needs no privileges.

    <root>/<name>            the tree, with a `.git` of its own (detached, no remote, objects borrowed from the hub)
    <root>/.state/<name>/    ours alone: what the copy was made from, and the index its snapshots use

Why there are no worktrees of git: their own directory lies in the hub, which no agent may write.

The agent may do to its `.git` what it likes: nothing here ever looks at it.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from swarmworks.base.errors import ConflictError, GitError, NotFoundError, RejectedError
from swarmworks.git.checkout import give_to, write_tree
from swarmworks.git.hub import BareHub
from swarmworks.git.layout import lay_out, write_durable
from swarmworks.git.locking import held, held_if_free
from swarmworks.git.mounting import sync_file_system
from swarmworks.git.protocol import Identity, WorkingCopy
from swarmworks.git.refs import set_ref
from swarmworks.git.removal import remove_tree
from swarmworks.git.snapshot import Snapshot
from swarmworks.git.untrusted import Tree

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from swarmworks.git.command import Git

log = logging.getLogger(__name__)

COMMITTER = Identity("Swarmworks", "swarm@swarmworks.invalid")
FILE_LIMIT_BYTES = 100 << 20
CLONE = "clone"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
COPY_CONFIG = """\
[core]
	repositoryformatversion = 0
	filemode = true
	bare = false
	logAllRefUpdates = true
[gc]
	auto = 0
[maintenance]
	auto = false
[commit]
	gpgSign = false
[user]
	name = Swarmworks agent
	email = agent@swarmworks.invalid
"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is on disk of a copy. `way` is how it was made; `retired`: its session is over."""

    copy: WorkingCopy
    way: str
    retired: bool


class SharedClones:
    """Implements `protocol.WorkingCopies`. With `owner_uid` the trees belong to that uid (this process must be root)."""

    way: ClassVar[str] = CLONE
    ways: ClassVar[frozenset[str]] = frozenset({CLONE})
    """Those it can handle. What was made in another is left alone."""

    def __init__(
        self,
        hub_path: Path,
        root: Path,
        owner_uid: int | None,
        *,
        git: Git | None = None,
        file_limit_bytes: int = FILE_LIMIT_BYTES,
    ) -> None:
        self._hub = BareHub.open_or_create(hub_path, git)
        self._git = self._hub.git
        self._root = root.absolute()
        self._owner_uid = owner_uid
        self._file_limit_bytes = file_limit_bytes
        self._states = self._root / ".state"
        self._states.mkdir(parents=True, exist_ok=True)
        self._states.chmod(0o700)

    def create(self, name: str, commit: str, ref: str = "") -> WorkingCopy:
        if not _NAME.fullmatch(name):
            raise RejectedError(
                f"{name[:100]!r} cannot name a working copy", mend="use letters, digits, `.`, `_` and `-`"
            )
        found = self._hub.resolve(commit)
        if found is None:
            raise NotFoundError(f"no commit {commit[:100]}", where=str(self._hub.path), mend="import it first")
        copy = WorkingCopy(self._root / name, found, name, ref)
        with held(self._lock(name)):
            if self._record(name).exists():
                raise ConflictError(
                    f"working copy {name} exists already", where=str(copy.path), mend="destroy it first"
                )
            self._discard(copy)
            try:
                self._make(copy)
            except BaseException:
                self._discard(copy)
                raise
        return copy

    def snapshot(self, copy: WorkingCopy, ref: str, message: str, author: Identity, at: datetime) -> str:
        """See the protocol; the committer is Swarmworks, and `ref` is moved whatever it was, unless it is the same work. Files inside an embedded
        repository are taken as plain files, its `.git` is dropped, and its commits are not kept; a submodule that the commit
        already has stays what it was. Fifos, sockets and devices are passed over. A file that cannot be read, is larger
        than the limit (100 MiB), or has a name git refuses keeps its old version, and a `Left-Out:` line of the message
        says so.
        """
        self._check(copy)
        with held(self._lock(copy.name), timeout_s=600):
            state = self._states / copy.name
            self._sweep_stages(state)
            self._attach(copy)
            tree = Tree(copy.path, self._owner_uid, self._file_limit_bytes)
            snapshot = Snapshot(self._git.patient(600), self._hub.path, tree, state / "index", copy.commit)
            written = snapshot.write_tree()
            result = copy.commit
            if not snapshot.left_out and (known := self._kept_already(ref, copy, written)) is not None:
                return known
            if snapshot.left_out or written != (state / "tree").read_text(encoding="ascii"):
                text = snapshot.message(message)
                result = self._hub.commit_tree(written, [copy.commit], text, author, COMMITTER, at)
            set_ref(self._git, self._hub.path, ref, result)
        return result

    def _kept_already(self, ref: str, copy: WorkingCopy, tree: str) -> str | None:
        """What `ref` points at, when that is the very same work."""
        known = self._hub.resolve(ref)
        if known is None or self._hub.tree_of(known) != tree:
            return None
        return known if known == copy.commit or self._hub.parents(known) == [copy.commit] else None

    def retire(self, copy: WorkingCopy) -> None:
        self._check(copy)
        with held(self._lock(copy.name)):
            self._write_record(copy, retired=True)
            self._detach(copy)

    def destroy(self, copy: WorkingCopy) -> None:
        """Delete the copy, whoever owns its files. The record goes first: half a copy must never be taken for a whole one,
        or its missing files would be the agent's deletions.
        """
        with held(self._lock(copy.name)):
            self._discard(copy)
            self._lock(copy.name).unlink(missing_ok=True)

    def existing(self) -> list[WorkingCopy]:
        """See the protocol. What a crash left half made or half destroyed is cleared away, never listed; what was made in a way
        that is not possible here stays where it is.
        """
        self._clear_halves()
        found = [record for record in self._records() if not record.retired]
        for record in found:
            if record.way not in self.ways:
                log.warning("%s was made as %s, which cannot be had here: it stays", record.copy.path, record.way)
        return [record.copy for record in found if record.way in self.ways]

    def retired(self) -> list[WorkingCopy]:
        found = [record.copy for record in self._records() if record.retired and record.way in self.ways]
        return sorted(found, key=lambda copy: self._record(copy.name).stat().st_mtime)

    def places(self, copy: WorkingCopy) -> list[Path]:
        """Where what was written in the copy lies, the first for people to look into."""
        return [copy.path, self._states / copy.name]

    def _clear_halves(self) -> None:
        for state in [path for path in self._states.iterdir() if path.is_dir()]:
            if self._record(state.name).exists():
                continue
            with held_if_free(self._lock(state.name)) as got:
                if got and not self._record(state.name).exists():
                    self._discard(WorkingCopy(self._root / state.name, "", state.name))

    def _records(self) -> list[Recorded]:
        """Without those that cannot be read, which stay where they are."""
        found: list[Recorded] = []
        for name in sorted(path.name for path in self._states.iterdir() if path.is_dir()):
            try:
                record = self._recorded(name)
            except GitError as error:
                log.warning("%s", error)
                continue
            found += [] if record is None else [record]
        return found

    def _make(self, copy: WorkingCopy) -> None:
        state = self._states / copy.name
        state.mkdir()
        self._fill(copy, state)
        write_durable(state / "tree", self._hub.tree_of(copy.commit))
        self._write_record(copy, retired=False)

    def _fill(self, copy: WorkingCopy, state: Path) -> None:
        """Write the tree and its `.git`, and make them the owner's."""
        copy.path.mkdir(mode=0o755)
        write_tree(self._git, self._hub.path, copy.commit, copy.path, state / "index")
        self._lay_out(copy.path / ".git", copy.commit, state / "index")
        if self._owner_uid is not None:
            give_to(copy.path, self._owner_uid)
        sync_file_system(copy.path)  # or a power cut could leave empty files behind a whole record

    def _lay_out(self, own: Path, commit: str, index: Path) -> None:
        lay_out(own, head=f"{commit}\n", config=COPY_CONFIG, alternate=self._hub.path / "objects")
        (own / "hooks").mkdir()  # so that a mount can keep it as it is
        shutil.copyfile(index, own / "index")
        if (self._hub.path / "shallow").exists():
            shutil.copyfile(self._hub.path / "shallow", own / "shallow")

    def _attach(self, copy: WorkingCopy) -> None:
        """Make sure that the tree can be seen."""

    def _detach(self, copy: WorkingCopy) -> None:
        """Let go of what only a running session needs."""

    def _discard(self, copy: WorkingCopy) -> None:
        self._record(copy.name).unlink(missing_ok=True)
        remove_tree(self._root / copy.name)
        remove_tree(self._states / copy.name)

    def _recorded(self, name: str) -> Recorded | None:
        try:
            record = json.loads(self._record(name).read_text(encoding="utf-8"))
            commit = str(record["commit"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise GitError(
                "the record of a working copy cannot be read",
                where=str(self._record(name)),
                mend=f"look into {self._root / name}, then remove {self._states / name}",
            ) from error
        copy = WorkingCopy(self._root / name, commit, name, str(record.get("ref", "")))
        return Recorded(copy, str(record.get("way", CLONE)), bool(record.get("retired", False)))

    def _write_record(self, copy: WorkingCopy, *, retired: bool) -> None:
        known = self._recorded(copy.name)
        way = self.way if known is None else known.way
        text = {"name": copy.name, "commit": copy.commit, "ref": copy.ref, "way": way, "retired": retired}
        unfinished = self._states / copy.name / "copy.json.new"
        write_durable(unfinished, json.dumps(text))
        unfinished.rename(self._record(copy.name))

    def _check(self, copy: WorkingCopy) -> None:
        record = self._recorded(copy.name)
        if record is None or record.copy != copy:
            raise NotFoundError(f"no working copy {copy.name}", where=str(copy.path), mend="create it first")
        if record.way not in self.ways:
            raise GitError(
                f"the working copy was made as {record.way}, which cannot be had here",
                where=str(copy.path),
                mend="start the worker as the user who made it",
            )

    def _record(self, name: str) -> Path:
        return self._states / name / "copy.json"

    def _lock(self, name: str) -> Path:
        return self._states / f"{name}.lock"

    @staticmethod
    def _sweep_stages(state: Path) -> None:
        for left in state.glob("stage-*"):
            remove_tree(left)
