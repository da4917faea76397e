"""A person says yes to a plan before anything is built from it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from swarmworks.base.errors import EXIT_BLOCKED
from swarmworks.cli.asking import confirmed
from swarmworks.cli.plan_view import overview
from swarmworks.cli.view.amounts import plain
from swarmworks.policy.planning.effects import effects
from swarmworks.wire.inbox import Approve

if TYPE_CHECKING:
    from pathlib import Path

    from swarmworks.cli.swarms import Reached
    from swarmworks.domain.plan import Plan
    from swarmworks.wire.api import SwarmStatus
    from swarmworks.wire.inbox import InboxItem

MOST_SHOWN = 30
AT_THE_TERMINAL = "approved at the terminal"
SEEN = "seen and approved at the terminal"


def approve_plan(plan: Plan, file: Path, *, reason: str | None, as_json: bool) -> str:
    """Why the plan may run, which goes on record: `reason`, else that the person at the terminal said so. Raises Exit when
    they say no, and when there is nobody to ask: the plan stays where it is, to be run later.
    """
    if reason is not None:
        return reason
    if as_json or not sys.stdin.isatty():
        _wait_for_somebody(file, as_json=as_json)
    for line in tasks(plan):
        click.echo(line)
    if click.confirm("Run this plan?", default=False):
        return SEEN
    click.echo(f"Nothing was built. The plan is {file}: edit it, then swarm run {file}")
    raise click.exceptions.Exit(EXIT_BLOCKED)


async def approve_reviews(reached: Reached, status: SwarmStatus, plan: Plan, *, as_json: bool) -> SwarmStatus:
    """Asks the person at the terminal for the yes that the project's review gates want of the plan, one gate after the other.
    The swarm as it stands then. Raises Exit when they say no; where nobody is to be asked, the plan waits in the inbox.
    """
    if as_json or not sys.stdin.isatty():
        return status
    shown = False
    while True:
        items = (await reached.client.inbox.items(status.id)).items
        asked = next((one for one in items if one.subject == "plan"), None)
        if asked is None:
            return await reached.client.status(status.id) if shown else status
        for line in () if shown else (*overview(plan), *tasks(plan)):
            click.echo(line)
        shown = True
        await reached.client.inbox.approve(asked.id, Approve(reason=await _asked(asked, status)))


async def _asked(item: InboxItem, status: SwarmStatus) -> str:
    """The reason on record; Exit when the person does not say yes."""
    click.echo(f"{item.gate}: {item.what}")
    if await confirmed("Run this plan?"):
        return AT_THE_TERMINAL
    click.echo(f"Nothing is run. It waits in your inbox: swarm approve {item.short}, or swarm reject {item.short}")
    click.echo(f"Once approved, go on with: swarm resume {status.id}")
    raise click.exceptions.Exit(EXIT_BLOCKED)


def tasks(plan: Plan) -> list[str]:
    """What is asked about: each task, what it may write, and what it runs."""
    rows = [f"  {task.id}: {plain(task.title)} ({plain(effects(task))})" for task in plan.tasks[:MOST_SHOWN]]
    if len(plan.tasks) > MOST_SHOWN:
        rows.append(f"  and {len(plan.tasks) - MOST_SHOWN} more")
    return rows


def _wait_for_somebody(file: Path, *, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"state": "waiting", "for": "approval of the plan", "plan": str(file)}, indent=2))
    else:
        click.echo("Nothing is built before a person has seen the plan, and nobody is at this terminal.")
        click.echo(f'Read {file}, then swarm run {file}; a script says: swarm run ... --approve "why"')
    raise click.exceptions.Exit(EXIT_BLOCKED)
