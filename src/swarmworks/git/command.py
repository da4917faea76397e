"""The one place that starts git. Every other module of the package goes through `Git.run`.

git runs programs on behalf of whoever can write its configuration: hooks, a file-system monitor, filters, external diff,
credential helpers. So the user's and the system's configuration are switched off, the environment is built from nothing,
every transport is refused (`GIT_ALLOW_PROTOCOL`, which also stops a partial clone from fetching what it lacks), and time
and output are bounded.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from swarmworks.base.errors import GitError, LimitReachedError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

OLDEST = (2, 39)  # the first with `merge-tree --stdin`
CHUNK_BYTES = 1 << 16
EXIT_POLL_S = 0.0001
ERROR_LIMIT_BYTES = 1 << 16
MOST_TRIES = 20
"""Of a command whose object's folder was taken away at that moment."""

_FIXED_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "TZ": "UTC",
}

_FIXED_OPTIONS = (
    "--no-pager",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.untrackedCache=false",
    "-c",
    "core.attributesFile=/dev/null",
    "-c",
    "core.excludesFile=/dev/null",
    "-c",
    "core.quotePath=false",
    "-c",
    "safe.directory=*",  # nothing of a repository's configuration can run a program here, so its owner does not matter
)


@dataclass(frozen=True, slots=True)
class Finished:
    """A git process that ended. `cut` says that it wrote more than was allowed and was stopped (only when asked for)."""

    code: int
    out: bytes
    error: str
    cut: bool = False


def _lost_its_folder(finished: Finished) -> bool:
    """Whether another git, which packs the same repository, took the folder of an object away between its making and its use: it
    takes those that it finds empty. What is written then is not, and is written once more.
    """
    return finished.code != 0 and "unable to create temporary file: No such file or directory" in finished.error


@dataclass(frozen=True, slots=True)
class Git:
    """The git program: its name, where it is looked for (a PATH), and how long one call may take."""

    program: str = "git"
    search_path: str = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin"
    timeout_s: float = 120.0

    def patient(self, timeout_s: float) -> Git:
        """The same program for calls whose time grows with the history."""
        return replace(self, timeout_s=max(timeout_s, self.timeout_s))

    def run(
        self,
        git_dir: Path,
        arguments: Sequence[str],
        *,
        given: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        ok: tuple[int, ...] = (0,),
        limit_bytes: int = 64 << 20,
        cut: bool = False,
    ) -> Finished:
        """Run git on `git_dir`; `given` is its standard input. Exit codes outside `ok` are a `GitError`. More output than
        `limit_bytes` is a `LimitReachedError`, or is cut off there when `cut` is set.
        """
        command = [self.program, f"--git-dir={git_dir}", *_FIXED_OPTIONS, *arguments]
        finished = self._execute(command, given, environment or {}, limit_bytes)
        for _ in range(MOST_TRIES - 1):
            if not _lost_its_folder(finished):
                break
            finished = self._execute(command, given, environment or {}, limit_bytes)
        if finished.cut and not cut:
            raise LimitReachedError(
                f"git {arguments[0]} wrote more than {limit_bytes} bytes", where=str(git_dir), mend="ask for less"
            )
        if finished.code not in ok and not finished.cut:
            fail(git_dir, arguments, finished)
        return finished

    def start(
        self,
        git_dir: Path,
        arguments: Sequence[str],
        *,
        unbuffered: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """A git process to talk to over its pipes (see `persistent`), which ends when its standard input is closed.
        `unbuffered` is for commands that do not flush what they answer; see `unbuffers`.
        """
        first = ["stdbuf", "-o0"] if unbuffered else []
        return subprocess.Popen(
            [*first, self.program, f"--git-dir={git_dir}", *_FIXED_OPTIONS, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": self.search_path, **_FIXED_ENVIRONMENT, **(environment or {})},
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )

    def unbuffers(self) -> bool:
        """Whether this machine can start programs with an unbuffered standard output."""
        return shutil.which("stdbuf", path=self.search_path) is not None

    def version(self) -> tuple[int, int]:
        """Major and minor version; `GitError` when git is missing or older than 2.39."""
        text = self._execute([self.program, "--version"], None, {}, CHUNK_BYTES).out.decode("ascii", "replace")
        found = re.search(r"(\d+)\.(\d+)", text)
        major, minor = (int(found[1]), int(found[2])) if found else (0, 0)
        if (major, minor) < OLDEST:
            raise GitError(
                f"git {major}.{minor} is too old",
                where=self.program,
                mend="install git 2.39 or newer (Debian 12, Ubuntu 24.04 and Homebrew have it)",
            )
        return major, minor

    def _execute(
        self, command: Sequence[str], given: bytes | None, environment: Mapping[str, str], limit_bytes: int
    ) -> Finished:
        with tempfile.TemporaryFile() if given else open(os.devnull, "rb") as source:  # noqa: PTH123
            if given:
                source.write(given)
                source.seek(0)
            try:
                process = subprocess.Popen(
                    command,
                    stdin=source,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env={"PATH": self.search_path, **_FIXED_ENVIRONMENT, **environment},
                    cwd="/",
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise GitError(
                    "git is not installed", where=self.search_path, mend="install git 2.39 or newer"
                ) from error
        with process:
            try:
                return self._collect(process, limit_bytes)
            finally:
                if process.returncode is None:
                    _kill(process)

    def _collect(self, process: subprocess.Popen[bytes], limit_bytes: int) -> Finished:
        """Read both pipes until they close. The caller kills whatever is still running when this returns or raises."""
        assert process.stdout is not None
        assert process.stderr is not None
        deadline = time.monotonic() + self.timeout_s
        out, error = bytearray(), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ, out)
            selector.register(process.stderr, selectors.EVENT_READ, error)
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise self._too_slow(process)
                for key, _ in ready:
                    piece = os.read(key.fd, CHUNK_BYTES)
                    if not piece:
                        selector.unregister(key.fileobj)
                    elif key.data is out or len(error) < ERROR_LIMIT_BYTES:
                        key.data.extend(piece)
                if len(out) > limit_bytes:
                    return Finished(0, bytes(out[:limit_bytes]), _text(error), cut=True)
        while process.poll() is None:  # `wait(timeout)` sleeps half a millisecond at least, a third of a call of git
            if time.monotonic() > deadline:
                raise self._too_slow(process)
            time.sleep(EXIT_POLL_S)
        return Finished(process.returncode, bytes(out), _text(error))

    def _too_slow(self, process: subprocess.Popen[bytes]) -> GitError:
        command = process.args if isinstance(process.args, list) else []
        return GitError(
            f"git took longer than {self.timeout_s:g} s and was stopped",
            where=" ".join(str(part) for part in command)[-200:],
            mend="look for a stuck disk or a very large repository",
        )


def fail(git_dir: Path, arguments: Sequence[str], finished: Finished) -> NoReturn:
    lines = [line for line in finished.error.splitlines() if line.strip()]
    what = next((line for line in lines if line.startswith(("fatal:", "error:"))), "no message")
    mend = "run `git fsck` there" if "object" in what else ""
    if "No space left" in finished.error:
        mend = "free disk space"
    elif "Permission denied" in finished.error:
        mend = "make the directory writable for the user that runs Swarmworks"
    raise GitError(f"git {arguments[0]} failed ({finished.code}): {what[:500]}", where=str(git_dir), mend=mend)


def revision(name: str) -> str:
    """`name`, refused when git could read it as an option or when it cannot be a name at all."""
    if not name or name.startswith("-") or any(character in name for character in "\0\n"):
        raise RejectedError(f"{name[:100]!r} does not name a commit", mend="give a commit id or a branch")
    return name


def path_text(raw: bytes) -> str:
    r"""A path of a tree as text that every database and terminal takes: bytes that are not UTF-8 become `\xNN`."""
    return raw.decode("utf-8", "backslashreplace")


def records(out: bytes) -> list[bytes]:
    """The NUL-terminated records of git's `-z` output."""
    return out.split(b"\0")[:-1]


def _text(raw: bytearray) -> str:
    return raw.decode("utf-8", "replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
