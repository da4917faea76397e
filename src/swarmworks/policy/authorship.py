"""Whose work a change is, where a command only made its generated files anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

from swarmworks.base.ids import SessionId
from swarmworks.domain.change import Change
from swarmworks.domain.plan import COMMAND
from swarmworks.domain.session import Session
from swarmworks.policy.tiers import NO_MODEL


def only_made_anew(session: Session, kind: str) -> bool:
    """Whether `session`, of a task of `kind`, ran the project's own command on an agent's change."""
    return session.model == NO_MODEL and kind != COMMAND


def written_by(
    change: Change, changes: Sequence[Change], session_of: Callable[[SessionId], Session], kind: str
) -> Session:
    """The session that wrote `change`, one of its task's `changes` in their order, but for what was made anew."""
    own = session_of(change.session_id)
    if not only_made_anew(own, kind):
        return own
    before = list(takewhile(lambda one: one.id != change.id, changes))
    sessions = (session_of(one.session_id) for one in reversed(before))
    return next((one for one in sessions if not only_made_anew(one, kind)), own)
