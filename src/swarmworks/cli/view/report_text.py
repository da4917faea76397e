"""The final report as text."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC

from swarmworks.cli.view.amounts import clock, counted, dollars, duration, percent, plain, shortened, tokens
from swarmworks.wire.api import AgentReport, SandboxReport, SwarmReport

LABEL = 21
WIDTH = 80
MOST_TOLD = 10
"""Rows of each part of the story; the page has all."""

DONE = frozenset({"landed", "nothing_to_do", "superseded"})
GATE_OUTCOMES = ("passed", "failed", "could_not_run", "ran_nothing", "cached")


def report_text(report: SwarmReport) -> Iterator[str]:
    reason = f" ({report.reason})" if report.reason else ""
    yield plain(f"{report.plan_name}: {report.state}{reason}")
    yield ""
    yield from _overview(report)
    for title, section in (
        ("Tasks by kind", _tasks(report)),
        ("Agents", _agents(report)),
        ("Gates", _gates(report)),
        ("Rejections, and what they taught", _rejections(report)),
        ("Issues found and fixed", _issues(report)),
        ("Who stepped in", _interventions(report)),
        ("Incidents", _incidents(report)),
        ("Asked for outside the sandboxes", _accesses(report)),
        ("Code", _code(report)),
        ("Needs attention", _attention(report)),
    ):
        lines = list(section)
        if lines:
            yield ""
            yield title
            yield from lines


def _overview(report: SwarmReport) -> Iterator[str]:
    done = sum(task.state in DONE for task in report.tasks)
    yield from _row("Swarm", f"{report.id} of {report.project}, plan {report.plan_id}")
    yield from _row("Model", report.model + (" (a rehearsal: no model was asked)" if rehearsed(report) else ""))
    yield from _row("Started", f"{report.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")
    yield from _row("Duration", duration(report.duration_s) + ("" if report.ended_at else ", not ended"))
    yield from _row("Tasks", f"{done} of {len(report.tasks)} done")
    yield from _row("Tests", _tests(report))
    yield from _row("Coverage", "not measured" if report.coverage_percent is None else percent(report.coverage_percent))
    yield from _row("Model calls", f"{report.calls:,}" + _estimated(report))
    yield from _row("Tokens", f"{report.input_tokens:,} in, {report.output_tokens:,} out")
    if len(report.models) > 1 or any(one.model != report.model for one in report.models):
        for one in report.models:
            yield from _row(
                "  of which",
                f"{one.model}: {counted(one.calls, 'call')}, {one.tokens:,} tokens, {dollars(one.cost_nano_usd)}",
            )
    limit = "no limit" if report.limit_nano_usd is None else f"limit {dollars(report.limit_nano_usd)}"
    yield from _row(
        "Cost", f"{dollars(report.spent_nano_usd)}, with {dollars(report.peak_nano_usd)} at the peak; {limit}"
    )
    yield from _row("Lines", f"{report.lines_added:,} added, {report.lines_removed:,} removed")
    yield from _row("Issues found", f"{counted(report.rejections, 'change')} sent back by the gates or the merge queue")
    mended = sum(task.state in DONE and task.attempts > 0 for task in report.tasks)
    yield from _row("Issues fixed", f"{counted(mended, 'task')} landed at a later attempt")
    yield from _row("Human interventions", str(report.human_interventions))
    chain = "intact" if report.chain_intact else "BROKEN: the log was changed after it was written"
    yield from _row("Event log", f"{counted(report.events, 'event')}, chain {chain}")
    for sandbox in report.sandboxes:
        yield from _row("Sandbox", sandbox_text(sandbox))
    yield from _row("Branch", f"{report.integration_branch}, {report.base[:10]}..{report.head[:10]}")


def sandbox_text(sandbox: SandboxReport) -> str:
    name = f"level {sandbox.level}" if sandbox.level else "below every level"
    without = f", without {', '.join(sandbox.lacking)}" if sandbox.lacking else ""
    return f"{name} around {counted(sandbox.sessions, 'session')}{without}"


def rehearsed(report: SwarmReport) -> bool:
    asked = [one.model for one in report.models] or [report.model]
    return all(model.partition(":")[0] == "rehearsal" for model in asked)


def _tests(report: SwarmReport) -> str:
    if report.tests is None:
        return "not measured"
    failed = report.tests_failed or 0
    return f"{report.tests:,}, {f'{failed:,} failed' if failed else 'all passed'}"


def _estimated(report: SwarmReport) -> str:
    if not report.estimated_calls:
        return ""
    return f", {report.estimated_calls:,} of them charged in full, their use unknown"


def _tasks(report: SwarmReport) -> Iterator[str]:
    kinds: defaultdict[str, Counter[str]] = defaultdict(Counter)
    sessions: Counter[str] = Counter()
    for task in report.tasks:
        kinds[task.kind]["tasks"] += 1
        kinds[task.kind]["done"] += task.state in DONE
        kinds[task.kind]["blocked"] += task.state == "blocked"
        sessions[task.kind] += task.sessions
    rows = [
        [kind.replace("_", " "), str(n["tasks"]), str(n["done"]), str(n["blocked"]), str(sessions[kind])]
        for kind, n in kinds.items()
    ]
    yield from table(["kind", "tasks", "done", "blocked", "sessions"], rows)


def _agents(report: SwarmReport) -> Iterator[str]:
    rows = [
        [
            agent.name,
            str(agent.sessions),
            str(agent.landed),
            first_try(agent),
            f"{agent.calls:,}",
            tokens(agent.tokens),
            dollars(agent.cost_nano_usd),
        ]
        for agent in report.agents
    ]
    if rows:
        yield from table(["agent", "sessions", "landed", "first try", "calls", "tokens", "cost"], rows)


def first_try(agent: AgentReport) -> str:
    return f"{agent.first_pass_landed / agent.landed:.0%}" if agent.landed else "-"


def _gates(report: SwarmReport) -> Iterator[str]:
    rows = [[gate, *[str(runs.get(each, 0)) for each in GATE_OUTCOMES]] for gate, runs in report.gate_runs.items()]
    if rows:
        yield from table(["gate", *[each.replace("_", " ") for each in GATE_OUTCOMES]], rows)


def _rejections(report: SwarmReport) -> Iterator[str]:
    for one in report.rejected[:MOST_TOLD]:
        place = f" ({one.file}:{one.line})" if one.line else f" ({one.file})" if one.file else ""
        by = one.gate or one.kind
        said = one.summary if one.summary.startswith(f"{by}: ") else f"{by}: {one.summary}"
        yield from _told(one.at_s, f"{one.task_id}, {said}{place}")
        if one.became:
            files = ", ".join(one.changed) + (f" and {one.changed_more} more" if one.changed_more else "")
            yield from _told(None, f"then: {f'changed {files}; ' if files else ''}{one.became}")
    yield from _more(len(report.rejected), report.left_out.get("rejected", 0))


def _issues(report: SwarmReport) -> Iterator[str]:
    for one in report.issues[:MOST_TOLD]:
        yield from _told(None, f"{one.found_by}: {one.what}; {one.fix} {one.state.replace('_', ' ')}")
    yield from _more(len(report.issues), report.left_out.get("issues", 0))


def _interventions(report: SwarmReport) -> Iterator[str]:
    for one in report.interventions[:MOST_TOLD]:
        on = f" ({one.task_id})" if one.task_id else ""
        yield from _told(one.at_s, f"{one.person} {one.what}{on}{f': {one.why}' if one.why else ''}")
    yield from _more(len(report.interventions), report.left_out.get("interventions", 0))


def _incidents(report: SwarmReport) -> Iterator[str]:
    for one in report.incidents[:MOST_TOLD]:
        on = f" ({one.task_id})" if one.task_id else ""
        yield from _told(one.at_s, f"{one.kind.replace('_', ' ')}{on}: {one.what}")
    yield from _more(len(report.incidents), report.left_out.get("incidents", 0))


def _accesses(report: SwarmReport) -> Iterator[str]:
    for one in report.accesses[:MOST_TOLD]:
        on = f" ({', '.join(one.tasks)})" if one.tasks else ""
        yield from _told(None, f"{one.verdict}: {one.to}, {counted(one.times, 'time')}{on}{_because(one.reason)}")
    yield from _more(len(report.accesses), report.left_out.get("accesses", 0))


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _told(at_s: float | None, text: str) -> Iterator[str]:
    at = "" if at_s is None else clock(at_s)
    for number, line in enumerate(textwrap.wrap(plain(text), WIDTH - 12, break_on_hyphens=False)):
        yield f"  {at if number == 0 else '':>7}  {line}"


def _more(rows: int, left_out: int) -> Iterator[str]:
    if rows > MOST_TOLD or left_out:
        yield f"  and {max(0, rows - MOST_TOLD) + left_out} more: swarm report --format html"


def _code(report: SwarmReport) -> Iterator[str]:
    code = report.code
    if code is None:
        yield f"  {plain(report.code_note)}"
        return
    yield from _row("Files", f"{code.files:,}, {code.lines:,} lines, {code.source_lines:,} of source")
    worst = f"worst {code.maintainability_min:.1f} in {code.maintainability_worst}"
    yield from _row("Maintainability", f"{code.maintainability_mean:.1f} of 100 on average, {worst}")
    worst = f"worst {code.complexity_max} in {code.complexity_worst}"
    yield from _row("Complexity", f"{code.complexity_mean:.1f} on average, {worst}")
    yield from _row("Technical debt", f"{code.debt_hours:.1f} h")
    yield from _row("", f"how: {code.debt_method}")
    yield from _row("Measured", report.code_note)


def _attention(report: SwarmReport) -> Iterator[str]:
    for task in report.tasks:
        if task.state == "blocked":
            yield shortened(f"  {task.id}: {plain(task.note or '') or 'blocked'}", WIDTH)


def _row(label: str, text: str) -> Iterator[str]:
    lines = textwrap.wrap(plain(text), WIDTH - LABEL - 2, break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(lines):
        yield f"  {label if number == 0 else '':<{LABEL}}{line}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The first column to the left, numbers to the right."""
    every = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in every) for column in range(len(head))]
    for row in every:
        cells = [
            f"{row[0]:<{widths[0]}}",
            *[f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)],
        ]
        yield ("  " + "  ".join(cells)).rstrip()
