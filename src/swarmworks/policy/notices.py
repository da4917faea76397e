"""Which events a person is told of, how urgently, and in what words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from swarmworks.base.ids import SwarmId
from swarmworks.domain.notice import Item, ItemKind, Notice, Severity
from swarmworks.domain.swarm import StopReason, SwarmState
from swarmworks.policy.reviewing import BY_MODEL_ONLY
from swarmworks.policy.wording import plain

NOT_TOLD = "notice.failed"
BUDGET_PERCENT = 90
MOST_TITLE = 120
MOST_TEXT = 1_000
MOST_NAME = 80
LIMITS = frozenset({StopReason.BUDGET, StopReason.DEADLINE})


@dataclass(frozen=True, slots=True)
class Happened:
    """An event as its log or its wire form tells it. `data` comes from agents too: nothing in it is trusted."""

    kind: str
    swarm_id: SwarmId
    seq: int
    at: datetime
    task_id: str | None
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Words:
    severity: Severity
    title: str
    text: str
    command: str
    item: Item | None = None
    not_through: str = ""


def notice_of(event: Happened) -> Notice | None:
    """None for what a person need not be told."""
    teller = _TELLERS.get(event.kind)
    words = teller(event) if teller is not None else None
    if words is None:
        return None
    return Notice(
        kind=event.kind,
        swarm_id=event.swarm_id,
        seq=event.seq,
        at=event.at,
        severity=words.severity,
        title=_line(words.title, MOST_TITLE),
        text=plain(words.text, MOST_TEXT).strip(),
        command=words.command,
        item=words.item,
        not_through=words.not_through,
    )


def _line(text: str, most: int) -> str:
    return plain(" ".join(text.split()), most).strip()


def _field(event: Happened, key: str, most: int = MOST_TEXT) -> str:
    value = event.data.get(key)
    return "" if value is None else plain(str(value), most).strip()


def _name(event: Happened, key: str) -> str:
    """An id to be typed into a shell: anything else is left out of the command."""
    value = event.data.get(key)
    fits = isinstance(value, str) and value.isascii() and value.replace("_", "").replace("-", "").isalnum()
    return value[:MOST_NAME] if isinstance(value, str) and fits and not value.startswith("-") else ""


def _because(event: Happened, otherwise: str = "") -> str:
    return _field(event, "reason") or otherwise


def _task(event: Happened) -> str:
    return _line(event.task_id or "a task", MOST_NAME)


def _swarm_item(event: Happened, state: SwarmState) -> Item:
    return Item(ItemKind.SWARM, event.swarm_id, state)


def _task_blocked(event: Happened) -> _Words | None:
    if "question" in event.data:
        return None  # the question itself is told
    why = _because(event, "no reason was given")
    item = Item(ItemKind.TASK, event.task_id) if event.task_id else None
    text = f"{why}\nIt is not tried again until you say so; tasks that depend on it wait."
    return _Words(Severity.WARNING, f"Task {_task(event)} is blocked", text, "swarm inbox", item)


def _swarm_blocked(event: Happened) -> _Words:
    text = f"Nothing can go on without you: {_because(event, 'every task left is blocked or waits for one that is')}."
    item = _swarm_item(event, SwarmState.BLOCKED)
    return _Words(Severity.URGENT, f"Swarm {event.swarm_id} is blocked", text, "swarm inbox", item)


def _swarm_stopped(event: Happened) -> _Words | None:
    reason = _field(event, "reason", MOST_NAME)
    if reason not in LIMITS:
        return None  # a person stopped it, and knows
    flag = "--budget USD" if reason == StopReason.BUDGET else ""
    text = f"Its {reason} is used up. What has landed is kept, and it goes on where it stopped once you allow more."
    command = f"swarm resume {event.swarm_id} {flag}".strip()
    item = _swarm_item(event, SwarmState.STOPPED)
    return _Words(Severity.URGENT, f"Swarm {event.swarm_id} was stopped by its {reason}", text, command, item)


def _swarm_landed(event: Happened) -> _Words:
    text = "All its tasks are done, and passed their gates. The result is on its integration branch."
    return _Words(Severity.INFO, f"Swarm {event.swarm_id} has landed", text, f"swarm report {event.swarm_id}")


def _queue_frozen(event: Happened) -> _Words:
    text = f"{_because(event, 'The integration branch is not what the merge queue left.')}\nNothing lands until then; sessions go on."
    return _Words(Severity.URGENT, f"Swarm {event.swarm_id} lands nothing", text, f"swarm status {event.swarm_id}")


def _question(event: Happened) -> _Words:
    question = _name(event, "question")
    text = f"{_field(event, 'text') or 'It says what in the inbox.'}\nThe task waits for your answer."
    command = f'swarm answer {question} "..."' if question else "swarm inbox"
    item = Item(ItemKind.QUESTION, question) if question else None
    return _Words(Severity.WARNING, f"Task {_task(event)} asks", text, command, item)


def _review(event: Happened) -> _Words | None:
    if event.data.get("of") == BY_MODEL_ONLY:
        return None  # a person is needed only if the model does not settle it
    review, subject = _name(event, "review"), _field(event, "subject", MOST_NAME) or "change"
    about = f"the {subject} of {_task(event)}" if event.task_id else f"a {subject}"
    text = f"{_field(event, 'question') or 'It goes on when a person has looked at it.'}\nIt waits for your decision."
    if gate := _field(event, "gate", MOST_NAME):
        text += f" Gate: {gate}, asked of {_field(event, 'of', MOST_NAME) or 'anybody'}."
    command = f"swarm approve {review}" if review else "swarm inbox"
    item = Item(ItemKind.REVIEW, review) if review else None
    return _Words(Severity.WARNING, f"Your review is asked for: {about}", text, command, item)


def _review_advised(event: Happened) -> _Words | None:
    if event.data.get("of") != BY_MODEL_ONLY:
        return None  # a person was asked already, and finds the advice there
    review = _name(event, "review")
    text = f"{_field(event, 'advice')}\nA model looked and did not settle it: it waits for your decision."
    item = Item(ItemKind.REVIEW, review) if review else None
    command = f"swarm approve {review}" if review else "swarm inbox"
    return _Words(Severity.WARNING, f"A review of {_task(event)} needs a person", text, command, item)


def _budget(event: Happened) -> _Words | None:
    percent = event.data.get("percent")
    used = f"{percent} %" if isinstance(percent, int) else f"more than {BUDGET_PERCENT} %"
    kind, subject = _field(event, "of", MOST_NAME) or "swarm", _field(event, "subject", MOST_NAME)
    if kind == "session":
        return None  # it ends itself; its task says what follows
    who, mend = {
        "project": (f"Project {subject}", "To go on, raise project_usd or project_tokens in [budget] of swarm.toml."),
        "day": (f"The day {subject.rpartition('/')[2]}", "New work waits for the next day."),
        "month": (f"The month {subject.rpartition('/')[2]}", "New work waits for the next month."),
        "agent": (f"Agent {subject.rpartition('/')[2]}", "Its session is stopped when the rest is used up."),
        "task": (f"Task {subject.rpartition('/')[2]}", "Its session is stopped when the rest is used up."),
    }.get(kind, (f"Swarm {event.swarm_id}", "It stops in order when the rest is used up."))
    text = f"{who} has used {used} of its budget. {mend}"
    command = f"swarm status {event.swarm_id}"
    return _Words(Severity.WARNING, f"{who} has used {used} of its budget", text, command)


def _budget_paused(event: Happened) -> _Words:
    period, until = _field(event, "period", MOST_NAME) or "day", _field(event, "until", MOST_NAME)
    text = (
        f"{event.data.get('percent')} % of what the {period} {_field(event, 'window', MOST_NAME)} may cost are used. Sessions "
        f"under way go on; new ones begin by themselves at {until}, or once you raise the limits of the {period} in [budget] "
        "of swarm.toml and start swarm anew."
    )
    title = f"Swarm {event.swarm_id} begins nothing new until {until}"
    return _Words(Severity.WARNING, title, text, f"swarm status {event.swarm_id}")


def _delivery_ready(event: Happened) -> _Words:
    branch = _field(event, "branch", MOST_NAME) or "your branch"
    text = f"It was merged with {branch} and passed every gate."
    return _Words(Severity.INFO, f"A delivery to {branch} is ready", text, f"swarm deliver {event.swarm_id}")


def _delivery_failed(event: Happened) -> _Words:
    branch = _field(event, "branch", MOST_NAME) or "your branch"
    text = f"{_because(event, 'no reason was given')}\nYour branch was not touched; mend the cause and deliver again."
    return _Words(Severity.WARNING, f"The delivery to {branch} failed", text, f"swarm deliver {event.swarm_id}")


def _plant_failed(event: Happened) -> _Words:
    text = f"{_because(event, 'no reason was given')}\nThe control plane has ended. Nothing that was kept is lost."
    command = f"swarm resume {event.swarm_id}"
    return _Words(Severity.URGENT, f"Swarm {event.swarm_id} cannot go on on this machine", text, command)


def _chain_broken(event: Happened) -> _Words:
    at = event.data.get("first")
    text = (
        f"The event log was changed or damaged{f' at event {at}' if isinstance(at, int) else ''}: from there on it is no "
        "evidence. Find out who wrote to the state folder, and keep a copy of it."
    )
    return _Words(
        Severity.URGENT,
        f"The event log of swarm {event.swarm_id} is broken",
        text,
        f"swarm report {event.swarm_id}",
    )


def _not_told(event: Happened) -> _Words | None:
    if event.data.get("about") == event.kind:
        return None  # that nobody was told that nobody was told: it would never end
    if event.data.get("known") is True:
        return None  # the channel has taken nothing since that was told
    channel = _field(event, "channel", MOST_NAME)
    text = f"{_because(event, 'no reason was given')}\nNotices sent there do not arrive."
    title = f"The notification channel {channel} does not work"
    return _Words(Severity.WARNING, title, text, "swarm doctor", not_through=channel)


_OUTAGES = {
    "rate_limited": "limits the rate",
    "overloaded": "is overloaded",
    "failing": "does not answer",
    "key_refused": "refused the platform's key",
    "no_credit": "is out of credit",
}
_FOR_A_PERSON = frozenset({"key_refused", "no_credit"})


def _provider(event: Happened) -> _Words | None:
    reason = _field(event, "reason", MOST_NAME)
    account, model = _field(event, "account", MOST_NAME), _field(event, "model", MOST_NAME)
    title = f"The provider {account} {_OUTAGES.get(reason, 'does not answer')}{f' for {model}' if model else ''}"
    if reason in _FOR_A_PERSON:
        text = "Calls go to other accounts and models where there are any, and wait otherwise, until you mend it."
        return _Words(Severity.URGENT, title, text, "swarm doctor")
    wait_s = event.data.get("wait_s")
    again = f" It is asked again in {wait_s} s." if isinstance(wait_s, int) else ""
    text = (
        f"Calls go to other accounts and models where there are any, and wait otherwise.{again} No attempt is counted."
    )
    return _Words(Severity.WARNING, title, text, f"swarm status {event.swarm_id}")


def _provider_answers(event: Happened) -> _Words:
    account, model = _field(event, "account", MOST_NAME), _field(event, "model", MOST_NAME)
    title = f"The provider {account} answers again{f' with {model}' if model else ''}"
    return _Words(Severity.INFO, title, "Calls that waited for it go on.", f"swarm status {event.swarm_id}")


_TELLERS: Mapping[str, Callable[[Happened], _Words | None]] = {
    "task.blocked": _task_blocked,
    "swarm.blocked": _swarm_blocked,
    "swarm.stopped": _swarm_stopped,
    "swarm.landed": _swarm_landed,
    "queue.frozen": _queue_frozen,
    "question.asked": _question,
    "review.asked": _review,
    "review.advised": _review_advised,
    "budget.warning": _budget,
    "budget.paused": _budget_paused,
    "delivery.ready": _delivery_ready,
    "delivery.failed": _delivery_failed,
    "plant.failed": _plant_failed,
    "chain.broken": _chain_broken,
    NOT_TOLD: _not_told,
    "provider.unavailable": _provider,
    "provider.answers": _provider_answers,
}
KINDS = frozenset(_TELLERS)
