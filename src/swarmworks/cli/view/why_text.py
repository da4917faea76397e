"""`swarm why` as text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime

from swarmworks.cli.view.amounts import counted, dollars, plain, tokens
from swarmworks.wire.why import WhyReport, WhySession

LABEL = 12
WIDTH = 88


def why_text(why: WhyReport) -> Iterator[str]:
    yield f"{why.task_id}: {plain(why.title)}"
    yield ""
    yield from _row("swarm", f"{why.swarm_id}, {plain(why.plan_name)} (plan {why.plan_id})")
    yield from _row(
        "task", f"{why.kind.replace('_', ' ')}, {why.state.replace('_', ' ')}{f': {why.note}' if why.note else ''}"
    )
    if why.landed:
        yield from _row("landed", f"{why.landed[:10]}{f', {_at(why.landed_at)}' if why.landed_at else ''}")
    elif why.change_id:
        yield from _row("change", f"{why.change_id}, {why.change_state}; it has not landed")
    if why.session is not None:
        yield from _author(why, why.session)
    if why.done:
        yield from _row("it says", why.done)
    yield from _row("task cost", _used(why.task_tokens, why.task_cost_nano_usd) + f" in {_sessions(why)}")
    yield from _part("Gates", _gates(why))
    yield from _part("Decisions", _decisions(why))
    yield from _part("Attempts before", _before(why))
    yield ""
    yield from _row("record", _chain(why))


def _author(why: WhyReport, session: WhySession) -> Iterator[str]:
    yield from _row("agent", f"{session.agent} ({why.role}), with {_models(session)}")
    yield from _row("session", f"{session.session_id}, attempt {session.attempt}, {_at(session.started_at)}")
    yield from _row("prompt", f"sha256 {session.prompt_sha256}" if session.prompt_sha256 else "not on record")
    yield from _row("cost", _used(session.tokens, session.cost_nano_usd))


def _models(session: WhySession) -> str:
    """The models that answered; what was asked for where none did."""
    told = ", ".join(session.answered_by) or session.model
    return told if ":" in session.model else f"{told} (asked for: {session.model})"


def _gates(why: WhyReport) -> Iterator[str]:
    for gate in why.gates:
        where = "the tree that landed" if gate.landed_tree else f"tree {gate.tree[:10]}"
        cached = ", from the cache" if gate.cached else ""
        yield f"{gate.gate} {gate.outcome.replace('_', ' ')} on {where}{cached}: {gate.summary}"


def _decisions(why: WhyReport) -> Iterator[str]:
    for one in why.decisions:
        yield f"{_at(one.at)}  {one.by}: {one.what}{f' ({one.reason})' if one.reason else ''}"


def _before(why: WhyReport) -> Iterator[str]:
    for one in why.sessions:
        if why.session is None or one.attempt < why.session.attempt or one.started_at < why.session.started_at:
            why_not = one.taught or one.reason
            yield f"attempt {one.attempt}, {one.agent}: {one.outcome.replace('_', ' ')}{f', {why_not}' if why_not else ''}"


def _chain(why: WhyReport) -> str:
    if why.chain_break is None:
        return f"{counted(why.events, 'event')}, chain intact: nothing was changed since"
    return f"BROKEN at event {why.chain_break} of {why.events}: the log was changed after it was written"


def _sessions(why: WhyReport) -> str:
    return counted(len(why.sessions), "session")


def _used(used: int, nano_usd: int) -> str:
    return f"{dollars(nano_usd)}, {tokens(used)} tokens"


def _at(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _part(title: str, rows: Iterator[str]) -> Iterator[str]:
    lines = list(rows)
    if lines:
        yield ""
        yield title
    for line in lines:
        first, *rest = textwrap.wrap(plain(line), WIDTH - 2, break_on_hyphens=False) or [""]
        yield f"  {first}"
        yield from (f"      {one}" for one in rest)


def _row(label: str, text: str) -> Iterator[str]:
    lines = textwrap.wrap(plain(text), WIDTH - LABEL - 2, break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(lines):
        yield f"  {label if number == 0 else '':<{LABEL}}{line}"
