"""The story of a swarm, from its record: rejections and what they taught, people who stepped in, incidents, who worked when."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from swarmworks.base.ids import SessionId, TaskId
from swarmworks.domain.change import Change, ChangeState
from swarmworks.domain.event import Event
from swarmworks.domain.gate import GateOutcome
from swarmworks.domain.session import Session, SessionOutcome
from swarmworks.git.protocol import Hub
from swarmworks.service.accounting.facts import Facts, data_of, name_of, text
from swarmworks.service.questions import told
from swarmworks.wire.delivery import BY_ITSELF
from swarmworks.wire.report import (
    AccessReport,
    CostPoint,
    IncidentReport,
    InterventionReport,
    IssueReport,
    RejectionReport,
    SpanReport,
)

MOST_COMPARED = 200
"""Rejections that are compared with the next attempt: each costs three looks at the repository."""

MOST_FILES = 8
MOST_TEXT = 400
REFUSED = "refused"
CALM = frozenset(
    {SessionOutcome.SUBMITTED, SessionOutcome.NOTHING_TO_DO, SessionOutcome.HANDED_OFF, SessionOutcome.ASKED}
)
BECAME = {
    ChangeState.LANDED: "landed",
    ChangeState.PROVED: "nothing to do",
    ChangeState.REJECTED: "rejected again",
    ChangeState.PARKED: "parked",
    ChangeState.SUPERSEDED: "landed within its fix",
}
DONE_BY_PERSON = {
    "swarm.paused": "paused the swarm",
    "swarm.stopping": "stopped the swarm",
    "swarm.resumed": "let the swarm go on",
    "task.retried": "had it tried again",
    "task.cancelled": "cancelled it",
}
FOLLOW = frozenset({"change.approved", "change.rejected", "scope.granted", "question.withdrawn", "delivery.delivered"})


def rejections(facts: Facts, hub: Hub) -> Iterator[RejectionReport]:
    changes = {change.id: change for change in facts.changes}
    sessions = {session.id: session for session in facts.sessions}
    following = _following(facts.changes)
    compared = 0
    for event in facts.events:
        if event.kind != "change.rejected":
            continue
        data = data_of(event)
        change = changes.get(data.get("change", ""))
        if change is None:
            continue
        after = following.get(change.id)
        changed = _changed(hub, change, after) if after is not None and compared < MOST_COMPARED else []
        compared += after is not None
        gate, file, line, what = _first_finding(facts, change)
        summary = text(data, "summary")
        yield RejectionReport(
            at_s=facts.seconds(event.at),
            task_id=change.task_id,
            agent=name_of(change.agent_id),
            attempt=sessions[change.session_id].attempt,
            kind=text(data, "kind"),
            gate=gate,
            file=file,
            line=line,
            summary=(f"{summary}: {what}" if what and what not in summary else summary)[:MOST_TEXT],
            changed=tuple(changed[:MOST_FILES]),
            changed_more=max(0, len(changed) - MOST_FILES),
            became="" if after is None else BECAME.get(after.state, "under way"),
        )


def _following(changes: list[Change]) -> dict[str, Change]:
    """Each change's next one of the same task."""
    of_task: defaultdict[TaskId, list[Change]] = defaultdict(list)
    for change in changes:
        of_task[change.task_id].append(change)
    return {one.id: after for row in of_task.values() for one, after in pairwise(row)}


def _changed(hub: Hub, before: Change, after: Change) -> list[str]:
    """The task's own files that differ between two attempts, whatever else landed between them."""
    own = {one.path for change in (before, after) for one in hub.changes(change.base, change.head)}
    return sorted(one.path for one in hub.changes(before.head, after.head) if one.path in own)


def _first_finding(facts: Facts, change: Change) -> tuple[str, str, int, str]:
    """Gate, file, line and message; empty when no gate failed."""
    for run in reversed(facts.runs_of(change.id)):
        for result in run.results:
            if result.outcome in {GateOutcome.FAILED, GateOutcome.RAN_NOTHING}:
                found = result.findings[0] if result.findings else None
                if found is None:
                    return result.gate, "", 0, ""
                return result.gate, found.file, found.line, found.message
    return "", "", 0, ""


def accesses(facts: Facts) -> Iterator[AccessReport]:
    """What was refused first, and of each verdict what was asked for most often."""
    times: Counter[tuple[str, str, str]] = Counter()
    tasks: defaultdict[tuple[str, str, str], dict[str, None]] = defaultdict(dict)
    for event in facts.events:
        if event.kind == "session.access":
            data = data_of(event)
            row = (text(data, "to"), text(data, "verdict"), text(data, "reason"))
            times[row] += 1
            tasks[row].setdefault(event.task_id or "")
    for row, count in sorted(times.items(), key=lambda item: (item[0][1] != REFUSED, -item[1], item[0])):
        to, verdict, reason = row
        yield AccessReport(to=to, verdict=verdict, reason=reason, times=count, tasks=tuple(tasks[row])[:MOST_FILES])


def issues(facts: Facts) -> Iterator[IssueReport]:
    """By the task that another one's parked test asked for."""
    reasons = {event.task_id: text(data_of(event), "reason") for event in facts.events if event.kind == "task.filed"}
    for task in facts.tasks:
        found_by = task.planned.supersedes
        if found_by is not None:
            what = reasons.get(task.id) or reasons.get(found_by) or task.planned.title
            yield IssueReport(
                found_by=found_by, fix=task.id, what=what[:MOST_TEXT], state=task.state, commit=task.commit
            )


def interventions(facts: Facts) -> Iterator[InterventionReport]:
    """Everything a person did but starting the swarm, once: not what followed from it."""
    answers = {told(question) for question in facts.questions if question.answer is not None}
    for event in facts.events:
        who, _, person = event.actor.partition(":")
        if who != "person" or event.kind == "swarm.created" or _follows(event, answers):
            continue
        what, why = _deed(facts, event)
        yield InterventionReport(
            at_s=facts.seconds(event.at),
            person=person,
            what=what[:MOST_TEXT],
            why=why[:MOST_TEXT],
            task_id=event.task_id,
        )


def _follows(event: Event, answers: Collection[str]) -> bool:
    """Whether it is the platform's doing, in the name of the person whose decision it follows from."""
    data = data_of(event)
    if event.kind == "swarm.resumed":
        return bool(text(data, "reason"))  # a person who resumes it gives none
    if event.kind == "task.cancelled":
        return "with" in data
    if event.kind == "delivery.withdrawn":
        return text(data, "reason") in BY_ITSELF
    return event.kind in FOLLOW or (event.kind == "message.sent" and text(data, "text") in answers)


def _deed(facts: Facts, event: Event) -> tuple[str, str]:
    data = data_of(event)
    teller = _DEEDS.get(event.kind)
    if teller is not None:
        return teller(facts, data)
    why = "" if event.kind == "swarm.stopping" else text(data, "reason") or text(data, "note")
    return DONE_BY_PERSON.get(event.kind, event.kind.replace(".", " ").replace("_", " ")), why


def _reviewed(verb: str) -> Callable[[Facts, dict[str, Any]], tuple[str, str]]:
    def tell(facts: Facts, data: dict[str, Any]) -> tuple[str, str]:
        review = next((one for one in facts.reviews if one.id == data.get("review")), None)
        asked = f": {review.question}" if review else ""
        return f"{verb} at {text(data, 'gate')}{asked}", text(data, "reason")

    return tell


def _answered(facts: Facts, data: dict[str, Any]) -> tuple[str, str]:
    question = next((one for one in facts.questions if one.id == data.get("question")), None)
    return f"answered: {question.text}" if question else "answered a question", text(data, "answer")


def _said(facts: Facts, data: dict[str, Any]) -> tuple[str, str]:
    session = next((one for one in facts.sessions if one.id == data.get("session")), None)
    return f"said to {name_of(session.agent_id)}" if session else "said to an agent", text(data, "text")


def _delivered(facts: Facts, data: dict[str, Any]) -> tuple[str, str]:
    del facts
    return f"asked for delivery to {text(data, 'branch')}", text(data, "reason")


def _withdrew(facts: Facts, data: dict[str, Any]) -> tuple[str, str]:
    del facts
    return f"withdrew the delivery to {text(data, 'branch')}", text(data, "reason")


_DEEDS = {
    "review.approved": _reviewed("approved"),
    "review.rejected": _reviewed("rejected"),
    "question.answered": _answered,
    "message.sent": _said,
    "delivery.requested": _delivered,
    "delivery.withdrawn": _withdrew,
}


def incidents(facts: Facts) -> Iterator[IncidentReport]:
    """In order of time: sessions that ended badly, gates that could not run, limits."""
    found = [*_bad_sessions(facts), *_gates_that_could_not_run(facts), *_limits(facts)]
    yield from sorted(found, key=lambda one: one.at_s)


def _bad_sessions(facts: Facts) -> Iterator[IncidentReport]:
    for session in facts.sessions:
        if session.outcome is None or session.outcome in CALM or session.ended_at is None:
            continue
        yield IncidentReport(
            at_s=facts.seconds(session.ended_at),
            kind=f"session {session.outcome}",
            what=(session.reason or "no reason was given")[:MOST_TEXT],
            task_id=session.task_id,
            agent=name_of(session.agent_id),
        )


def _gates_that_could_not_run(facts: Facts) -> Iterator[IncidentReport]:
    tasks = {change.id: change.task_id for change in facts.changes}
    for run in facts.runs:
        for result in run.results:
            if result.outcome is GateOutcome.COULD_NOT_RUN:
                yield IncidentReport(
                    at_s=facts.seconds(run.at),
                    kind="gate could not run",
                    what=f"{result.gate}: {result.summary}"[:MOST_TEXT],
                    task_id=tasks[run.change_id],
                )


def _limits(facts: Facts) -> Iterator[IncidentReport]:
    for event in facts.events:
        data = data_of(event) if event.kind in {"budget.warning", "swarm.stopping", "swarm.blocked"} else {}
        if event.kind == "budget.warning":
            what = f"{text(data, 'percent')} % of the budget are used"
            yield IncidentReport(at_s=facts.seconds(event.at), kind="budget", what=what, task_id=event.task_id)
        elif data and event.actor == "platform":
            kind = event.kind.replace(".", " ")
            yield IncidentReport(at_s=facts.seconds(event.at), kind=kind, what=text(data, "reason")[:MOST_TEXT])


def timeline(facts: Facts, now: datetime) -> Iterator[SpanReport]:
    usage = {row.session_id: row for row in facts.usage}
    for session in facts.sessions:
        used = usage.get(session.id)
        yield SpanReport(
            session_id=session.id,
            agent=name_of(session.agent_id),
            task_id=session.task_id,
            attempt=session.attempt,
            start_s=facts.seconds(session.claimed_at),
            end_s=facts.seconds(session.ended_at or now),
            outcome=str(session.outcome or session.state),
            tokens=used.spent.tokens if used else 0,
            cost_nano_usd=used.spent.nano_usd if used else 0,
        )


def costs(facts: Facts, now: datetime) -> Iterator[CostPoint]:
    """One point for each session with a cost or tokens, at its end."""
    ended: dict[SessionId, Session] = {session.id: session for session in facts.sessions}
    rows = [(ended[row.session_id].ended_at or now, row.spent) for row in facts.usage if row.session_id in ended]
    nano_usd = tokens = 0
    yield CostPoint(at_s=0.0, spent_nano_usd=0, tokens=0)
    for at, spent in sorted(rows, key=lambda row: row[0]):
        nano_usd += spent.nano_usd
        tokens += spent.tokens
        yield CostPoint(at_s=facts.seconds(at), spent_nano_usd=nano_usd, tokens=tokens)
