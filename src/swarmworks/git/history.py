"""Where a line comes from, and what a commit says: read from the hub and the user's repository together.

The hub borrows the user's objects for each call, so that a swarm's commits are found before and after they were delivered, and
nothing of the user's configuration is in force.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from swarmworks.base.errors import NotFoundError
from swarmworks.git.command import Git, revision
from swarmworks.git.importing import common_dir, find_git_dir, quoted
from swarmworks.git.objects import blob_name

MOST_BODY = 64 << 10
_FORMAT = "%H%x00%T%x00%an%x00%at%x00%B"


@dataclass(frozen=True, slots=True)
class CommitFacts:
    """`trailers` are those of the message's last paragraph, the first of each name."""

    commit: str
    tree: str
    author: str
    at: datetime
    subject: str
    trailers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Blamed:
    """The commit a line comes from, and the line as it is at the commit that was asked about."""

    commit: CommitFacts
    text: str


class History:
    """`repository` is the user's, or any path in it."""

    def __init__(self, hub: Path, repository: Path, git: Git | None = None) -> None:
        self._hub = hub
        self._git = git or Git()
        self._git_dir = find_git_dir(repository)
        self._environment = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted(common_dir(self._git_dir) / "objects")}

    def find(self, name: str) -> CommitFacts | None:
        """The commit that `name` stands for: an id or its beginning, a name of the user's repository, or one of the hub's."""
        asked = ["rev-parse", "--verify", "--quiet", f"{revision(name)}^{{commit}}"]
        for git_dir in (self._git_dir, self._hub):
            environment = self._environment if git_dir == self._hub else {}
            found = self._git.run(git_dir, asked, environment=environment, ok=(0, 1, 128))
            if found.code == 0:
                return self._facts(found.out.decode().strip())
        return None

    def blame(self, commit: str, path: str, line: int) -> Blamed:
        """NotFoundError when the file or the line is not there."""
        arguments = ["blame", "--porcelain", "-L", f"{line},{line}", revision(commit), "--", path]
        found = self._git.run(self._hub, arguments, environment=self._environment, ok=(0, 128))
        if found.code != 0:
            lines = self._lines(commit, path)
            what = f"there is no file {path}" if lines is None else f"{path} has {lines} lines"
            raise NotFoundError(
                f"{what} at {commit[:10]}", where=f"{path}:{line}", mend="name a file and line of that commit"
            )
        rows = found.out.decode("utf-8", errors="replace").split("\n")
        text = next((row[1:].removesuffix("\r") for row in rows if row.startswith("\t")), "")
        return Blamed(self._facts(rows[0].split()[0]), text)

    def _lines(self, commit: str, path: str) -> int | None:
        found = self._git.run(
            self._hub, ["cat-file", "blob", f"{revision(commit)}:{path}"], environment=self._environment, ok=(0, 128)
        )
        if found.code != 0:
            return None
        return found.out.count(b"\n") + (not found.out.endswith(b"\n") and found.out != b"")

    def holds(self, commit: str, path: str, content: bytes) -> bool:
        """Whether the file is `content` there. Line ends that git turns at a checkout make no difference."""
        asked = ["rev-parse", "--verify", "--quiet", f"{revision(commit)}:{path}"]
        found = self._git.run(self._hub, asked, environment=self._environment, ok=(0, 1, 128))
        names = {blob_name(content), blob_name(content.replace(b"\r\n", b"\n"))}
        return found.code == 0 and found.out.decode().strip() in names

    def _facts(self, commit: str) -> CommitFacts:
        arguments = ["log", "-1", f"--format={_FORMAT}", commit]
        out = self._git.run(self._hub, arguments, environment=self._environment, limit_bytes=MOST_BODY, cut=True).out
        found, tree, author, at, body = out.decode("utf-8", errors="replace").split("\0", 4)
        return CommitFacts(
            commit=found.strip(),
            tree=tree,
            author=author,
            at=datetime.fromtimestamp(int(at), UTC),
            subject=body.strip().partition("\n")[0],
            trailers=_trailers(body),
        )


def _trailers(body: str) -> dict[str, str]:
    last = body.strip().rpartition("\n\n")[2]
    found: dict[str, str] = {}
    for row in last.splitlines():
        name, colon, value = row.partition(": ")
        if colon and " " not in name:
            found.setdefault(name, value.strip())
    return found
