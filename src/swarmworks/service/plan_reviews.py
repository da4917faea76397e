"""A plan before its review gates: no session is started on it until all of them said yes."""

from __future__ import annotations

from swarmworks.base.ids import SwarmId
from swarmworks.domain.review import ReviewState, ReviewSubject
from swarmworks.git.protocol import Hub
from swarmworks.policy.reviewing import ReviewFacts, has_sources
from swarmworks.service.reviews import Subject
from swarmworks.store.protocol import Reader


def plan_subject(swarm_id: SwarmId) -> Subject:
    return Subject(swarm_id, ReviewSubject.PLAN, swarm_id)


def plan_facts(hub: Hub, base: str) -> ReviewFacts:
    """By the files tracked at the base commit. Blocks: call it outside the transaction."""
    return ReviewFacts(existing=has_sources(hub.list_files(base)))


def plan_hold(reader: Reader, swarm_id: SwarmId) -> str | None:
    """Why the plan may not be worked on, None when it may."""
    asked = reader.reviews(swarm_id, states=(ReviewState.OPEN, ReviewState.REJECTED), subject_id=swarm_id)
    if not asked:
        return None
    review = asked[-1]
    if review.state is ReviewState.OPEN:
        return f"the plan waits for your approval: swarm approve {review.id}"
    who = (review.decided_by or "").partition(":")[2]
    return f"the plan was rejected by {who}: {review.reason}; change it, and run it as a new swarm"
