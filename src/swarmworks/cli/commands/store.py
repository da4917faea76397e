"""`swarm store`: the database that holds the state."""

from __future__ import annotations

import json
from pathlib import Path

import click

from swarmworks.cli.context import Launcher
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.view.amounts import counted
from swarmworks.cli.view.findings import tell


@click.group("store")
def command() -> None:
    """The database that holds the state: a file in .swarm/, or the PostgreSQL database that is configured."""


@command.command("check")
@click.option("--quick", is_flag=True, help="Leave out the events' chains, for which every event is read.")
@project_option
@json_option
@click.pass_obj
def check(launcher: Launcher, path: Path, *, quick: bool, as_json: bool) -> None:
    """Whether the database is fit for use, and its rows agree with each other.

    Nothing is changed; control planes may be running. Exit code 4 when something is lacking.
    """
    project = launcher.project(path)
    tell(launcher.check_store(project, chains=not quick), "The store is sound.", as_json=as_json)


@command.command("migrate")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@project_option
@json_option
@click.pass_obj
def migrate(launcher: Launcher, path: Path, *, dry_run: bool, as_json: bool) -> None:
    """Bring the database to this version's schema: forward only, all of it or nothing.

    A control plane that starts does the same by itself. Stop those that run before.
    """
    done = launcher.migrate_store(launcher.project(path), dry_run=dry_run)
    if as_json:
        steps = [{"revision": step.revision, "title": step.title} for step in done.steps]
        click.echo(
            json.dumps({"before": done.before, "after": done.after, "dry_run": dry_run, "steps": steps}, indent=2)
        )
        return
    for step in done.steps:
        click.echo(f"{'would run' if dry_run else 'ran'} {step.revision}  {step.title}")
    if not done.steps:
        click.echo(f"schema {done.after}: nothing to do")
    elif not dry_run:
        click.echo(f"schema {done.after}, from {done.before or 'nothing'}")


@command.command("copy")
@click.option(
    "--from",
    "source",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The SQLite file; the project's own when left out.",
)
@click.option("--to", "target", metavar="URL", help="The PostgreSQL database; the configured one when left out.")
@project_option
@json_option
@click.pass_obj
def copy(launcher: Launcher, source: Path | None, target: str | None, path: Path, *, as_json: bool) -> None:
    """Copy the state from a SQLite file into an empty PostgreSQL database, and verify it.

    No control plane may have either open. What was under way is ready again. The file stays as it is.
    """
    copied = launcher.copy_store(launcher.project(path), source, target)
    total = sum(copied.rows.values())
    if as_json:
        click.echo(json.dumps({"rows": total, "tables": dict(copied.rows)}, indent=2))
        return
    width = max((len(name) for name in copied.rows), default=0)
    for name, count in copied.rows.items():
        click.echo(f"{name:<{width}}  {count:,}")
    click.echo(f"{counted(total, 'row')} copied and compared; what was under way is ready again")
