"""Writes a file the person asked for: whole, or not at all, and never over what somebody wrote by hand."""

from __future__ import annotations

import os
from pathlib import Path

from swarmworks.base.errors import ConflictError, UsageError
from swarmworks.wire.planfile import edited_by_hand


def write_whole(path: Path, text: str) -> bool:
    """Whether the file changed. UsageError when it cannot be written."""
    if path.exists() and path.read_bytes() == text.encode():
        return False
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(
            f"cannot be written: {error.strerror}", where=str(path), mend="check the folder and its permissions"
        ) from error
    return True


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
    if not force and edited_by_hand(_read(output)):
        raise ConflictError(
            "this plan was edited by hand, or not written by swarm plan",
            where=str(output),
            mend=f"write to another file with -o and compare{how}",
        )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # not a plan: it counts as somebody else's file
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), mend="check its permissions") from error
