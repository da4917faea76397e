"""How commands reach a control plane and find the swarm that is meant."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from swarmworks.base.errors import NotFoundError, UsageError
from swarmworks.cli.context import Launcher, LiveControlPlane, OpenProject
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.wire.api import SwarmSummary

OPEN = frozenset({"running", "paused", "stopping"})
ENDED = frozenset({"landed", "blocked", "stopped"})


@dataclass(frozen=True, slots=True)
class Reached:
    """`owned`: the control plane lives in this process, and ends with it."""

    live: LiveControlPlane
    owned: bool

    @property
    def client(self) -> ControlPlaneClient:
        return self.live.client


@asynccontextmanager
async def reach(
    launcher: Launcher, project: OpenProject, *, work: bool, port: int = 0, model: str | None = None
) -> AsyncGenerator[Reached]:
    """The control plane that is running for the project, else one of our own."""
    async with launcher.connect(project) as found:
        if found is not None:
            yield Reached(found, owned=False)
            return
    async with launcher.control_plane(project, work=work, port=port, model=model) as live:
        yield Reached(live, owned=True)


@asynccontextmanager
async def running_plane(launcher: Launcher, project: OpenProject) -> AsyncGenerator[LiveControlPlane]:
    """The control plane that is running for the project; NotFoundError when there is none."""
    async with launcher.connect(project) as live:
        if live is None:
            raise NotFoundError(
                "nothing is running in this project",
                where=str(project.root),
                mend="see what there is with `swarm status`; `swarm resume` goes on",
            )
        yield live


async def find(client: ControlPlaneClient, wanted: str | None) -> SwarmSummary:
    """The swarm named by its id or a part of it that only it has; the newest one when none is named."""
    summaries = newest_first(await client.swarms())
    if not summaries:
        raise NotFoundError(
            "no swarm has been run in this project yet", mend="make a plan with `swarm plan`, then `swarm run` it"
        )
    return summaries[0] if wanted is None else named(summaries, wanted)


async def find_open(client: ControlPlaneClient, wanted: str | None) -> SwarmSummary:
    """As `find`, but without a name the newest that has not landed."""
    if wanted is not None:
        return await find(client, wanted)
    newest = await find(client, None)
    for summary in newest_first(await client.swarms()):
        if summary.state != "landed":
            return summary
    raise NotFoundError(
        f"every swarm of this project has landed, the newest is {newest.id}",
        mend="start another with `swarm run`, or see `swarm report`",
    )


def newest_first(summaries: Sequence[SwarmSummary]) -> list[SwarmSummary]:
    return sorted(summaries, key=lambda summary: summary.created_at, reverse=True)


def named(summaries: Sequence[SwarmSummary], wanted: str) -> SwarmSummary:
    matching = [summary for summary in summaries if summary.id == wanted] or [
        summary for summary in summaries if wanted in summary.id
    ]
    if len(matching) == 1:
        return matching[0]
    known = ", ".join(summary.id for summary in (matching or summaries)[:5])
    if matching:
        raise UsageError(f"{wanted!r} could be any of {known}", where="SWARM", mend="write more of the id")
    raise NotFoundError(f"there is no swarm {wanted!r}", where="SWARM", mend=f"there is: {known}")
