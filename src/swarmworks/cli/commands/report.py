"""`swarm report`: the final report, as text, JSON, Markdown or a page."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.options import json_option, project_option
from swarmworks.cli.swarms import find, reach
from swarmworks.cli.view.report_page import report_html, report_markdown
from swarmworks.cli.view.report_text import report_text
from swarmworks.cli.writing import written_to
from swarmworks.wire.api import SwarmReport


def _text(report: SwarmReport) -> str:
    return "\n".join(report_text(report))


def _json(report: SwarmReport) -> str:
    return report.model_dump_json(indent=2)


FORMATS = {"text": _text, "json": _json, "markdown": report_markdown, "html": report_html}
ENDINGS = {".json": "json", ".md": "markdown", ".html": "html"}


@click.command("report")
@click.argument("swarm", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    help="Else by the ending of the file's name: .json, .md, .html; text otherwise.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
@project_option
@json_option
@click.pass_obj
def command(
    launcher: Launcher, swarm: str | None, form: str | None, output: Path | None, path: Path, as_json: bool
) -> None:
    """The final report: what was done, by whom, at what cost, and what the code is like.

    SWARM is an id or a part of one; without it, the newest. The page (--format html) is one file that needs nothing else.
    """
    report = asyncio.run(_report(launcher, launcher.project(path), swarm))
    ending = output.suffix.lower() if output is not None else ""
    text = FORMATS["json" if as_json else form or ENDINGS.get(ending, "text")](report)
    if output is None:
        click.echo(text)
        return
    with written_to(output) as stream:
        stream.write(f"{text}\n")
    click.echo(f"wrote {output}")


async def _report(launcher: Launcher, project: OpenProject, wanted: str | None) -> SwarmReport:
    async with reach(launcher, project, work=False) as reached:
        chosen = await find(reached.client, wanted)
        return await reached.client.report(chosen.id)
