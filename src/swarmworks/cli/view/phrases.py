"""Events of a swarm in a person's words: one line each, by kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from swarmworks.cli.view.amounts import counted, dollars, plain, tokens
from swarmworks.cli.view.models_line import WORDS
from swarmworks.wire.api import EventRow

MOST_CHARACTERS = 300
MOST_FILES = 5
_FIRST_ARGUMENT = re.compile(r"""\{'\w+': (?P<quote>['"]?)(?P<value>.*?)(?P=quote)(?:, '\w+': |\}$)""", re.DOTALL)


class Weight(Enum):
    """How much a person wants to know: DETAIL only on request, NEWS in the dashboard, MILESTONE in a plain log too."""

    DETAIL = 0
    NEWS = 1
    MILESTONE = 2


class Mood(Enum):
    NEUTRAL = "neutral"
    GOOD = "good"
    CARE = "care"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Phrase:
    """`subject` is the task, or who acted; `text` what happened."""

    subject: str
    text: str
    mood: Mood = Mood.NEUTRAL
    weight: Weight = Weight.DETAIL


Data = Mapping[str, Any]
Teller = Callable[[EventRow], Phrase]


def phrase(event: EventRow) -> Phrase:
    """Every event has one: an unknown kind is told by its name and its data."""
    told = _TELLERS.get(event.kind, _unknown)(event)
    return Phrase(
        plain(told.subject or event.task_id or "swarm"), plain(told.text)[:MOST_CHARACTERS], told.mood, told.weight
    )


def actor_name(actor: str) -> str:
    return actor.rpartition(":")[2]


def _text(data: Data, key: str) -> str:
    value = data.get(key)
    return "" if value is None else str(value)


def _number(data: Data, key: str) -> int:
    value = data.get(key)
    return int(value) if isinstance(value, int | float) else 0


def _because(data: Data, key: str = "reason") -> str:
    reason = _text(data, key)
    return f": {reason}" if reason else ""


def _created(event: EventRow) -> Phrase:
    data = event.data
    text = (
        f"started: {counted(_number(data, 'tasks'), 'task')}, {counted(_number(data, 'agents'), 'agent')}, "
        f"{_text(data, 'model')}"
    )
    return Phrase("swarm", text, weight=Weight.MILESTONE)


def _resumed(event: EventRow) -> Phrase:
    limit = event.data.get("limit_nano_usd")
    text = f"goes on, with a budget of {dollars(limit)}" if isinstance(limit, int) else "goes on"
    return Phrase("swarm", text, weight=Weight.MILESTONE)


def _swarm(text: str, mood: Mood) -> Teller:
    return lambda event: Phrase("swarm", text + _because(event.data), mood, Weight.MILESTONE)


def _session_started(event: EventRow) -> Phrase:
    attempt = _number(event.data, "attempt")
    again = f", attempt {attempt}" if attempt > 1 else ""
    return Phrase("", f"{actor_name(event.actor)} starts{again}")


def _session_ended(event: EventRow) -> Phrase:
    outcome = _text(event.data, "outcome")
    who = actor_name(event.actor)
    if outcome in {"submitted", "nothing_to_do"}:
        used = _number(event.data, "tokens")
        cost = f" ({tokens(used)} tokens)" if used else ""
        word = "hands in" if outcome == "submitted" else "says there is nothing to do"
        return Phrase("", f"{who} {word}{cost}")
    words = {
        "failed": "fails",
        "stopped": "is stopped",
        "lost": "was lost",
        "killed": "was ended",
        "handed_off": "hands over to a fresh session",
    }
    calm = outcome in {"handed_off", "killed"}
    text = f"{who} {words.get(outcome, outcome)}{_because(event.data)}"
    return Phrase("", text, Mood.NEUTRAL if calm else Mood.CARE, Weight.NEWS if calm else Weight.MILESTONE)


def _tool_call(event: EventRow) -> Phrase:
    """With its first argument, the telling one. Arguments are recorded as the text of a mapping."""
    arguments = _text(event.data, "arguments")
    first = _FIRST_ARGUMENT.match(arguments)
    shown = first["value"] if first else arguments.strip("{}")
    return Phrase("", f"{actor_name(event.actor)}: {_text(event.data, 'tool')} {shown}")


def _tool_result(event: EventRow) -> Phrase:
    ok = event.data.get("ok") is True
    summary = _text(event.data, "summary")
    return Phrase("", f"{actor_name(event.actor)}: {'ok' if ok else 'error'} {summary}", Mood.NEUTRAL)


def _message(event: EventRow) -> Phrase:
    return Phrase("", f"{actor_name(event.actor)} says: {_text(event.data, 'text')}")


def _usage(event: EventRow) -> Phrase:
    used = f"{tokens(_number(event.data, 'input_tokens'))} in, {tokens(_number(event.data, 'output_tokens'))} out"
    return Phrase("", f"{actor_name(event.actor)} used {used}")


def _end(event: EventRow) -> Phrase:
    outcome = _text(event.data, "outcome").replace("_", " ")
    return Phrase("", f"{actor_name(event.actor)} ends, {outcome}{_because(event.data)}")


def _gates(event: EventRow) -> Phrase:
    rows = event.data.get("results")
    results = [cast("Data", row) for row in cast("list[object]", rows)] if isinstance(rows, list) else []
    bad = [f"{_text(row, 'gate')} {_text(row, 'outcome')}" for row in results if row.get("outcome") != "passed"]
    where = "on the merged tree" if event.data.get("stage") == "candidate" else "on the change"
    if not bad:
        return Phrase("", f"{counted(len(results), 'gate')} passed {where}", Mood.GOOD, Weight.DETAIL)
    text = f"gates {where}: {', '.join(bad).replace('_', ' ')}"
    return Phrase("", text, Mood.CARE, Weight.DETAIL)


def _landed(event: EventRow) -> Phrase:
    agent = _text(event.data, "agent").rpartition("/")[2]
    by = f", by {agent}" if agent else ""
    return Phrase("", f"landed as {_text(event.data, 'commit')[:10]}{by}", Mood.GOOD, Weight.MILESTONE)


def _rejected(event: EventRow) -> Phrase:
    left = event.data.get("attempts_left")
    more = f" ({counted(left, 'attempt')} left)" if isinstance(left, int) else ""
    return Phrase("", f"rejected: {_text(event.data, 'summary')}{more}", Mood.CARE, Weight.MILESTONE)


def _resolved(event: EventRow) -> Phrase:
    rows = event.data.get("dropped")
    dropped = len(cast("list[object]", rows)) if isinstance(rows, list) else 0
    generated = event.data.get("generated")
    if isinstance(generated, list) and generated:
        named = ", ".join(str(one) for one in cast("list[object]", generated)[:MOST_FILES])
        return Phrase("", f"its conflict is resolved by command, made anew: {named}", Mood.GOOD, Weight.NEWS)
    left_out = f", without {counted(dropped, 'line')} that it names" if dropped else ", with every line of both sides"
    return Phrase("", f"its conflict is resolved{left_out}", Mood.GOOD, Weight.NEWS)


def _reverting(event: EventRow) -> Phrase:
    what = f"takes back {_text(event.data, 'reverts')}, landed as {_text(event.data, 'commit')[:10]}"
    return Phrase("", what + _because(event.data), Mood.CARE, Weight.MILESTONE)


def _task(text: str, mood: Mood, weight: Weight) -> Teller:
    return lambda event: Phrase("", text + _because(event.data), mood, weight)


class _Known(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


def _of(pattern: str, mood: Mood, weight: Weight) -> Teller:
    """`pattern` filled with the event's data; a question mark where it has none."""

    def tell(event: EventRow) -> Phrase:
        known = _Known({key: str(value) for key, value in event.data.items() if value is not None})
        return Phrase("", pattern.format_map(known), mood, weight)

    return tell


def _budget_warning(event: EventRow) -> Phrase:
    whose = f" of {_text(event.data, 'of')} {_text(event.data, 'subject')}" if "of" in event.data else ""
    return Phrase("", f"{event.data.get('percent', '?')} % of the budget{whose} are used", Mood.CARE, Weight.MILESTONE)


def _filed(event: EventRow) -> Phrase:
    task = _text(event.data, "task") or event.task_id or ""
    carried = _text(event.data, "supersedes")
    text = f"made for {carried}{_because(event.data)}" if carried else f"made{_because(event.data)}"
    return Phrase(task, text, Mood.CARE, Weight.MILESTONE)


def _person(does: str, key: str) -> Teller:
    def tell(event: EventRow) -> Phrase:
        return Phrase("", f"{actor_name(event.actor)} {does}{_because(event.data, key)}", weight=Weight.MILESTONE)

    return tell


def _decided(verb: str, mood: Mood) -> Teller:
    def tell(event: EventRow) -> Phrase:
        by = f"{verb} by {actor_name(event.actor)} at {_text(event.data, 'gate')}"
        mind = Weight.MILESTONE if event.actor.startswith("person:") else Weight.DETAIL
        return Phrase("", by + _because(event.data), mood, mind)

    return tell


def _access(event: EventRow) -> Phrase:
    refused = event.data.get("verdict") == "refused"
    text = f"{'is kept from' if refused else 'reaches'} {_text(event.data, 'to')}{_because(event.data)}"
    return Phrase("", text, Mood.CARE if refused else Mood.NEUTRAL, Weight.NEWS if refused else Weight.DETAIL)


def _unknown(event: EventRow) -> Phrase:
    data = ", ".join(f"{key}={value}" for key, value in event.data.items() if value not in (None, "", [], {}))
    return Phrase("", f"{event.kind.replace('.', ' ').replace('_', ' ')} {data}")


def _provider(event: EventRow) -> Phrase:
    model = _text(event.data, "model")
    name = _text(event.data, "account") + (f" with {model}" if model else "")
    if event.kind == "provider.answers":
        return Phrase("models", f"{name} answers again", Mood.GOOD, Weight.NEWS)
    reason = _text(event.data, "reason")
    return Phrase("models", f"{name} {WORDS.get(reason, reason)}", Mood.CARE, Weight.MILESTONE)


_TELLERS: Mapping[str, Teller] = {
    "provider.unavailable": _provider,
    "provider.answers": _provider,
    "swarm.created": _created,
    "swarm.resumed": _resumed,
    "swarm.paused": _swarm("paused: running sessions go on, no new ones start", Mood.CARE),
    "swarm.stopping": _swarm("stopping", Mood.CARE),
    "swarm.stopped": _swarm("stopped", Mood.CARE),
    "swarm.blocked": _swarm("blocked", Mood.BAD),
    "swarm.landed": _swarm("all tasks are done", Mood.GOOD),
    "session.started": _session_started,
    "session.ended": _session_ended,
    "session.tool_call": _tool_call,
    "session.tool_result": _tool_result,
    "session.message": _message,
    "session.usage": _usage,
    "session.end": _end,
    "change.submitted": _task("handed in, gates next", Mood.NEUTRAL, Weight.DETAIL),
    "gates.finished": _gates,
    "change.approved": _task("approved", Mood.NEUTRAL, Weight.DETAIL),
    "change.building": _task("being merged", Mood.NEUTRAL, Weight.DETAIL),
    "change.landed": _landed,
    "change.returned": _task("merged again", Mood.NEUTRAL, Weight.NEWS),
    "change.resolved": _resolved,
    "task.reverting": _reverting,
    "change.rejected": _rejected,
    "queue.pushed": _of(
        "{author} pushed to the branch: {subject}; what waits is merged anew", Mood.NEUTRAL, Weight.MILESTONE
    ),
    "queue.thawed": _of("the branch is back where it was: changes land again", Mood.GOOD, Weight.MILESTONE),
    "queue.frozen": _of("nothing lands: {reason}", Mood.BAD, Weight.MILESTONE),
    "task.rework": _task("to be done again", Mood.CARE, Weight.MILESTONE),
    "task.returned": _task("waits for another session", Mood.NEUTRAL, Weight.NEWS),
    "task.nothing_to_do": _task("nothing to do: the gates pass as it is", Mood.GOOD, Weight.MILESTONE),
    "task.blocked": _task("blocked", Mood.BAD, Weight.MILESTONE),
    "task.parked": _of("parked as it is; {fix} mends what it found", Mood.CARE, Weight.MILESTONE),
    "task.filed": _filed,
    "task.superseded": _of("landed within {by}", Mood.GOOD, Weight.MILESTONE),
    "task.retried": _person("lets it be tried again", "note"),
    "task.cancelled": _person("cancels it", "reason"),
    "task.asked": _task("waits for an answer", Mood.CARE, Weight.DETAIL),
    "question.asked": _of("asks: {text}", Mood.CARE, Weight.MILESTONE),
    "question.answered": _person("answers", "answer"),
    "review.asked": _of("needs your decision at {gate}: {question}", Mood.CARE, Weight.MILESTONE),
    "review.advised": _of("{by} advises: {advice}", Mood.NEUTRAL, Weight.NEWS),
    "review.approved": _decided("approved", Mood.GOOD),
    "review.rejected": _decided("rejected", Mood.CARE),
    "message.sent": _person("says", "text"),
    "conflict.foreseen": _of("changes the same lines of {paths} as {other}: its agent is told", Mood.CARE, Weight.NEWS),
    "delivery.requested": _of("delivery to {branch} is being prepared", Mood.NEUTRAL, Weight.MILESTONE),
    "delivery.ready": _of("ready to be delivered to {branch}", Mood.GOOD, Weight.MILESTONE),
    "delivery.failed": _of("cannot be delivered to {branch}: {reason}", Mood.BAD, Weight.MILESTONE),
    "delivery.delivered": _of("delivered to {branch}", Mood.GOOD, Weight.MILESTONE),
    "session.context_full": _of("fills its window: {tokens} of {window} tokens", Mood.NEUTRAL, Weight.NEWS),
    "session.took_over": _of("goes on where the one before it was: {left}", Mood.NEUTRAL, Weight.NEWS),
    "session.misunderstood": _of("does not know what it took over: {problems}", Mood.CARE, Weight.NEWS),
    "session.access": _access,
    "session.saved": _of("saved its work so far", Mood.NEUTRAL, Weight.DETAIL),
    "scope.refused": _of("may not have {paths}: {reason}", Mood.CARE, Weight.NEWS),
    "scope.granted": _of("may write {paths}, too", Mood.NEUTRAL, Weight.MILESTONE),
    "mail.sent": _of("writes to {to}: {text}", Mood.NEUTRAL, Weight.DETAIL),
    "mail.read": _of("reads its mail", Mood.NEUTRAL, Weight.DETAIL),
    "session.progress": _of("progress: {text}", Mood.NEUTRAL, Weight.DETAIL),
    "budget.warning": _budget_warning,
    "budget.paused": _of(
        "nothing new begins until {until}: {percent} % of the {period} are used", Mood.CARE, Weight.MILESTONE
    ),
    "budget.resumed": _of("new work begins again", Mood.NEUTRAL, Weight.MILESTONE),
    "session.stopping": _of("is stopped: {reason}", Mood.CARE, Weight.NEWS),
}
