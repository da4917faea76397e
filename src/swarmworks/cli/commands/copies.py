"""`swarm copies`: the working copies that are kept on this machine, and giving one up."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import click

from swarmworks.base.errors import ConflictError, NotFoundError
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.view.amounts import counted, size
from swarmworks.git.best import best_copies
from swarmworks.git.clones import SharedClones
from swarmworks.git.protocol import WorkingCopy
from swarmworks.sandbox.disk import usage_below


@dataclass(frozen=True, slots=True)
class _Row:
    copies: SharedClones
    copy: WorkingCopy
    kept: bool
    disk_bytes: int


@click.command("copies")
@click.option("--discard", "names", metavar="NAME", multiple=True, help="Give this one up, with all that lies in it.")
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, names: tuple[str, ...], path: Path, as_json: bool) -> None:
    """The working copies of sessions, at work and ended.

    A copy is kept until its task has landed. What was to be handed in is on a reference of its own: discarding a copy takes
    what .gitignore names, and whatever else only lies there.
    """
    rows = _rows(launcher.project(path))
    if names:
        for name in names:
            _discard(rows, name)
        return
    if as_json:
        click.echo(json.dumps([_plain(row) for row in rows], indent=2))
        return
    for row in rows:
        click.echo(f"{row.copy.name}  {'kept' if row.kept else 'at work'}  {size(row.disk_bytes)}  {_place(row)}")
    total = sum(row.disk_bytes for row in rows)
    click.echo(f"{counted(len(rows), 'working copy', 'working copies')}, {size(total)}")


def _rows(project: OpenProject) -> list[_Row]:
    roots = [project.state / "copies", *sorted(project.state.glob("workers/*/copies"))]
    found: list[_Row] = []
    for root in [root for root in roots if root.is_dir()]:
        copies = best_copies(project.state / "hub.git", root, None)
        for kept, listed in ((False, copies.existing()), (True, copies.retired())):
            found += [_Row(copies, copy, kept, usage_below(copies.places(copy)).disk_bytes) for copy in listed]
    return found


def _discard(rows: list[_Row], name: str) -> None:
    row = next((row for row in rows if row.copy.name == name), None)
    if row is None:
        known = ", ".join(row.copy.name for row in rows if row.kept) or "none is kept"
        raise NotFoundError(f"there is no working copy {name!r}", where="--discard", mend=f"one of: {known}")
    if not row.kept:
        raise ConflictError(
            f"a session works in {name}, or a worker died with it and has not been back",
            where="--discard",
            mend="stop the swarm, or start a worker, first",
        )
    row.copies.destroy(row.copy)
    click.echo(f"discarded {name}; what was to be handed in stays on {row.copy.ref}")


def _plain(row: _Row) -> dict[str, object]:
    return {
        "name": row.copy.name,
        "kept": row.kept,
        "ref": row.copy.ref,
        "base": row.copy.commit,
        "disk_bytes": row.disk_bytes,
        "path": str(_place(row)),
    }


def _place(row: _Row) -> Path:
    return row.copies.places(row.copy)[0]
