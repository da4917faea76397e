"""`swarm init`: write `swarm.toml` from what is found in the repository, or the starter of a new application."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click
import yaml

from swarmworks.base.errors import InvalidDocumentError, Problem, UsageError
from swarmworks.cli.starters.detection import detect
from swarmworks.cli.starters.writing import (
    CONFIG_NAME,
    config_text,
    current_branch,
    has_sources,
    starter_files,
    write_files,
)


@click.command("init")
@click.option(
    "--from", "spec", type=click.Path(path_type=Path), help="A specification: start a new application for it."
)
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@click.option(
    "--path", "root", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="The repository."
)
def command(spec: Path | None, root: Path, force: bool) -> None:
    """Write swarm.toml from what is found in the repository."""
    if not root.is_dir():
        raise UsageError("there is no such folder", where=str(root), mend="make it, and run git init in it")
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


def _for_existing(root: Path, notes: list[str]) -> dict[str, str]:
    detected = detect(root)
    if detected.evidence:
        notes.append(f"found: {detected.language} ({', '.join(detected.evidence)})")
    if detected.gates:
        notes.append(f"gates: scope, secrets, {', '.join(gate.name for gate in detected.gates)}")
    else:
        notes.append(f"found no tests or linters: add gates to {CONFIG_NAME} before a swarm can run")
    text = config_text(detected, name=root.resolve().name, branch=current_branch(root))
    return {CONFIG_NAME: text}


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
