"""Who is told what and when: from notices to what is due at each channel. Kept for each swarm as a ledger, which moves in
one transaction with the place in the log up to which it was decided, so that nothing is lost and nothing told twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from swarmworks.domain.budget import Limit
from swarmworks.domain.notice import Notice, Severity
from swarmworks.policy.quiet import QuietHours, quiet_until

MOST_WAITING = 100
MOST_UNANSWERED = 50
MOST_WARNINGS = 1_000
MOST_AT_ONCE = 3
"""More than this due at one channel together make one digest."""
MOST_TRIES = 5
BACK_OFF_S = (5.0, 30.0, 120.0, 600.0)
MOST_AGE = timedelta(hours=24)
"""What nobody has to answer is no news any more after this long."""


@dataclass(frozen=True, slots=True)
class ChannelRule:
    """`only_again`: a channel of `escalate_to`, told only what nobody answered. `about` empty: every kind."""

    name: str
    severity: Severity
    about: frozenset[str] = frozenset()
    only_again: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    channels: tuple[ChannelRule, ...] = ()
    quiet: QuietHours | None = None
    escalate_after_s: float | None = None
    escalate_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice on its way through a channel. `again`: nobody answered when it was told first."""

    channel: str
    notice: Notice
    due: datetime
    tries: int = 0
    again: bool = False


@dataclass(frozen=True, slots=True)
class Unanswered:
    notice: Notice
    due: datetime


@dataclass(frozen=True, slots=True)
class Ledger:
    """`cursor`: the last event that was decided on. `left_out`: how many a channel's next digest only counts. `warnings`:
    by account, the limit at which the warning that it is nearly used up was given. `broken`: the chain was found broken, and that was said.
    `failing`: the channels that were given up for something and have taken nothing since.
    """

    cursor: int = 0
    waiting: tuple[Waiting, ...] = ()
    unanswered: tuple[Unanswered, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict[str, int])
    warnings: dict[str, Limit] = field(default_factory=dict[str, Limit])
    broken: bool = False
    failing: tuple[str, ...] = ()


def warned(ledger: Ledger, account_id: str, limit: Limit) -> Ledger:
    """The oldest are forgotten: accounts of sessions and tasks come and go."""
    kept = {name: each for name, each in ledger.warnings.items() if name != account_id} | {account_id: limit}
    return replace(ledger, warnings=dict(list(kept.items())[-MOST_WARNINGS:]))


def failed(ledger: Ledger, channel: str) -> Ledger:
    return ledger if channel in ledger.failing else replace(ledger, failing=(*ledger.failing, channel))


def took(ledger: Ledger, channel: str) -> Ledger:
    return replace(ledger, failing=tuple(name for name in ledger.failing if name != channel))


def wanted(rule: ChannelRule, notice: Notice) -> bool:
    fits = not rule.about or notice.kind in rule.about
    return (
        fits and not rule.only_again and notice.severity.rank >= rule.severity.rank and notice.not_through != rule.name
    )


def still_news(notice: Notice, now: datetime, *, is_open: bool) -> bool:
    """`is_open`: its item is; of no meaning for one without."""
    return is_open if notice.item is not None else now - notice.at <= MOST_AGE


def take(ledger: Ledger, notices: Sequence[Notice], cursor: int, rules: Rules, now: datetime) -> Ledger:
    """The ledger with new notices under way, decided up to the event `cursor`, and nothing for a channel that is no more."""
    known = {rule.name for rule in rules.channels}
    waiting = [one for one in ledger.waiting if one.channel in known]
    unanswered = list(ledger.unanswered)
    for notice in notices:
        due = _when(notice, now, rules)
        waiting += [Waiting(rule.name, notice, due) for rule in rules.channels if wanted(rule, notice)]
        if rules.escalate_after_s is not None and notice.item is not None:
            unanswered = [one for one in unanswered if one.notice.item != notice.item]
            unanswered.append(Unanswered(notice, due + timedelta(seconds=rules.escalate_after_s)))
    return _bounded(replace(ledger, cursor=cursor, unanswered=tuple(unanswered[-MOST_UNANSWERED:])), waiting)


def escalate(ledger: Ledger, rules: Rules, now: datetime, is_open: Callable[[Notice], bool]) -> Ledger:
    """What nobody answered in time is told again elsewhere, once; what was answered is forgotten."""
    late = [one for one in ledger.unanswered if one.due <= now]
    if not late:
        return ledger
    known = {rule.name for rule in rules.channels}
    more = [
        Waiting(name, one.notice, _when(one.notice, now, rules), again=True)
        for one in late
        if is_open(one.notice)
        for name in rules.escalate_to
        if name in known
    ]
    rest = tuple(one for one in ledger.unanswered if one.due > now)
    return _bounded(replace(ledger, unanswered=rest), [*ledger.waiting, *more])


def due_at(ledger: Ledger, channel: str, now: datetime) -> tuple[Waiting, ...]:
    """What goes through the channel now, together: one at a time while they are few, else all of them. What is told again
    is never mixed with what is told first.
    """
    ready = sorted((one for one in ledger.waiting if one.channel == channel and one.due <= now), key=_order)
    if not ready:
        return ()
    same = [one for one in ready if one.again == ready[0].again]
    return tuple(same) if len(same) > MOST_AT_ONCE or ledger.left_out.get(channel) else (ready[0],)


def next_due(ledger: Ledger, busy: Iterable[str] = ()) -> datetime | None:
    """When something is to be done next; what waits for a busy channel is done when that one is free."""
    taken = frozenset(busy)
    times = [one.due for one in ledger.waiting if one.channel not in taken]
    return min([*times, *(one.due for one in ledger.unanswered)], default=None)


def done(ledger: Ledger, told: Sequence[Waiting]) -> Ledger:
    """Without `told`, which arrived, was answered meanwhile, or was given up."""
    gone = {_identity(one) for one in told}
    counted = dict(ledger.left_out)
    if told:
        counted.pop(told[0].channel, None)
    rest = tuple(one for one in ledger.waiting if _identity(one) not in gone)
    return replace(ledger, waiting=rest, left_out=counted)


def present(ledger: Ledger, told: Sequence[Waiting]) -> tuple[Waiting, ...]:
    """Those of `told` that still are under way, as they are now."""
    sought = {_identity(one) for one in told}
    return tuple(one for one in ledger.waiting if _identity(one) in sought)


def put_off(ledger: Ledger, failed: Sequence[Waiting], rules: Rules, now: datetime) -> Ledger:
    """To be tried again, later each time."""
    late = {_identity(one) for one in failed}

    def moved(one: Waiting) -> Waiting:
        if _identity(one) not in late:
            return one
        pause = timedelta(seconds=BACK_OFF_S[min(one.tries, len(BACK_OFF_S) - 1)])
        return replace(one, tries=one.tries + 1, due=_when(one.notice, now + pause, rules))

    return replace(ledger, waiting=tuple(moved(one) for one in ledger.waiting))


def given_up(failed: Sequence[Waiting], *, again: bool) -> bool:
    """Whether a failure is the last: refused for good, or tried often enough."""
    return not again or max((one.tries for one in failed), default=0) + 1 >= MOST_TRIES


def _when(notice: Notice, at: datetime, rules: Rules) -> datetime:
    if notice.severity is Severity.URGENT:
        return at
    return quiet_until(at, rules.quiet) or at


def _order(one: Waiting) -> tuple[bool, int, int]:
    return one.again, -one.notice.severity.rank, one.notice.seq


def _identity(one: Waiting) -> tuple[str, int, bool]:
    return one.channel, one.notice.seq, one.again


def _bounded(ledger: Ledger, waiting: list[Waiting]) -> Ledger:
    """The least severe, and of those the oldest, are only counted when too many wait."""
    kept = sorted(waiting, key=lambda one: (one.notice.severity.rank, one.notice.seq))
    counted = dict(ledger.left_out)
    for one in kept[: max(0, len(kept) - MOST_WAITING)]:
        counted[one.channel] = counted.get(one.channel, 0) + 1
    kept = kept[-MOST_WAITING:]
    return replace(ledger, waiting=tuple(sorted(kept, key=lambda one: one.notice.seq)), left_out=counted)
