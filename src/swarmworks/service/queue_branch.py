"""What becomes of the merge queue when somebody else moves the branch it lands on: noticed, told, and never landed over blindly."""

from __future__ import annotations

from dataclasses import dataclass, replace

from swarmworks.domain.event import NewEvent
from swarmworks.domain.swarm import Swarm
from swarmworks.git.protocol import Hub
from swarmworks.store.protocol import QueueBranch, Tx

MOST_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class Moved:
    """The branch is not where the queue left it. `forward`: everything that was on it still is."""

    before: str
    head: str
    forward: bool
    author: str
    subject: str


def inspect(hub: Hub, known: QueueBranch, head: str) -> Moved:
    """Blocks: call it outside the transaction. A commit on top of what froze the queue is a person's word that it is meant."""
    row = hub.log(None, head, limit=1)[0]
    forward = hub.is_ancestor(known.head, head)
    if not forward and known.frozen is not None and known.pushed is not None:
        forward = hub.is_ancestor(known.pushed, head)
    return Moved(known.head, head, forward, row["author"], row["subject"][:MOST_SUBJECT])


def may_land(known: QueueBranch, head: str) -> bool | None:
    """None when the branch is not where it was last found."""
    if known.frozen is not None and known.pushed == head:
        return False
    return True if known.head == head and known.frozen is None else None


def take_note(tx: Tx, swarm: Swarm, head: str, moved: Moved | None) -> None:
    """The branch as it is found; `moved` none: for the first time. Nothing is written when somebody was faster."""
    known = tx.queue_branch(swarm.id)
    if known is None or moved is None:
        tx.set_queue_branch(swarm.id, known or QueueBranch(head))
        return
    if known.head != moved.before or may_land(known, head) is not None:
        return
    data: dict[str, object] = {"from": moved.before, "to": head, "author": moved.author, "subject": moved.subject}
    if known.head == head:
        tx.set_queue_branch(swarm.id, QueueBranch(head, pushed=head))  # it may never have been proved
        tx.append(swarm.id, NewEvent("queue.thawed", "platform", data))
    elif moved.forward:
        tx.set_queue_branch(swarm.id, QueueBranch(head, pushed=head))
        tx.append(swarm.id, NewEvent("queue.pushed", "platform", data))
    else:
        frozen = (
            f"the branch was moved to {head[:10]} by {moved.author}, which {moved.before[:10]} is no part of: put it back, or push"
            " a commit on top of it if that is meant"
        )
        tx.set_queue_branch(swarm.id, replace(known, pushed=head, frozen=frozen))
        tx.append(swarm.id, NewEvent("queue.frozen", "platform", {**data, "reason": frozen}))


def landed(tx: Tx, swarm: Swarm, head: str) -> None:
    """What was pushed is proved with it: the candidate that passed holds it."""
    tx.set_queue_branch(swarm.id, QueueBranch(head))


def freeze_red(tx: Tx, swarm: Swarm, moved: Moved, failed: str) -> None:
    """The gates fail on what was pushed, without any change of ours: no change is to blame, and none can land."""
    known = tx.queue_branch(swarm.id)
    if known is None or known.pushed != moved.head:
        return
    frozen = f"{failed} fails on the branch since {moved.head[:10]}, pushed by {moved.author} ({moved.subject}): push a commit that mends it"
    tx.set_queue_branch(swarm.id, replace(known, frozen=frozen))
    data: dict[str, object] = {"to": moved.head, "author": moved.author, "subject": moved.subject, "reason": frozen}
    tx.append(swarm.id, NewEvent("queue.frozen", "platform", data))
