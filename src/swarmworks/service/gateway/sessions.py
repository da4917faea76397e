"""What the gateway remembers of sessions, in memory: calls begun, when the last one moved, and how they went."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.base.errors import LimitReachedError
from swarmworks.domain.budget import Limit
from swarmworks.policy.circuit import Circuit
from swarmworks.policy.retry import HeldUp

if TYPE_CHECKING:
    from datetime import datetime

    from swarmworks.base.clock import Clock
    from swarmworks.base.ids import SessionId
    from swarmworks.domain.session import SessionLimits
    from swarmworks.policy.circuit import CircuitRules, Ended

REMEMBERED = 20_000


class TooManyCallsError(LimitReachedError):
    code = "too_many_calls"


class HandedInError(TooManyCallsError):
    code = "handed_in"


class StoppedError(LimitReachedError):
    """The breaker has ended the session."""

    code = "session_stopped"


@dataclass(slots=True)
class _Entry:
    calls: int
    counts: int
    last_at: datetime
    shut: bool = False
    stopped: str | None = None
    circuit: Circuit | None = None
    waited_s: float = 0.0
    unanswered: bool = False
    failed: str = ""
    own_counts: int = 0
    hands_over: bool = False


class SessionBook:
    """Calls are counted when they begin, so that several at once cannot pass a limit together. After a restart the count
    goes on from the calls the ledger settled.
    """

    def __init__(self, clock: Clock, rules: CircuitRules) -> None:
        self._clock = clock
        self._rules = rules
        self._entries: OrderedDict[SessionId, _Entry] = OrderedDict()

    def knows(self, session_id: SessionId) -> bool:
        return session_id in self._entries

    def open(self, session_id: SessionId, settled_calls: int) -> None:
        """Begin to remember a session. Of one that is known, calls settled elsewhere count from now on, too."""
        if session_id in self._entries:
            entry = self._entries[session_id]
            entry.calls = max(entry.calls, settled_calls)
        else:
            self._entries[session_id] = _Entry(settled_calls, 0, self._clock.now())
            if len(self._entries) > REMEMBERED:
                self._entries.popitem(last=False)

    def begin_call(self, session_id: SessionId, *, limit: int) -> None:
        """TooManyCallsError at the limit, HandedInError once the session has handed in, StoppedError after the breaker."""
        entry = self._going_on(session_id)
        if entry.calls >= limit:
            raise TooManyCallsError(
                f"this session has made its {limit} model calls",
                where=str(session_id),
                mend="raise the limit of calls, or make the task smaller",
            )
        entry.calls += 1

    def shut(self, session_id: SessionId) -> None:
        """No more calls: what a session would say after it has handed in is paid for and read by nobody."""
        self._entry(session_id).shut = True

    def stop(self, session_id: SessionId, reason: str) -> None:
        self._entry(session_id).stopped = reason

    def ended(self, session_id: SessionId, call: Ended, limits: SessionLimits) -> str | None:
        """The reason to stop the session for, once."""
        entry = self._entry(session_id)
        if entry.stopped is not None or entry.shut:
            return None
        if entry.circuit is None:
            entry.circuit = Circuit(self._rules, Limit(limits.cost_nano_usd, limits.tokens), limits.wall_s)
        entry.stopped = entry.circuit.ended(call)
        return entry.stopped

    def asks_to_hand_over(self, session_id: SessionId) -> bool:
        """True once: whoever asks does it."""
        entry = self._entry(session_id)
        first = not entry.hands_over and not entry.shut
        entry.hands_over = True
        return first

    def withdraw_call(self, session_id: SessionId) -> None:
        """A call that cost nothing does not count: refused before it was sent, or by the provider before it was billed."""
        if session_id in self._entries:
            self._entries[session_id].calls -= 1

    def begin_count(self, session_id: SessionId, *, limit: int) -> None:
        """Counting tokens before a call is free, and bounded all the same. Errors as of `begin_call`."""
        entry = self._going_on(session_id)
        if entry.counts >= limit:
            raise TooManyCallsError(f"this session has counted tokens {limit} times", where=str(session_id))
        entry.counts += 1

    def take_count(self, session_id: SessionId, *, limit: int) -> bool:
        """Whether the gateway may count tokens for itself once more: it does without otherwise."""
        entry = self._entry(session_id)
        if entry.own_counts >= limit:
            return False
        entry.own_counts += 1
        return True

    def touch(self, session_id: SessionId) -> None:
        if session_id in self._entries:
            self._entries[session_id].last_at = self._clock.now()

    def waited(self, session_id: SessionId, seconds: float) -> None:
        """A call of the session waited so long for its turn at a provider."""
        if session_id in self._entries:
            self._entries[session_id].waited_s += seconds

    def ended_call(self, session_id: SessionId, *, unanswered: bool, failed: str) -> None:
        """`unanswered` for the provider's sake; `failed` says why the call did, whosever fault it was."""
        if session_id in self._entries:
            self._entries[session_id].unanswered = unanswered
            self._entries[session_id].failed = failed
            self._entries[session_id].last_at = self._clock.now()

    def held_up(self, session_id: SessionId) -> HeldUp:
        entry = self._entries.get(session_id)
        return HeldUp(entry.waited_s, entry.unanswered, entry.failed) if entry else HeldUp()

    def last_at(self, session_id: SessionId) -> datetime | None:
        entry = self._entries.get(session_id)
        return entry.last_at if entry else None

    def _going_on(self, session_id: SessionId) -> _Entry:
        entry = self._entry(session_id)
        if entry.stopped is not None:
            raise StoppedError(
                f"this session was stopped: {entry.stopped}",
                where=str(session_id),
                mend="end it; go about it otherwise",
            )
        if entry.shut:
            raise HandedInError("this session has handed in", where=str(session_id), mend="end it")
        return entry

    def _entry(self, session_id: SessionId) -> _Entry:
        self.open(session_id, 0)  # pushed out since it was opened: only with very many sessions at once
        self._entries.move_to_end(session_id)
        entry = self._entries[session_id]
        entry.last_at = self._clock.now()
        return entry
