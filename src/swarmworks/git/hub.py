"""`BareHub`: the bare repository of a project, on the git command line. Called by the control plane and by workers, from
several threads and processes at once: it remembers nothing but git processes that can be asked again (see `persistent`), git's
own locks and the hub's (see `refs`) do the rest.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from swarmworks.base.errors import GitError, LimitReachedError, RejectedError
from swarmworks.git.command import Git, fail, path_text, records, revision
from swarmworks.git.footprints import footprint, touched
from swarmworks.git.importing import import_history
from swarmworks.git.layout import HUB_CONFIG, HUB_HEAD, lay_out, sync_directory
from swarmworks.git.merging import Merging, Mergings
from swarmworks.git.objects import OBJECT_NAME, commit_text, drop_torn, write_loose
from swarmworks.git.persistent import Persistent
from swarmworks.git.protocol import Candidate, Conflicted, FileChange, Footprint, Identity, Loss, Merged, Piece
from swarmworks.git.refs import drop_ref, drop_refs, swap_ref, swap_refs
from swarmworks.git.stacking import stack
from swarmworks.git.survival import losses
from swarmworks.git.uniting import united

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

COMMIT_LIMIT_BYTES = 16 << 20
DETAIL_LIMIT_BYTES = 4096
LOG_FIELDS = ("commit", "tree", "author", "email", "subject", "body")
LOG_FORMAT = "%H%x00%T%x00%an%x00%ae%x00%s%x00%b"
SLOW_TIMEOUT_S = 1800.0


class BareHub:
    r"""Implements `protocol.Hub`. Paths in answers are text; bytes that are not UTF-8 show as `\xNN`."""

    def __init__(self, path: Path, git: Git) -> None:
        self._path = path
        self._git = git
        self._persistent = Persistent(git, path)
        self._mergings = Mergings(git, path)

    @classmethod
    def open_or_create(cls, path: Path, git: Git | None = None) -> BareHub:
        """The hub at `path`, made when it is not there yet. Two processes that make it at once get the same one."""
        git = git or Git()
        git.version()
        path = path.absolute()
        if not (path / "HEAD").exists():
            _create(path)
        git.run(path, ["rev-parse", "--is-bare-repository"])
        return cls(path, git)

    @property
    def path(self) -> Path:
        return self._path

    @property
    def git(self) -> Git:
        return self._git

    @property
    def persistent(self) -> Persistent:
        return self._persistent

    def merging(self) -> AbstractContextManager[Merging]:
        return self._mergings.one()

    def import_commit(self, repository: Path, commit: str) -> None:
        import_history(self._git.patient(SLOW_TIMEOUT_S), self._path, repository, commit)

    def _loose(self, name: str) -> str | None:
        """A reference read from its own file, as git does first itself: asked for so often that a process is too dear.
        None when it has to be asked for in full (packed, symbolic, or not a full name).
        """
        if not name.startswith("refs/") or ".." in name:
            return None
        try:
            text = (self._path / name).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return text if OBJECT_NAME.fullmatch(text) else None

    def resolve(self, name: str) -> str | None:
        if (quick := self._loose(name)) is not None:
            return quick
        if OBJECT_NAME.fullmatch(name) and (known := self._persistent.info(name)) is not None and known[1] == "commit":
            return known[0]
        finished = self._git.run(
            self._path,
            ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision(name)}^{{commit}}"],
            ok=(0, 1, 128),
        )
        return finished.out.decode().strip() if finished.code == 0 else None

    def tree_of(self, commit: str) -> str:
        if OBJECT_NAME.fullmatch(commit) and (known := self._persistent.info(f"{commit}^{{tree}}")) is not None:
            return known[0]
        arguments = ["rev-parse", "--verify", "--end-of-options", f"{revision(commit)}^{{tree}}"]
        return self._git.run(self._path, arguments).out.decode().strip()

    def trees_of(self, commits: Sequence[str]) -> list[str]:
        return self._persistent.trees_of(commits) or [self.tree_of(commit) for commit in commits]

    def read_file(self, commit: str, path: str, *, limit_bytes: int = 1 << 20) -> bytes | None:
        """The file's bytes, of a symbolic link its target; None for a directory and for what is not there. A file over
        `limit_bytes` is a `LimitReachedError`.
        """
        if {".", ".."} & set(path.split("/")) or "\0" in path:
            return None
        name = os.fsencode(f"{revision(commit)}:{path}")
        header_limit = 200 + len(name)
        finished = self._git.run(
            self._path,
            ["cat-file", "--batch", "-z"],
            given=name + b"\0",
            limit_bytes=limit_bytes + header_limit,
            cut=True,
        )
        header, _, content = finished.out.partition(b"\n")
        words = header.split(b" ")
        if len(words) < 3 or words[-2] != b"blob":
            return None
        size = int(words[-1])
        if size > limit_bytes:
            raise LimitReachedError(f"the file has {size} bytes, over the limit of {limit_bytes}", where=path)
        return content[:size]

    def list_files(self, commit: str) -> list[str]:
        arguments = ["ls-tree", "-r", "-z", "--name-only", "--full-tree", revision(commit)]
        return [path_text(raw) for raw in records(self._git.run(self._path, arguments).out)]

    def changes(self, base: str, head: str) -> list[FileChange]:
        arguments = ["diff-tree", "-r", "-z", "--no-renames", "--raw", "--numstat", *_PLAIN_DIFF]
        out = self._git.run(self._path, [*arguments, revision(base), revision(head)]).out
        return _parse_changes(records(out))

    def diff(self, base: str, head: str, *, limit_bytes: int = 1 << 20) -> str:
        """A unified diff for people and models. Cut at `limit_bytes`, which its last line then says."""
        arguments = [
            "diff-tree",
            "-r",
            "-p",
            "--no-renames",
            "--no-color",
            *_PLAIN_DIFF,
            revision(base),
            revision(head),
        ]
        finished = self._git.run(self._path, arguments, limit_bytes=limit_bytes, cut=True)
        text = finished.out.decode("utf-8", "replace")
        return f"{text}\n[cut: the diff has more than {limit_bytes} bytes]\n" if finished.cut else text

    def merge(self, ours: str, theirs: str) -> Merged | Conflicted:
        if OBJECT_NAME.fullmatch(ours) and OBJECT_NAME.fullmatch(theirs):
            with self.merging() as merging:
                answer = merging.merge(ours, theirs)
                if answer is not None and not answer[1]:
                    merging.keep()
                    return Merged(answer[0])
        return self.merge_alone(ours, theirs)

    def conflicts(self, ours: str, theirs: str) -> tuple[str, ...]:
        """The paths in which two commits conflict, none when they merge."""
        ours, theirs = self._full(ours), self._full(theirs)
        with self.merging() as merging:
            answer = merging.merge(ours, theirs)
        if answer is not None:
            return tuple(path_text(raw) for raw in answer[1])
        merged = self.merge_alone(ours, theirs)
        return merged.paths if isinstance(merged, Conflicted) else ()

    def merge_marked(self, ours: str, theirs: str) -> str:
        arguments = [
            "merge-tree",
            "--write-tree",
            "-z",
            "--name-only",
            "--no-messages",
            revision(ours),
            revision(theirs),
        ]
        finished = self._git.run(self._path, arguments, ok=(0, 1))
        tree = finished.out.partition(b"\0")[0].strip()
        if not tree:
            fail(self._path, arguments, finished)
        return tree.decode()

    def united(
        self, ours: str, theirs: str, paths: Sequence[str], *, union: Sequence[str], generated: Sequence[str]
    ) -> str | None:
        merged = united(self, ours, theirs, paths, union, generated)
        return None if merged is None else merged.tree

    def stack(self, target: str, pieces: Sequence[Piece]) -> list[Candidate | Conflicted]:
        return stack(self, target, pieces)

    def footprint(self, head: str, change: str) -> Footprint | None:
        return footprint(self, head, change)

    def touched(self, old: str, new: str) -> frozenset[bytes]:
        return touched(self, old, new)

    def merge_alone(self, ours: str, theirs: str, environment: Mapping[str, str] | None = None) -> Merged | Conflicted:
        """By a git process of its own, which says more of a conflict; `environment` is that of a quarantine it is to work in."""
        arguments = ["merge-tree", "--write-tree", "-z", "--name-only", "--messages", revision(ours), revision(theirs)]
        finished = self._git.run(self._path, arguments, ok=(0, 1), environment=environment)
        tree, _, rest = finished.out.partition(b"\0")
        if not tree:
            fail(self._path, arguments, finished)
        if finished.code == 0:
            return Merged(tree.decode())
        names, messages = (b"", rest[1:]) if rest.startswith(b"\0") else rest.partition(b"\0\0")[::2]
        named, detail = _conflict_messages(messages)
        paths = {path_text(raw) for raw in names.split(b"\0") if raw} or named  # a folder that was split has no entries
        return Conflicted(tuple(sorted(paths)), detail)

    def _full(self, name: str) -> str:
        found = name if OBJECT_NAME.fullmatch(name) else self.resolve(name)
        if found is None:
            raise RejectedError(f"there is no commit {name[:100]!r}", where=str(self._path))
        return found

    def commit_tree(
        self, tree: str, parents: Sequence[str], message: str, author: Identity, committer: Identity, at: datetime
    ) -> str:
        if "\0" in message:
            raise RejectedError("a commit message cannot hold a NUL character", mend="remove it")
        self._expect(tree, "tree")
        for parent in parents:
            self._expect(parent, "commit")
        content = message.encode("utf-8", "backslashreplace") or b"\n"
        text = commit_text(tree, parents, content, author, committer, at)
        write_loose(self._path, [text])
        return text.name

    def _expect(self, name: str, kind: str) -> None:
        known = self._persistent.info(name) if OBJECT_NAME.fullmatch(name) else None
        if known is None or known[1] != kind:
            arguments = ["cat-file", kind, revision(name)]
            self._git.run(self._path, arguments, limit_bytes=1, cut=True)  # says what is wrong
            if not OBJECT_NAME.fullmatch(name):
                raise RejectedError(f"{name[:100]!r} is not the full id of a {kind}", mend="resolve it first")

    def update_ref(self, ref: str, new: str, old: str | None) -> bool:
        return swap_ref(self._git, self._persistent, self._path, ref, new, old)

    def update_refs(self, moves: Mapping[str, str]) -> None:
        swap_refs(self._git, self._persistent, self._path, moves)

    def delete_ref(self, ref: str) -> None:
        drop_ref(self._git, self._path, ref)

    def delete_refs(self, refs: Sequence[str]) -> None:
        drop_refs(self._git, self._path, refs)

    def refs(self, prefix: str) -> dict[str, str]:
        out = self._git.run(self._path, ["for-each-ref", "--format=%(refname) %(objectname)", prefix]).out
        return {name: value for name, _, value in (line.partition(" ") for line in out.decode().splitlines())}

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        if ancestor == descendant or ancestor in self.parents(descendant):
            return True
        arguments = ["merge-base", "--is-ancestor", revision(ancestor), revision(descendant)]
        return self._git.run(self._path, arguments, ok=(0, 1)).code == 0

    def parents(self, commit: str) -> list[str]:
        """Of a commit named in full. None too when it has to be asked for in full."""
        found = self._persistent.contents(commit, COMMIT_LIMIT_BYTES) if OBJECT_NAME.fullmatch(commit) else None
        if found is None or found[0] != "commit":
            return []
        lines = found[1].partition(b"\n\n")[0].split(b"\n")
        return [line.removeprefix(b"parent ").decode() for line in lines if line.startswith(b"parent ")]

    def kept_lines(self, base: str, head: str, tree: str) -> tuple[str, ...]:
        return tuple(loss.path for loss in self.losses(base, head, tree))

    def losses(self, base: str, head: str, tree: str) -> tuple[Loss, ...]:
        return losses(self._git, self._persistent, self._path, revision(base), revision(head), revision(tree))

    def log(
        self, base: str | None, tip: str, *, limit: int = 100_000, path: str | None = None
    ) -> list[Mapping[str, str]]:
        span = [f"^{revision(base)}"] if base else []
        arguments = [
            "log",
            "-z",
            "--first-parent",
            "--encoding=UTF-8",
            "--no-show-signature",
            f"-n{limit}",
            f"--format={LOG_FORMAT}",
        ]
        only = [] if path is None else [path]  # taken literally, as everywhere here
        fields = [
            raw.decode("utf-8", "replace") for raw in self._fields([*arguments, revision(tip), *span, "--", *only])
        ]
        width = len(LOG_FIELDS)
        return [
            dict(zip(LOG_FIELDS, fields[start : start + width], strict=True)) for start in range(0, len(fields), width)
        ]

    def mend(self) -> int:
        """Asked when a control plane starts: what a power cut tore is removed, so that it can be written again."""
        return drop_torn(self._path)

    def maintain(self) -> None:
        """Pack loose objects. Deletes only what the new pack holds as well, so working copies and writers go on."""
        self._git.patient(SLOW_TIMEOUT_S).run(self._path, ["repack", "-d", "-q"])

    def _fields(self, arguments: Sequence[str]) -> list[bytes]:
        finished = self._git.run(self._path, arguments)
        return finished.out.removesuffix(b"\0").split(b"\0") if finished.out else []


_PLAIN_DIFF = ("--no-ext-diff", "--no-textconv", "--full-index", "--no-commit-id")


def _create(path: Path) -> None:
    if path.exists() and any(path.iterdir()):
        if (path / "HEAD").exists():
            return  # another one made it meanwhile: it appears whole
        raise GitError("the directory is not empty and no repository", where=str(path), mend="name another directory")
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        lay_out(made, head=HUB_HEAD, config=HUB_CONFIG)
        (made / "objects/pack").mkdir()
        made.chmod(0o755)
        try:
            made.rename(path)
        except OSError:
            if not (path / "HEAD").exists():
                raise
        sync_directory(path.parent)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _parse_changes(fields: list[bytes]) -> list[FileChange]:
    """Raw records (`:mode mode id id status`, path), then one numstat record per path in any order."""
    raw: dict[bytes, tuple[str, str]] = {}
    counts: dict[bytes, tuple[int | None, int | None]] = {}
    rest = iter(fields)
    for field in rest:
        if field.startswith(b":"):
            _, mode, _, _, status = field.decode().split(" ")
            raw[next(rest)] = (status, mode)
        else:
            added, removed, path = field.split(b"\t", 2)
            counts[path] = (None, None) if added == b"-" else (int(added), int(removed))
    return [
        FileChange(path_text(path), status, *counts.get(path, (0, 0)), mode=mode)
        for path, (status, mode) in raw.items()
    ]


def _conflict_messages(messages: bytes) -> tuple[set[str], str]:
    """The paths of conflicts and the text of `merge-tree -z --messages`: per message a count, that many paths, the kind, and
    the text.
    """
    fields = messages.split(b"\0")
    texts: list[bytes] = []
    paths: set[str] = set()
    position = 0
    while position < len(fields) and fields[position].isdigit():
        named = fields[position + 1 : position + 1 + int(fields[position])]
        position += len(named) + 1
        kind, *text = fields[position : position + 2] or [b""]
        if kind.startswith(b"CONFLICT"):
            paths.update(map(path_text, named))
        texts.extend(text)
        position += 2
    return paths, b"".join(texts)[:DETAIL_LIMIT_BYTES].decode("utf-8", "ignore").strip()
