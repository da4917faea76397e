"""`swarm why`: what stands in the record behind a commit, a line of code or a task."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import click

from swarmworks.base.errors import NotFoundError
from swarmworks.base.ids import ChangeId, TaskId
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.swarms import find, reach
from swarmworks.cli.view.amounts import plain, shortened
from swarmworks.cli.view.why_text import WIDTH, why_text
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.git.history import CommitFacts, History
from swarmworks.wire.why import WhyReport

_LINE = re.compile(r"(?P<file>.+):(?P<line>[1-9][0-9]{0,8})")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
CHANGE = "Swarm-Change"


@click.command("why")
@click.argument("of", metavar="COMMIT|FILE:LINE|TASK")
@click.argument("swarm", required=False)
@project_option
@json_option
@click.pass_obj
def command(launcher: Launcher, of: str, swarm: str | None, path: Path, as_json: bool) -> None:
    """Why a commit, a line or a task is as it is.

    Who wrote it, with which model and prompt, which gates passed on that very tree, who decided, what it cost, and what was
    tried before. A line is looked up as it is committed on the branch you are on; with SWARM, on that swarm's branch.
    """
    project = launcher.project(path)
    why = asyncio.run(_why(launcher, project, of, swarm))
    if as_json:
        click.echo(why.model_dump_json(indent=2))
        return
    for line in why_text(why):
        click.echo(line)


async def _why(launcher: Launcher, project: OpenProject, of: str, swarm: str | None) -> WhyReport:
    async with reach(launcher, project, work=False) as reached:
        history = History(project.state / "hub.git", project.root)
        line = _LINE.fullmatch(of)
        if line is not None:
            commit = await _behind_line(reached.client, history, project, line["file"], int(line["line"]), swarm)
            return await _of_commit(reached.client, commit, of)
        if _COMMIT.fullmatch(of):
            found = await asyncio.to_thread(history.find, of)
            if found is not None:
                return await _of_commit(reached.client, found, of)
        return await _of_name(reached.client, history, of, swarm)


async def _behind_line(
    client: ControlPlaneClient, history: History, project: OpenProject, file: str, line: int, swarm: str | None
) -> CommitFacts:
    name = "HEAD" if swarm is None else (await client.status((await find(client, swarm)).id)).integration_branch
    tip = await asyncio.to_thread(history.find, name)
    if tip is None:
        raise NotFoundError(f"{name} has no commit", where=str(project.root), mend="commit something first")
    path = _in_project(project, file)
    if swarm is None and not await asyncio.to_thread(_is_committed, history, tip.commit, project.root / path, path):
        click.echo(
            f"note: {plain(path)} is not as it is committed; its lines are counted as of {tip.commit[:10]}", err=True
        )
    blamed = await asyncio.to_thread(history.blame, tip.commit, path, line)
    click.echo(
        f"{plain(path)}:{line}, from {blamed.commit.commit[:10]}: {shortened(plain(blamed.text), WIDTH)}", err=True
    )
    return blamed.commit


def _is_committed(history: History, commit: str, there: Path, path: str) -> bool:
    """Whether the file that the person has is what is looked up; yes where there is none to read."""
    try:
        if there.is_symlink():
            return history.holds(commit, path, os.fsencode(there.readlink()))
        return not there.is_file() or history.holds(commit, path, there.read_bytes())
    except OSError:
        return True


def _in_project(project: OpenProject, file: str) -> str:
    """As git names it: relative to the project's folder, wherever the person stands."""
    here = Path.cwd() / file
    if here.exists() and here.resolve().is_relative_to(project.root.resolve()):
        return here.resolve().relative_to(project.root.resolve()).as_posix()
    return os.path.normpath(file)


async def _of_commit(client: ControlPlaneClient, commit: CommitFacts, of: str) -> WhyReport:
    change = commit.trailers.get(CHANGE)
    if change is None:
        what = f"{commit.commit[:10]} is not from a swarm: {plain(commit.author)} wrote it on {commit.at:%Y-%m-%d}"
        delivered = " to deliver a swarm's work" if "Swarm-Delivery" in commit.trailers else ""
        raise NotFoundError(
            f"{what}{delivered}, {plain(commit.subject)!r}",
            where=of,
            mend="ask about a line of it, or about a commit that has Swarm-Change in its message",
        )
    why = await client.why_change(ChangeId(change))
    if why.landed not in {None, commit.commit}:
        click.echo(f"note: it landed as {(why.landed or '')[:10]}; {commit.commit[:10]} is a copy made later", err=True)
    return why


async def _of_name(client: ControlPlaneClient, history: History, of: str, swarm: str | None) -> WhyReport:
    """A task of the swarm; else a branch or tag of the repository."""
    chosen = await find(client, swarm)
    try:
        return await client.why_task(chosen.id, TaskId(of))
    except NotFoundError:
        found = await asyncio.to_thread(history.find, of) if swarm is None else None
        if found is None:
            raise NotFoundError(
                f"{of[:100]!r} is no commit here, and no task of swarm {chosen.id}",
                where=of[:100],
                mend="name a commit, FILE:LINE, or a task as swarm report lists them, and the swarm if it is an older one",
            ) from None
    return await _of_commit(client, found, of)
