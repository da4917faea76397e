"""`swarm plan`: a specification becomes a plan file, which a person reviews before anything runs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import click

from swarmworks.base.errors import ConflictError, UsageError
from swarmworks.cli.plan_view import findings, notes, overview
from swarmworks.domain.plan import Source
from swarmworks.policy.lint import lint
from swarmworks.policy.planning.decompose import decompose
from swarmworks.policy.planning.remarks import remarks
from swarmworks.wire.planfile import dump_plan, edited_by_hand
from swarmworks.wire.spec import load_specification


@click.command("plan")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("plan.yaml"),
    help="Where the plan goes.",
    show_default=True,
)
@click.option("--force", is_flag=True, help="Overwrite a plan that was edited by hand.")
def command(spec: Path, output: Path, force: bool) -> None:
    """Decompose a specification into a plan.

    SPEC is a resource specification in YAML. The plan is a file you review and edit;
    `swarm check` lints it, `swarm run` runs it.
    """
    specification, data = load_specification(spec)
    _refuse_overwriting(spec, output, force=force)
    plan = decompose(specification, Source("resources", spec.as_posix(), hashlib.sha256(data).hexdigest()))
    changed = _write(output, dump_plan(plan))
    for line in overview(plan):
        click.echo(line)
    for line in notes(remarks(specification)):
        click.echo(line)
    for line in findings(lint(plan)):
        click.echo(line)
    click.echo(f"{'wrote' if changed else 'unchanged:'} {output}")
    click.echo(f"next: read it, then swarm check {output}")


def _refuse_overwriting(spec: Path, output: Path, *, force: bool) -> None:
    if output.is_dir():
        raise UsageError(
            "the output is a folder", where=str(output), mend=f"name a file, such as {output / 'plan.yaml'}"
        )
    if not output.exists():
        return
    if output.samefile(spec):
        raise UsageError("the output is the specification itself", where=str(output), mend="name another file with -o")
    if not force and edited_by_hand(_read(output)):
        raise ConflictError(
            "this plan was edited by hand, or not written by swarm plan",
            where=str(output),
            mend="write to another file with -o and compare, or overwrite it with --force",
        )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # not a plan: it counts as somebody else's file
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), mend="check its permissions") from error


def _write(path: Path, text: str) -> bool:
    """Whole or not at all; says whether the file changed."""
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
