"""`swarm prices`: what models cost, from where that is known, and who approved it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click

from swarmworks.base.errors import UsageError
from swarmworks.cli.context import Launcher
from swarmworks.cli.options import Words, json_option, project_option
from swarmworks.cli.swarms import find, reach
from swarmworks.cli.view.amounts import counted
from swarmworks.cli.view.prices_text import imported_lines, list_line, prices_lines, used_lines
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.wire.price_file import read_prices
from swarmworks.wire.prices import MOST_REASON, DecidedPrices, DecidePrices, PricesUsed

T = TypeVar("T")


@click.group("prices")
def command() -> None:
    """What models cost: the prices in swarm.toml, then the lists people approved, then the shipped table."""


@command.command("list")
@click.option("--model", "models", multiple=True, metavar="PROVIDER:MODEL", help="This model; may be given often.")
@project_option
@json_option
@click.pass_obj
def show(launcher: Launcher, models: tuple[str, ...], path: Path, as_json: bool) -> None:
    """What each configured model is charged by, from where that is, and since when; and the lists that wait for approval."""
    prices = _asked(launcher, path, lambda client: client.prices.prices(models))
    click.echo(prices.model_dump_json(indent=2) if as_json else "\n".join(prices_lines(prices)))


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--source", type=Words(500), help="Where the prices are from, when the file does not say.")
@project_option
@json_option
@click.pass_obj
def import_(launcher: Launcher, file: Path, source: str | None, path: Path, as_json: bool) -> None:
    """Propose the prices in FILE, and show what they would change. Nothing is priced by them before they are approved.

    FILE is TOML or JSON as docs/prices.md describes it, or the data file of genai-prices.
    """
    request = read_prices(_text(file), str(file), datetime.now(UTC), source)
    done = _asked(launcher, path, lambda client: client.prices.propose(request))
    click.echo(done.model_dump_json(indent=2) if as_json else "\n".join(imported_lines(done)))


@command.command("approve")
@click.argument("list_id", metavar="ID")
@click.option("--reason", type=Words(MOST_REASON), required=True, help="Why, for the record.")
@project_option
@json_option
@click.pass_obj
def approve(launcher: Launcher, list_id: str, reason: str, path: Path, as_json: bool) -> None:
    """Use the prices of a proposed list from now on. ID is the list's, or a part of it; your name is on record with it."""
    body = DecidePrices(reason=reason)
    _tell(_asked(launcher, path, lambda client: client.prices.approve(list_id, body)), as_json=as_json)


@command.command("reject")
@click.argument("list_id", metavar="ID")
@click.option("--reason", type=Words(MOST_REASON), required=True, help="Why, for the record.")
@project_option
@json_option
@click.pass_obj
def reject(launcher: Launcher, list_id: str, reason: str, path: Path, as_json: bool) -> None:
    """Never use the prices of a proposed list."""
    body = DecidePrices(reason=reason)
    _tell(_asked(launcher, path, lambda client: client.prices.reject(list_id, body)), as_json=as_json)


@command.command("used")
@click.argument("swarm", required=False)
@project_option
@json_option
@click.pass_obj
def used(launcher: Launcher, swarm: str | None, path: Path, as_json: bool) -> None:
    """What the calls of SWARM, or of the newest, were priced by: it explains a bill, however the prices changed since."""

    async def ask(client: ControlPlaneClient) -> PricesUsed:
        return await client.prices.used((await find(client, swarm)).id)

    found = _asked(launcher, path, ask)
    click.echo(found.model_dump_json(indent=2) if as_json else "\n".join(used_lines(found)))


def _asked(launcher: Launcher, path: Path, ask: Callable[[ControlPlaneClient], Awaitable[T]]) -> T:
    """At the control plane that runs, else at one of our own."""
    project = launcher.project(path)

    async def answered() -> T:
        async with reach(launcher, project, work=False) as reached:
            return await ask(reached.client)

    return asyncio.run(answered())


def _tell(done: DecidedPrices, *, as_json: bool) -> None:
    if as_json:
        click.echo(done.model_dump_json(indent=2))
        return
    logged = f"; on record in {counted(done.swarms, 'open swarm')}" if done.swarms else ""
    click.echo(f"{done.prices.state}: {list_line(done.prices)}{logged}")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"not UTF-8 text: {error.reason}", where=str(file), mend="save it as UTF-8") from error
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}", where=str(file), mend="name a file that is there"
        ) from error
