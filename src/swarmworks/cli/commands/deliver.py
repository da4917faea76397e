"""`swarm deliver`: bring what a swarm landed to a branch of the user's."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from swarmworks.base.concurrency import end_all
from swarmworks.base.errors import EXIT_BLOCKED, EXIT_LANDED, ConflictError, UnavailableError, UsageError
from swarmworks.cli.asking import confirmed
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import Words, json_option, project_option
from swarmworks.cli.swarms import OPEN, Reached, find, newest_first, reach
from swarmworks.cli.view.amounts import plain
from swarmworks.cli.view.delivery import arriving, outcome
from swarmworks.cli.view.summary import place_option
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.delivery import DeliveryState
from swarmworks.git.user_branch import UserBranch
from swarmworks.wire.api import SwarmSummary
from swarmworks.wire.config import REHEARSAL
from swarmworks.wire.delivery import MOST_BRANCH, MOST_REASON, REFUSED_AT_HOME, DeliveryView, RequestDelivery

MOST_TRIES = 3
"""How often a delivery is begun again because the branch moved under it."""

NEWS_WAIT_S = 20.0


@click.command("deliver")
@click.argument("swarm", required=False)
@click.option(
    "--to",
    type=Words(MOST_BRANCH, needed=True),
    metavar="BRANCH",
    help="Your branch, made when it is not there; else default_branch of swarm.toml.",
)
@click.option(
    "--push",
    "remote",
    type=Words(MOST_BRANCH, needed=True),
    metavar="REMOTE",
    help="The branch is one of this remote: it is moved by a push.",
)
@click.option("--partial", is_flag=True, help="Deliver what has landed of a swarm that is blocked or stopped.")
@click.option(
    "--approve",
    type=Words(MOST_REASON, needed=True),
    metavar="REASON",
    help="Say yes to the delivery's review without being asked, and why.",
)
@project_option
@json_option
@click.pass_obj
def command(
    launcher: Launcher,
    swarm: str | None,
    to: str | None,
    remote: str | None,
    partial: bool,
    approve: str | None,
    path: Path,
    as_json: bool,
) -> None:
    """Bring what a swarm landed to your branch.

    SWARM is an id or a part of one; without it, the newest. A branch that has not moved since is moved forward. One that has
    is merged with, and every gate is run again on the merged tree: when one fails, nothing is delivered. Uncommitted work is
    never touched. With --push the branch of a remote is moved instead, and only from where it was when this was merged and judged.

    Exit codes: 0 delivered, 1 not delivered (a conflict, a failed gate, or a review that is still open), 2 refused.
    """
    project = launcher.project(path)
    delivering = _Delivering(launcher, project, swarm, to, remote, partial, approve, as_json)
    view, already = asyncio.run(delivering.run())
    if as_json:
        click.echo(view.model_dump_json(indent=2))
    else:
        for line in outcome(view, place_option(project.root), already=already):
            click.echo(line)
    raise click.exceptions.Exit(EXIT_LANDED if view.state == DeliveryState.DELIVERED else EXIT_BLOCKED)


@dataclass(frozen=True)
class _Delivering:
    launcher: Launcher
    project: OpenProject
    swarm: str | None
    to: str | None
    remote: str | None
    partial: bool
    approve: str | None
    as_json: bool

    async def run(self) -> tuple[DeliveryView, bool]:
        """How it ended, and whether it had been delivered before."""
        for _ in range(MOST_TRIES):
            branch = await asyncio.to_thread(self._branch)
            ended = await self._once(branch)
            if ended is not None:
                return ended
            self._say(f"{branch.name} is no longer where it was: looking again")
        raise ConflictError(
            "the branch moved again each time a delivery was ready",
            where=self.to or self.project.config.project.default_branch,
            mend="wait until it is quiet, then run `swarm deliver` again",
        )

    def _branch(self) -> UserBranch:
        name = self.to or self.project.config.project.default_branch
        if self.remote is not None:
            return self.launcher.remote_branch(self.project, self.remote, name)
        branch = self.launcher.user_branch(self.project, name)
        if branch.tip is None and self.to is None:
            raise UsageError(
                f"there is no branch {name} in this repository",
                where="swarm.toml, [project] default_branch",
                mend="name your branch with --to (a new one is made), or set default_branch",
            )
        return branch

    async def _once(self, branch: UserBranch) -> tuple[DeliveryView, bool] | None:
        """None when the branch moved meanwhile."""
        async with reach(self.launcher, self.project, work=False) as reached:
            view = await self._requested(reached, branch)
            if view.state == DeliveryState.DELIVERED:
                return view, True
            if view.state != DeliveryState.BUILDING or not reached.owned:
                return await self._finished(reached, branch, view)
        async with reach(self.launcher, self.project, work=True, model=REHEARSAL) as reached:
            return await self._finished(reached, branch, view)

    async def _requested(self, reached: Reached, branch: UserBranch) -> DeliveryView:
        """Uncommitted work is refused before anything is built."""
        client = reached.client
        chosen = await _chosen(client, self.swarm)
        asked = RequestDelivery(
            branch=branch.name, tip=branch.tip, repository=str(self.project.root), partial=self.partial
        )
        view = await client.request_delivery(chosen.id, asked)
        if view.state != DeliveryState.BUILDING:
            return view
        try:
            if reached.owned:
                await _refuse_interrupted(client)
            await asyncio.to_thread(self.launcher.refuse_uncommitted, self.project, branch, None)
        except BaseException:
            await client.withdraw_delivery(view.id, REFUSED_AT_HOME)
            raise
        self._say(
            f"{branch.name} or the swarm's has commits of others: merging, and running every gate on the merged tree"
        )
        return view

    async def _finished(
        self, reached: Reached, branch: UserBranch, view: DeliveryView
    ) -> tuple[DeliveryView, bool] | None:
        view = await self._built(reached, view)
        if view.state == DeliveryState.VOID:
            return None
        if view.state != DeliveryState.READY or view.candidate is None:
            return view, view.state == DeliveryState.DELIVERED
        await asyncio.to_thread(self.launcher.refuse_uncommitted, self.project, branch, view.candidate)
        view = await self._reviewed(reached.client, view)
        if not view.approved or view.candidate is None:
            return view, False
        message = f"swarm deliver: {view.swarm_id}"
        if not await asyncio.to_thread(self.launcher.move_branch, self.project, branch, view.candidate, message):
            return None
        try:
            return await reached.client.confirm_delivery(view.id, view.candidate), False
        except ConflictError:  # somebody else asked meanwhile: asked again, the branch itself tells
            return None

    async def _built(self, reached: Reached, view: DeliveryView) -> DeliveryView:
        while view.state == DeliveryState.BUILDING:
            asking = asyncio.ensure_future(reached.client.delivery(view.id, wait_s=NEWS_WAIT_S))
            await asyncio.wait([asking, reached.live.gave_up], return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                await end_all((asking,))
                raise UnavailableError(
                    reached.live.gave_up.result(),
                    where="control plane",
                    mend="read the logs in .swarm/logs, then run `swarm deliver` again",
                )
            view = asking.result()
        return view

    async def _reviewed(self, client: ControlPlaneClient, view: DeliveryView) -> DeliveryView:
        """With the answers of whoever sits here. What is not for them to answer, or is not answered, stays open."""
        if not self.as_json:
            for line in arriving(view, await client.status(view.swarm_id)):
                click.echo(line)
        while not view.approved and view.review is not None and view.review.state == "open":
            reason = self.approve
            if reason is None and not await self._said_yes(view):
                break
            view = await client.approve_delivery(view.id, view.review.id, reason or "yes, at the terminal")
        return view

    async def _said_yes(self, view: DeliveryView) -> bool:
        here = sys.stdin.isatty() and sys.stdout.isatty() and not self.as_json
        if not here or view.review is None or not view.review.yours:
            return False
        return await confirmed(plain(view.review.question))

    def _say(self, text: str) -> None:
        click.echo(text, err=self.as_json)


async def _chosen(client: ControlPlaneClient, wanted: str | None) -> SwarmSummary:
    """Without a name, the newest that was not run to make a plan."""
    newest = await find(client, wanted)
    if wanted is None:
        for summary in newest_first(await client.swarms()):
            if not (await client.status(summary.id)).planning:
                return summary
    return newest


async def _refuse_interrupted(client: ControlPlaneClient) -> None:
    """A worker of ours would take up a swarm that lies interrupted, and spend its money, when a delivery was asked for."""
    for summary in await client.swarms():
        if summary.state in OPEN:
            raise ConflictError(
                f"swarm {summary.id} was interrupted and would go on beside this delivery",
                mend=f"go on with it (`swarm resume {summary.id}`) or end it (`swarm stop {summary.id}`), then deliver",
            )
