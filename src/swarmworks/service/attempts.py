"""What becomes of a task whose attempt failed, in its session or in its change: ready again, or blocked for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from swarmworks.domain.change import Change, ChangeEvent
from swarmworks.domain.event import NewEvent
from swarmworks.domain.gate import GateOutcome, GateResult
from swarmworks.domain.rejection import LOG_TAIL_BYTES, Rejection, RejectionKind
from swarmworks.domain.session import FREE, Session, SessionOutcome, SessionState
from swarmworks.domain.task import Task, TaskEvent
from swarmworks.policy.rejections import details, in_words
from swarmworks.policy.retry import after_failure, costs_an_attempt
from swarmworks.policy.tiers import NO_MODEL
from swarmworks.policy.wording import plain
from swarmworks.service import task_time
from swarmworks.store.protocol import Reader, Tx
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.options import from_json

MOST_REASON = 600
MOST_BLAMELESS = 2
MOST_RESOLUTIONS = 2
"""How often a conflict is resolved by the agent of the change, at no attempt's cost, before the task is done anew."""

MOST_NOTE = 2_000
MOST_FINDINGS = 10
"""Of a gate, beside those of the conflict."""


def conclude(
    tx: Tx, session: Session, outcome: SessionOutcome, reason: str | None, *, swarm_out_of_budget: bool = False
) -> None:
    """Once the session has ended with `outcome`. Writes the task's move and its event."""
    task = tx.task(session.swarm_id, session.task_id)
    why = plain(reason or "", MOST_REASON)
    free_before = _free_sessions(tx, session)
    costs = costs_an_attempt(outcome, swarm_out_of_budget=swarm_out_of_budget, free_before=free_before)
    left = _left_to_its_agent(task, session, why) if costs else None
    if costs and left is None:
        _failed(tx, task, session, f"the session ended {outcome}: {why or 'no reason was given'}")
        return
    config = from_json(tx.swarm(task.swarm_id).options).config
    if late := task_time.used_up(tx, task.swarm_id, task.id, config):
        tx.move_task(task.swarm_id, task.id, TaskEvent.EXHAUST, note=late, rejection=left)
        _say(tx, task, "task.blocked", {"reason": late})
        return
    tx.move_task(task.swarm_id, task.id, TaskEvent.REWORK, rejection=left)
    _say(tx, task, "task.returned", {"outcome": str(outcome), "reason": why})


def _left_to_its_agent(task: Task, session: Session, why: str) -> str | None:
    """Generated files conflict, and the project's own commands failed: the agent of the change is to resolve it. None when the
    session that failed was to do something else, and when its agent has resolved often enough.
    """
    told = _by_commands(task, session)
    if told is None or told.conflicts >= MOST_RESOLUTIONS:
        return None
    tail = f"{told.log_tail}\nThe files could not be made anew: {why}\n"[-LOG_TAIL_BYTES:]
    return rejection_wire.dump(replace(told, regenerates=False, conflicts=told.conflicts + 1, log_tail=tail))


def _by_commands(task: Task, session: Session) -> Rejection | None:
    """The conflict that `session` settled, or was to, without an agent; None when it did something else."""
    told = None if task.rejection is None else rejection_wire.parse(task.rejection)
    return told if told is not None and told.regenerates and session.model == NO_MODEL else None


def _not_its_agents(task: Task, session: Session, rejection: Rejection) -> Rejection | None:
    """What a gate has against files that were made anew, as the conflict that the agent is to resolve with that in mind: it has
    seen nothing of it. None of what is no such thing.
    """
    told = _by_commands(task, session)
    if told is None or rejection.kind not in {RejectionKind.GATE_FAILED, RejectionKind.SCOPE, RejectionKind.WEAKENED}:
        return None
    return replace(
        rejection,
        kind=RejectionKind.CONFLICT,
        summary=f"{told.summary}; made anew by command: {rejection.summary}",
        findings=(*rejection.findings[:MOST_FINDINGS], *told.findings),
    )


def reject(
    tx: Tx,
    change: Change,
    rejection: Rejection,
    *,
    actor: str = "platform",
    final: str | None = None,
    free: bool = False,
) -> None:
    """A change is turned down: it counts as an attempt (unless `free`), and the next one is told why. `final` says why no
    other attempt can help: the task is blocked at once, with these words.
    """
    task = tx.task(change.swarm_id, change.task_id)
    config = from_json(tx.swarm(change.swarm_id).options).config
    most = config.limits.attempts
    final = final or task_time.used_up(tx, change.swarm_id, change.task_id, config)
    final = final or _without(task, rejection)
    if final is None and (left := _not_its_agents(task, tx.session(change.session_id), rejection)) is not None:
        rejection = left
    conflicts, resolves = _after(task, change, rejection)
    free = free or bool(resolves)
    used = task.attempts + (0 if free else 1)
    event = after_failure(used, most) if final is None else TaskEvent.EXHAUST
    told = replace(
        rejection,
        attempts_left=max(0, most - used),
        conflicts=conflicts,
        resolves=resolves,
        regenerates=rejection.regenerates and bool(resolves),
    )
    blocked = event is TaskEvent.EXHAUST
    note = final or f"rejected {used} times; last: {in_words(told)}"
    tx.move_change(change.id, ChangeEvent.REJECT)
    tx.move_task(
        change.swarm_id,
        change.task_id,
        event,
        rejection=rejection_wire.dump(told),
        note=plain(note, MOST_NOTE) if blocked else None,
        count_attempt=not free,
    )
    data: dict[str, object] = {"change": change.id, "kind": str(told.kind), "summary": told.summary}
    data |= {"attempts_left": told.attempts_left}
    tx.append(change.swarm_id, NewEvent("change.rejected", actor, data, change.task_id, change.session_id))
    if blocked:
        reason: dict[str, object] = {"reason": final or told.summary, "attempts": used, "kind": str(told.kind)}
        reason |= {"change": change.id, "head": change.head, "findings": details(told)}
        tx.append(change.swarm_id, NewEvent("task.blocked", "platform", reason, change.task_id, change.session_id))


def _after(task: Task, change: Change, rejection: Rejection) -> tuple[int, str]:
    """How often the task's work has conflicted by now, and the change whose conflict the next attempt is to resolve; "" when it
    begins anew: it was no conflict, or resolving failed too often.
    """
    before = None if task.rejection is None else rejection_wire.parse(task.rejection)
    conflicts = 0 if before is None else before.conflicts
    if rejection.kind is not RejectionKind.CONFLICT:
        return conflicts, ""
    if rejection.regenerates and task.planned.reverts is None and conflicts < MOST_RESOLUTIONS:
        return conflicts, change.id  # it costs no agent's time, and for each the branch has moved
    resolves = before.resolves if before is not None and before.resolves else change.id
    return conflicts + 1, resolves if conflicts < MOST_RESOLUTIONS and task.planned.reverts is None else ""


def ask_a_person(tx: Tx, change: Change, rejection: Rejection) -> None:
    """What is no fault of the change's, and does not mend itself: its task is blocked, at no attempt's cost."""
    told = rejection_wire.dump(rejection)
    tx.move_change(change.id, ChangeEvent.REJECT)
    tx.move_task(change.swarm_id, change.task_id, TaskEvent.EXHAUST, rejection=told, note=rejection.summary)
    data: dict[str, object] = {"reason": rejection.summary, "change": change.id, "kind": str(rejection.kind)}
    tx.append(change.swarm_id, NewEvent("task.blocked", "platform", data, change.task_id, change.session_id))


def _without(task: Task, rejection: Rejection) -> str | None:
    """Of a task that takes a change back: another attempt does the same once more, unless it was merged with something else."""
    if task.planned.reverts is None or rejection.kind in {RejectionKind.STALE, RejectionKind.INFRASTRUCTURE}:
        return None
    return f"{task.planned.reverts} cannot be taken back as things are: {in_words(rejection)}"


def blameless(reader: Reader, change: Change, failed: Sequence[GateResult]) -> bool:
    """Whether everything that failed fails on the branch without the change as well. Believed a few times for each task, so
    that a branch that stays red does not keep its sessions going for ever.
    """
    if not fails_on_the_branch(failed):
        return False
    before = [one for one in reader.changes(change.swarm_id, task_id=change.task_id) if one.id != change.id]
    runs = (run for one in before for run in reader.gate_runs(one.id)[-1:])
    return sum(1 for run in runs if any(_on_the_branch(result) for result in run.results)) < MOST_BLAMELESS


def fails_on_the_branch(failed: Sequence[GateResult]) -> bool:
    """What only ran nothing beside it follows from it: a coverage gate has no report to read where the tests failed."""
    told = [result for result in failed if result.outcome is not GateOutcome.RAN_NOTHING] or failed
    return bool(told) and all(_on_the_branch(result) for result in told)


def _on_the_branch(result: GateResult) -> bool:
    return result.metrics.get("on_the_branch", 0.0) > 0


def gives_up(reader: Reader, change: Change) -> str | None:
    """What the agent of a `fix_bug` task says when it changed nothing because it holds the test itself to be wrong: that is
    for a person to decide, and no other attempt helps. None when it says no such thing.
    """
    task = reader.task(change.swarm_id, change.task_id).planned
    handoff = handoff_wire.parse(change.handoff)
    if task.supersedes is None or handoff.outcome != "nothing_to_do":
        return None
    said = plain(" ".join(handoff.done.split()), MOST_REASON)
    return f"its agent changed nothing, and says: {said or 'no reason was given'}. The tests of {task.supersedes} still fail"


def _free_sessions(reader: Reader, session: Session) -> int:
    ended = reader.sessions(session.swarm_id, task_id=session.task_id, states=(SessionState.ENDED,))
    return sum(1 for one in ended if one.outcome in FREE and one.id != session.id)


def _failed(tx: Tx, task: Task, session: Session, summary: str) -> None:
    config = from_json(tx.swarm(task.swarm_id).options).config
    most = config.limits.attempts
    late = task_time.used_up(tx, task.swarm_id, task.id, config)
    summary = f"{summary}; {late}" if late else summary
    event = TaskEvent.EXHAUST if late else after_failure(task.attempts + 1, most)
    rejection = Rejection(
        kind=RejectionKind.SESSION_FAILED,
        summary=summary,
        attempts_left=max(0, most - task.attempts - 1),
        base=session.base_commit,
    )
    tx.move_task(
        task.swarm_id,
        task.id,
        event,
        rejection=rejection_wire.dump(rejection),
        note=summary if event is TaskEvent.EXHAUST else None,
        count_attempt=True,
    )
    name = "task.blocked" if event is TaskEvent.EXHAUST else "task.rework"
    _say(tx, task, name, {"reason": summary, "attempts_left": rejection.attempts_left})


def _say(tx: Tx, task: Task, name: str, data: dict[str, object]) -> None:
    tx.append(task.swarm_id, NewEvent(name, "platform", data, task.id))
