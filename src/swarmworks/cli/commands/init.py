"""`swarm init`: write `swarm.toml` from what is found in the repository, or the starter of a new application."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, cast

import click
import yaml

from swarmworks.base.errors import EXIT_BLOCKED, InvalidDocumentError, NotARepositoryError, Problem, UsageError
from swarmworks.cli.context import Launcher
from swarmworks.cli.starters.detection import detect
from swarmworks.cli.starters.writing import (
    CONFIG_NAME,
    config_text,
    current_branch,
    default_branch,
    has_sources,
    one_line,
    starter_files,
    write_files,
)
from swarmworks.cli.verifying import verify_gates
from swarmworks.git.importing import find_work_tree


@click.command("init")
@click.option(
    "--from", "spec", type=click.Path(path_type=Path), help="A specification: start a new application for it."
)
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@click.option("--verify", is_flag=True, help="Build the environment and run the gates once on your last commit.")
@click.option(
    "--path", "root", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="The repository."
)
@click.pass_obj
def command(launcher: Launcher | None, spec: Path | None, root: Path, *, force: bool, verify: bool) -> None:
    """Write swarm.toml from what is found in the repository.

    With --verify also learn now, for nothing, whether the gates are green on your last commit; a swarm.toml that is there is
    then kept and only verified. Exit code 1 when one is not.
    """
    if not root.is_dir():
        raise UsageError("there is no such folder", where=str(root), mend="make it, and run git init in it")
    _refuse_folder_of_repository(root)
    if verify and spec is None and not force and (root / CONFIG_NAME).exists():
        _verify(launcher, root)
        return
    notes: list[str] = []
    if spec is None:
        files = _for_existing(root, notes)
    else:
        name, framework = _read_specification(spec)
        if has_sources(root, spec) and not force:
            raise UsageError(
                "the repository is not empty, and --from starts a new application",
                where=str(root),
                mend="run swarm init without --from to describe what is there, or use --force",
            )
        files = starter_files(framework, name=name, branch=current_branch(root))
    for path in write_files(root, files, force=force):
        click.echo(f"wrote {path}")
    for note in notes:
        click.echo(note)
    if (root / ".git").exists():
        click.echo(f"next: read {CONFIG_NAME}, then git add {' '.join(files)} && git commit")
    if verify:
        _verify(launcher, root)


def _refuse_folder_of_repository(root: Path) -> None:
    """Gates run at the top of a repository, and only there is swarm.toml protected."""
    here = root.resolve()
    try:
        top = find_work_tree(here)
    except NotARepositoryError:
        return
    if top != here:
        raise UsageError(
            f"this is a folder of the repository {top}, and swarm.toml belongs at its top",
            where=str(root),
            mend=f"run swarm init --path {shlex.quote(str(top))} and let the gates go into the folder (cd ... && ...), "
            "or make it a repository of its own with git init",
        )


def _verify(launcher: Launcher | None, root: Path) -> None:
    assert launcher is not None
    if not verify_gates(launcher, root):
        raise click.exceptions.Exit(EXIT_BLOCKED)


def _for_existing(root: Path, notes: list[str]) -> dict[str, str]:
    detected = detect(root)
    branch, why = default_branch(root)
    if detected.evidence:
        notes.append(f"found: {detected.language} ({', '.join(detected.evidence)}); branch {branch}, {why}")
    else:
        notes.append("found no language it knows: the file holds a template, in comments, for you to fill in")
    notes += [f"  gate {gate.name:<9} {one_line(gate.why)}" for gate in detected.gates]
    notes += [f"  note: {note}" for note in detected.notes]
    if detected.tests is None:
        notes.append("NO TESTS WERE FOUND. Without a gate that runs the code, nothing proves that a change works.")
    notes += [f"  missing: {lack}" for lack in detected.missing]
    if not detected.gates:
        notes.append(f"add gates to {CONFIG_NAME} before a swarm can run")
    return {CONFIG_NAME: config_text(detected, name=root.resolve().name, branch=branch, branch_why=why)}


def _read_specification(spec: Path) -> tuple[str, str]:
    """The name and the framework; everything else of a specification is for `swarm plan` to read."""
    try:
        document: Any = yaml.safe_load(spec.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"the specification cannot be read: {error.strerror}", where=str(spec)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 0
        raise InvalidDocumentError(
            str(spec), [Problem(line, "not valid YAML", "see the example specification")]
        ) from None
    keys = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    inner = keys.get("project", keys)
    if isinstance(inner, dict):
        keys = {**keys, **cast("dict[str, Any]", inner)}
    architecture = keys.get("architecture", {})
    framework = cast("dict[str, Any]", architecture).get("framework") if isinstance(architecture, dict) else None
    if not isinstance(framework, str):
        problem = Problem(0, "architecture.framework is missing", "name it, such as framework: fastapi")
        raise InvalidDocumentError(str(spec), [problem])
    return str(keys.get("name", spec.stem)), framework
