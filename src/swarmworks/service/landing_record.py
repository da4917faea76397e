"""What a landing leaves on record: the message of its commit, and the event that tells what the gates said of it."""

from __future__ import annotations

from swarmworks.domain.change import Change
from swarmworks.domain.event import NewEvent
from swarmworks.domain.gate import GateStage
from swarmworks.domain.swarm import Swarm
from swarmworks.policy.wording import paragraph, title
from swarmworks.service import parking
from swarmworks.service.resolving import written_by
from swarmworks.store.protocol import Reader
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire.work import BuildResult


def commit_message(reader: Reader, swarm: Swarm, change: Change) -> str:
    """The landed commit's message: what the task was, what the session says it did, and trailers for machines."""
    task = reader.task(swarm.id, change.task_id).planned
    session = written_by(reader, change)
    done = paragraph(handoff_wire.parse(change.handoff).done)
    trailers = {
        "Swarm-Task": task.id,
        "Swarm-Session": session.id,
        "Swarm-Agent": session.agent_id.rpartition("/")[2],
        "Swarm-Model": session.model,
        "Swarm-Plan": swarm.plan.id,
        "Swarm-Change": change.id,
        **({} if session.id == change.session_id else {"Swarm-Regenerated-By": change.session_id}),
        **parking.trailers(reader, swarm.id, task),
        **({} if task.reverts is None else {"Swarm-Reverts": task.reverts, "Swarm-Reverted": task.reverted}),
    }
    body = f"{done}\n\n" if done else ""
    return f"{title(task.title)}\n\n{body}" + "".join(f"{key}: {title(value)}\n" for key, value in trailers.items())


def results_event(change: Change, result: BuildResult) -> NewEvent:
    rows = [
        {"gate": one.gate, "outcome": str(one.outcome), "summary": one.summary[:300], "cached": one.cached}
        for one in result.results
    ]
    data: dict[str, object] = {
        "change": change.id,
        "stage": str(GateStage.CANDIDATE),
        "tree": result.tree,
        "candidate": result.candidate,
        "results": rows,
    }
    return NewEvent("gates.finished", "platform", data, change.task_id, change.session_id)
