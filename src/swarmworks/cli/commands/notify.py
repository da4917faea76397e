"""`swarm notify`: whether notices arrive."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from swarmworks.base.errors import EXIT_INFRASTRUCTURE, NotFoundError
from swarmworks.base.ids import SwarmId
from swarmworks.cli.context import Launcher
from swarmworks.cli.options import json_option, project_option
from swarmworks.domain.notice import Notice, Severity
from swarmworks.notify.outcomes import Outcome, Outcomes
from swarmworks.notify.protocol import Channel, Dispatch, NotToldError


@dataclass(frozen=True, slots=True)
class Tried:
    """`failure` is empty when the channel took it."""

    channel: str
    to: str
    failure: str = ""
    mend: str = ""


@click.group("notify")
def command() -> None:
    """Tell people what needs them; channels are configured under [notify] in swarm.toml."""


@command.command("test")
@click.argument("name", required=False)
@project_option
@json_option
@click.pass_obj
def test(launcher: Launcher, name: str | None, path: Path, as_json: bool) -> None:
    """Send a test notice through the channel NAME, or through every one.

    It is sent from here, with the secrets that this shell has; quiet hours do not hold it back. Exit code 4 when a channel
    did not take it.
    """
    project = launcher.project(path)
    channels = _chosen(launcher.notice_channels(project), name)
    now = datetime.now(UTC)
    dispatch = _dispatch(project.name, now)
    tried = asyncio.run(_send(channels, dispatch))
    outcomes = Outcomes(project.state)
    if project.state.is_dir():
        for one in tried:
            outcomes.put(one.channel, Outcome(now.isoformat(timespec="seconds"), one.failure))
    _print(tried, as_json=as_json)
    if any(one.failure for one in tried):
        raise click.exceptions.Exit(EXIT_INFRASTRUCTURE)


def _chosen(channels: list[Channel], name: str | None) -> list[Channel]:
    chosen = [one for one in channels if name is None or one.name == name]
    if not chosen:
        known = ", ".join(one.name for one in channels)
        mend = f"there is: {known}" if known else "add [[notify.channels]] to swarm.toml"
        what = "there is no channel" if name is None else f"there is no channel {name!r}"
        raise NotFoundError(what, where="swarm.toml", mend=mend)
    return chosen


def _dispatch(project: str, now: datetime) -> Dispatch:
    notice = Notice(
        kind="test",
        swarm_id=SwarmId("none"),
        seq=0,
        at=now,
        severity=Severity.WARNING,
        title="A test notice: this channel works",
        text="Somebody typed `swarm notify test`. Nothing needs you.",
        command="swarm inbox",
    )
    return Dispatch(f"test.{secrets.token_hex(8)}", project, (notice,))


async def _send(channels: list[Channel], dispatch: Dispatch) -> list[Tried]:
    return list(await asyncio.gather(*(_one(channel, dispatch) for channel in channels)))


async def _one(channel: Channel, dispatch: Dispatch) -> Tried:
    try:
        await channel.send(dispatch)
    except NotToldError as error:
        where = f"{error.where}: " if error.where else ""
        return Tried(channel.name, channel.address, f"{where}{error.what}", error.mend)
    return Tried(channel.name, channel.address)


def _print(tried: list[Tried], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"channel": one.channel, "to": one.to, "ok": not one.failure, "failure": one.failure, "mend": one.mend}
            for one in tried
        ]
        click.echo(json.dumps({"ok": all(row["ok"] for row in rows), "channels": rows}, indent=2))
        return
    width = max(len(one.channel) for one in tried)
    for one in tried:
        click.echo(f"{'FAILED' if one.failure else 'sent':<7}{one.channel:<{width}}  {one.failure or one.to}")
        if one.failure and one.mend:
            click.echo(f"{'':<7}{'':<{width}}  mend: {one.mend}")
