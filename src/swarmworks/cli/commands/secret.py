"""`swarm secret`: keys of providers, sealed in the store."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from swarmworks.base.errors import ConflictError, UsageError
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.swarms import reach
from swarmworks.cli.view.amounts import counted, plain
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.wire.secrets import MOST_VALUE, SetSecret

T = TypeVar("T")


@click.group("secret")
def command() -> None:
    """Keys of providers, sealed in the store: [providers.NAME] key_secret = "SECRET". A value is never shown again."""


@command.command("init")
@project_option
@click.pass_obj
def init(launcher: Launcher, path: Path) -> None:
    """Make the file with the key that seals secrets. Keep a copy of it apart from those of the database."""
    made = launcher.make_secret_key(launcher.project(path))
    click.echo(f"made {made}: who has this file and the database has the secrets")


@command.command("set")
@click.argument("name")
@project_option
@json_option
@click.pass_obj
def put(launcher: Launcher, name: str, path: Path, as_json: bool) -> None:
    """Seal a secret under NAME. Its value is read from standard input, or asked for at the terminal without showing it."""
    value = SetSecret.model_validate({"value": _value(name)})
    row = _asked(launcher, launcher.project(path), lambda client: client.secrets.set(name, value))
    click.echo(row.model_dump_json(indent=2) if as_json else f"sealed {row.name} with key {row.key_id}")


@command.command("list")
@project_option
@json_option
@click.pass_obj
def show(launcher: Launcher, path: Path, as_json: bool) -> None:
    """The names of the secrets, who set them and when, and whether they open; never their values."""
    found = _asked(launcher, launcher.project(path), lambda client: client.secrets.secrets())
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    for row in found.secrets:
        state = "" if row.opens else "  DOES NOT OPEN: its key is not here, or it was changed"
        by = plain(row.set_by.removeprefix("person:"))
        click.echo(f"{row.name}  set by {by} on {row.set_at:%Y-%m-%d %H:%M} UTC, key {row.key_id}{state}")
    if not found.secrets:
        click.echo("there are no secrets")
    click.echo(f"keys: {found.keys}")


@command.command("rm")
@click.argument("name")
@click.option("--force", is_flag=True, help="Also when the configuration names it.")
@project_option
@json_option
@click.pass_obj
def remove(launcher: Launcher, name: str, path: Path, *, force: bool, as_json: bool) -> None:
    """Take a secret out of the store."""
    project = launcher.project(path)
    users = [provider for provider, section in project.config.providers.items() if section.key_secret == name]
    if users and not force:
        raise ConflictError(
            f"the key of {', '.join(users)} is this secret",
            where=name,
            mend="name another key in swarm.toml first, or say --force",
        )
    _asked(launcher, project, lambda client: client.secrets.remove(name))
    click.echo(json.dumps({"removed": name}) if as_json else f"removed {name}")


@command.command("rotate")
@project_option
@json_option
@click.pass_obj
def rotate(launcher: Launcher, path: Path, as_json: bool) -> None:
    """Make a new key that seals, and wrap every secret with it. The values stay what they are."""
    done = _asked(launcher, launcher.project(path), lambda client: client.secrets.rotate())
    if as_json:
        click.echo(done.model_dump_json(indent=2))
        return
    click.echo(f"{counted(done.secrets, 'secret')} sealed with the new key {done.key_id}, the last one of {done.keys}")
    click.echo("the keys before it open older copies of the database only: take them out when none is to be restored")


def _value(name: str) -> str:
    value = click.prompt(f"Value of {name}", hide_input=True, type=str) if sys.stdin.isatty() else _piped(name)
    value = value.removesuffix("\n").removesuffix("\r")
    if not value or len(value) > MOST_VALUE or not value.isprintable():
        raise UsageError(
            f"a secret is one line of 1 to {MOST_VALUE:,} characters", where=name, mend="give its value alone"
        )
    return value


def _piped(name: str) -> str:
    try:
        return sys.stdin.read(MOST_VALUE + 2)
    except UnicodeDecodeError:
        raise UsageError("a secret is text in UTF-8", where=name, mend="encode it first, as in base64") from None


def _asked(launcher: Launcher, project: OpenProject, ask: Callable[[ControlPlaneClient], Awaitable[T]]) -> T:
    async def answered() -> T:
        async with reach(launcher, project, work=False) as reached:
            return await ask(reached.client)

    return asyncio.run(answered())
