"""The final report as a page (HTML) and as Markdown, from templates. Whatever a plan, an agent or a tool wrote is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from swarmworks import __version__
from swarmworks.cli.view.amounts import clock, counted, dollars, duration, percent, plain, tokens
from swarmworks.cli.view.report_charts import curve, gantt, graph, shares
from swarmworks.cli.view.report_text import DONE, GATE_OUTCOMES, first_try, rehearsed, sandbox_text
from swarmworks.domain.swarm import StopReason, SwarmState
from swarmworks.wire.api import SwarmReport

_TEMPLATES = Path(__file__).with_name("templates")
_MARKDOWN = re.compile(r"([\\`*_\[\]|~])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

ENDINGS = {
    StopReason.PERSON.value: "A person stopped it",
    StopReason.BUDGET.value: "The budget was used up",
    StopReason.DEADLINE.value: "Its time was over",
}


@dataclass(frozen=True, slots=True)
class Tile:
    name: str
    value: str
    more: str = ""


def report_html(report: SwarmReport) -> str:
    """One page that needs nothing else: no script, no font, no request."""
    return _render("report.html.j2", report, gantt=gantt(report), curve=curve(report))


def report_markdown(report: SwarmReport) -> str:
    return _render("report.md.j2", report)


def _render(template: str, report: SwarmReport, **charts: Any) -> str:
    limit = "no limit" if report.limit_nano_usd is None else f"limit {dollars(report.limit_nano_usd)}"
    text = (
        _environment()
        .get_template(template)
        .render(
            report=report,
            tiles=_tiles(report),
            shares=shares(report.tasks),
            graph=graph(report.tasks) if charts else None,
            done=sum(task.state in DONE for task in report.tasks),
            rehearsed=rehearsed(report),
            limit=limit,
            outcomes=GATE_OUTCOMES,
            state_class=report.state if report.state in set(SwarmState) else "",
            more=_more(report),
            version=__version__,
            **charts,
        )
    )
    return _CONTROL.sub("", text)


def _more(report: SwarmReport) -> Callable[[str], str]:
    def tell(part: str) -> str:
        left = report.left_out.get(part, 0)
        return f"And {left:,} more: swarm logs shows them." if left else ""

    return tell


def _tiles(report: SwarmReport) -> list[Tile]:
    done = sum(task.state in DONE for task in report.tasks)
    mended = sum(task.state in DONE and task.attempts > 0 for task in report.tasks)
    failed = report.tests_failed or 0
    tested = "not measured" if report.tests is None else f"{failed:,} failed" if failed else "all passed"
    limit = "no limit" if report.limit_nano_usd is None else f"of {dollars(report.limit_nano_usd)}"
    coverage = "-" if report.coverage_percent is None else percent(report.coverage_percent)
    used = report.input_tokens + report.output_tokens
    debt = "-" if report.code is None else f"{report.code.debt_hours:.1f} h"
    return [
        Tile("Tasks", f"{done} of {len(report.tasks)}", f"{mended} after a rejection"),
        Tile("Duration", duration(report.duration_s), "" if report.ended_at else "not ended"),
        Tile("Tests", "-" if report.tests is None else f"{report.tests:,}", tested),
        Tile("Coverage", coverage, "" if report.coverage_percent is not None else "not measured"),
        Tile("Cost", dollars(report.spent_nano_usd), f"{limit}, {tokens(used)} tokens"),
        Tile("Lines", f"+{report.lines_added:,}", f"{report.lines_removed:,} removed"),
        Tile("Technical debt", debt, "by the method below" if report.code else "not measured"),
        Tile("People", str(report.human_interventions), "times stepped in"),
        Tile("Rejections", str(report.rejections), counted(len(report.issues), "fault") + " found by other tasks"),
        Tile("Agents", str(len(report.agents)), counted(sum(one.sessions for one in report.agents), "session")),
    ]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        autoescape=select_autoescape(("html.j2",), default=False),  # in Markdown, the `md` filter escapes
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cast("Any", environment).filters |= {
        "moment": _moment,
        "ending": _ending,
        "clock": clock,
        "dollars": dollars,
        "tokens": tokens,
        "first_try": first_try,
        "sandbox": sandbox_text,
        "md": _markdown,
    }
    return environment


def _ending(reason: str) -> str:
    return ENDINGS.get(reason, reason)


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _markdown(text: str) -> str:
    """`text` as itself on one line of Markdown, in a table or out of it."""
    return _MARKDOWN.sub(r"\\\1", html.escape(plain(text), quote=False))
