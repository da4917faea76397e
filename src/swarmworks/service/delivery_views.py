"""A delivery as those who ask about it are told, and as the event log keeps what was found on its merged tree."""

from __future__ import annotations

from swarmworks.domain.delivery import Delivery, DeliveryState
from swarmworks.domain.gate import GateStage
from swarmworks.git.protocol import Hub
from swarmworks.policy.reviewing import Passed, Refused, Turn, Waiting, may_decide
from swarmworks.policy.wording import plain
from swarmworks.wire.delivery import Arriving, DeliveryReview, DeliveryView
from swarmworks.wire.work import DeliveryResult

MOST_SUBJECTS = 12


def arriving(hub: Hub, delivery: Delivery, base: str) -> Arriving | None:
    """What a delivery that is ready brings; for a branch that is to be made, counted from the swarm's `base`."""
    if delivery.state is not DeliveryState.READY or delivery.candidate is None:
        return None
    start = delivery.tip or base
    commits = hub.log(start, delivery.head)
    changes = hub.changes(start, delivery.candidate)
    return Arriving(
        commits=len(commits),
        subjects=tuple(one["subject"] for one in commits[:MOST_SUBJECTS]),
        files=len(changes),
        added=sum(one.added or 0 for one in changes),
        removed=sum(one.removed or 0 for one in changes),
    )


def results_data(result: DeliveryResult) -> dict[str, object]:
    rows = [{"gate": one.gate, "outcome": str(one.outcome), "summary": one.summary[:300]} for one in result.results]
    return {
        "stage": str(GateStage.CANDIDATE),
        "tree": result.tree,
        "candidate": result.candidate,
        "conflicts": [plain(path, 200) for path in result.conflict_paths[:50]],
        "results": rows,
    }


def view(delivery: Delivery, found: Turn, brings: Arriving | None, person: str) -> DeliveryView:
    ready = delivery.state is DeliveryState.READY
    review = found.review if isinstance(found, Waiting | Refused) else None
    return DeliveryView(
        id=delivery.id,
        swarm_id=delivery.swarm_id,
        branch=delivery.branch,
        tip=delivery.tip or None,
        head=delivery.head,
        candidate=delivery.candidate,
        state=delivery.state,
        actor=delivery.actor,
        note=delivery.note,
        created_at=delivery.created_at,
        ended_at=delivery.ended_at,
        merged=delivery.candidate not in {None, delivery.head},
        approved=ready and isinstance(found, Passed),
        arriving=brings,
        review=None
        if review is None or not ready
        else DeliveryReview(
            id=review.id,
            gate=review.gate,
            question=review.question,
            state=review.state,
            deciders=review.deciders,
            yours=may_decide(review.deciders, person),
            decided_by=review.decided_by,
            reason=review.reason,
        ),
    )
