"""Writes a file the person asked for: whole, or not at all, and never over what somebody wrote by hand."""

from __future__ import annotations

import contextlib
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from swarmworks.base.errors import ConflictError, UsageError
from swarmworks.wire.planfile import MAX_PLAN_BYTES, edited_by_hand

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


def write_whole(path: Path, text: str) -> bool:
    """Whether the file changed. UsageError when it cannot be written."""
    data = text.encode()
    if path.is_file() and _at_most(path, len(data)) == data:
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    with written_to(path) as stream:
        stream.write(text)
    return True


@contextmanager
def written_to(path: Path) -> Generator[TextIO]:
    """The file appears when it is whole, and nothing is left of one that could not be written. What is there and is no file, a
    pipe or a device, is never replaced, and nor is what this process writes to already (/dev/stdout): it is written straight
    into. UsageError when it cannot be written.
    """
    try:
        if (output := _already_open(path)) is not None:
            with os.fdopen(os.dup(output), "w", encoding="utf-8", newline="\n") as stream:
                yield stream
            return
        if path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8", newline="\n") as stream:
                yield stream
            return
        whole = path.resolve()
        partial = whole.with_name(f".{whole.name}.{os.getpid()}.partial")
        try:
            with partial.open("w", encoding="utf-8", newline="\n") as stream:
                if whole.exists():
                    partial.chmod(whole.stat().st_mode & 0o7777)
                yield stream
            partial.replace(whole)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _already_open(path: Path) -> int | None:
    """The standard output or error, when the path leads to it: with what a shell appends to stays what was there."""
    for output in (sys.stdout, sys.stderr):
        output.flush()
        with contextlib.suppress(OSError, ValueError):  # a path that is not there, an output that has no descriptor
            if os.path.samestat(path.stat(), os.fstat(output.fileno())):
                return output.fileno()
    return None


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"cannot be written: {error.strerror}",
        where=str(path),
        mend="check the folder, its permissions and its free space",
    )


def refuse_overwriting(
    spec: Path | None, output: Path, *, force: bool, how: str = ", or overwrite it with --force"
) -> None:
    """Before a plan is made: a person's own work is not what `output` names. `how` it could be overwritten all the same."""
    if output.is_dir():
        raise UsageError(
            "the output is a folder", where=str(output), mend=f"name a file, such as {output / 'plan.yaml'}"
        )
    if not output.exists():
        return
    if spec is not None and spec.exists() and output.samefile(spec):
        raise UsageError("the output is the specification itself", where=str(output), mend="name another file with -o")
    if not output.is_file():
        return  # a pipe or a device holds nobody's work, and may be read without an end
    if not force and edited_by_hand(_read(output)):
        raise ConflictError(
            "this plan was edited by hand, or not written by swarm plan",
            where=str(output),
            mend=f"write to another file with -o and compare{how}",
        )


def _read(path: Path) -> str:
    data = _at_most(path, MAX_PLAN_BYTES)
    try:
        return "" if data is None else data.decode()
    except UnicodeDecodeError:
        return ""  # not a plan: it counts as somebody else's file


def _at_most(path: Path, most: int) -> bytes | None:
    """None for a file that is larger. UsageError when it cannot be read."""
    try:
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), mend="check its permissions") from error
    return data if len(data) <= most else None
