"""The session behind a model's review: it gives the model a key of its own and charges its calls to the task.

Within a transaction: begun when the review's work is leased, ended when it is over, whoever ends it.
"""

from __future__ import annotations

import hashlib
import secrets

from swarmworks.base.ids import ReviewId, SwarmId
from swarmworks.domain.agent import REVIEWER
from swarmworks.domain.budget import Limit
from swarmworks.domain.event import NewEvent
from swarmworks.domain.lease import Work, WorkerLease, WorkKind, WorkState
from swarmworks.domain.review import ReviewState
from swarmworks.domain.session import Session, SessionOutcome, SessionState
from swarmworks.service import reviews
from swarmworks.store.protocol import Reader, Tx
from swarmworks.wire.options import from_json
from swarmworks.wire.work import WORK, ReviewWork

MOST_LOOKS = 5
"""How often a look is begun before a person is asked instead."""


def begin(tx: Tx, lease: WorkerLease, work: Work, name: str, wire: str) -> ReviewWork:
    """The leased work as the worker gets it, with a session and its key. `name` of the model it is told to ask for, which
    the gateway replaces by what the session may have.
    """
    asked = review_work(work)
    limits = from_json(tx.swarm(work.swarm_id).options).config.session_limits()
    limit = Limit(limits.cost_nano_usd, limits.tokens, limits.calls)
    session = tx.open_review_session(lease, work.swarm_id, work.task_id, asked.model, asked.base, limit)
    token = f"swk_{secrets.token_urlsafe(32)}"
    tx.start_session(session.id, hashlib.sha256(token.encode()).hexdigest())
    name = session.agent_id.rpartition("/")[2]
    data = {"agent": name, "role": REVIEWER, "model": asked.model, "review": asked.review_id}
    tx.append(work.swarm_id, NewEvent("session.started", f"agent:{name}", data, work.task_id, session.id))
    return asked.model_copy(
        update={
            "work_id": work.id,
            "fence": work.fence,
            "session_id": session.id,
            "token": token,
            "model": asked.model if ":" in asked.model else f"{asked.model}:{name}",
            "wire": "anthropic" if wire == "anthropic" else "openai",
        }
    )


def end(tx: Tx, work: Work, outcome: SessionOutcome, reason: str) -> None:
    """End what `begin` began for this work; nothing happens when it has ended."""
    for session in _open(tx, work):
        tx.end_session(session.id, outcome, reason)
        account = tx.account(session.account_id)
        data: dict[str, object] = {
            "outcome": str(outcome),
            "reason": reason,
            "tokens": account.spent.tokens,
            "cost_nano_usd": account.spent.nano_usd,
        }
        actor = f"agent:{session.agent_id.rpartition('/')[2]}"
        tx.append(work.swarm_id, NewEvent("session.ended", actor, data, work.task_id, session.id))


def stop(tx: Tx, swarm_id: SwarmId, review_id: ReviewId, why: str) -> None:
    """The review was answered or withdrawn: no model needs to look any more."""
    for work in tx.works(swarm_id=swarm_id, states=(WorkState.QUEUED, WorkState.LEASED)):
        if work.kind is WorkKind.REVIEW and work.subject == review_id:
            end(tx, work, SessionOutcome.KILLED, why)
            tx.cancel_work(work.id)


def set_aside(tx: Tx, swarm_id: SwarmId, why: str) -> None:
    """A swarm that stops waits for no model: its looks are ended, and begun anew when it goes on."""
    for work in tx.works(swarm_id=swarm_id, states=(WorkState.LEASED,)):
        if work.kind is WorkKind.REVIEW:
            end(tx, work, SessionOutcome.KILLED, why)
            tx.expire_work(work.id, work.fence)


def give_back(tx: Tx, work: Work, why: str) -> None:
    """A look whose worker is gone is for another one, but not for ever: what costs workers is left to a person."""
    end(tx, work, SessionOutcome.KILLED, why)
    if work.fence < MOST_LOOKS:
        return
    tx.cancel_work(work.id)
    review = tx.review(review_work(work).review_id)
    if review.state is ReviewState.OPEN:
        said = f"no verdict: {MOST_LOOKS} times a worker was lost while the model looked at it; the last time: {why}"
        reviews.advise(tx, review, said, by="platform")


def review_work(work: Work) -> ReviewWork:
    asked = WORK.validate_json(work.payload)
    assert isinstance(asked, ReviewWork)
    return asked


def _open(reader: Reader, work: Work) -> list[Session]:
    """A task in review has no session but its reviewer's."""
    states = (SessionState.CLAIMED, SessionState.RUNNING)
    found = reader.sessions(work.swarm_id, task_id=work.task_id, states=states)
    return [session for session in found if session.agent_id.rpartition("/")[2].startswith(f"{REVIEWER}-")]
