"""What the result of a merge queue's run says: checked on the repository, then written down for the changes it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from swarmworks.base.ids import ChangeId, WorkId
from swarmworks.domain.change import Change, ChangeEvent
from swarmworks.domain.event import NewEvent
from swarmworks.domain.gate import GateResult, GateStage
from swarmworks.domain.rejection import Rejection, RejectionKind
from swarmworks.domain.swarm import Swarm
from swarmworks.git.protocol import Hub
from swarmworks.policy.queueing import Run, Verdict, continues
from swarmworks.policy.rejections import could_not_run, from_conflict, from_gates, judge
from swarmworks.policy.required import at_stage
from swarmworks.service import health, parking
from swarmworks.service.attempts import ask_a_person, blameless, fails_on_the_branch, gives_up, reject
from swarmworks.service.landing_record import results_event
from swarmworks.service.parking import Seen
from swarmworks.service.queue_branch import Moved, freeze_red
from swarmworks.service.queue_facts import required_of
from swarmworks.store.protocol import GateRun, Reader, Tx
from swarmworks.wire.config_merge import MergeSection
from swarmworks.wire.options import from_json
from swarmworks.wire.work import BuildResult, BuildWork

MOST_REBUILDS = 3
"""How often a change by itself is built whose gates could not run, before a person is asked."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What the repository shows: `objections` against single changes, `mismatch` against the result as a whole."""

    head: str | None
    mismatch: str | None = None
    objections: Mapping[ChangeId, str] = field(default_factory=dict[ChangeId, str])
    seen: Mapping[ChangeId, Seen] = field(default_factory=dict[ChangeId, Seen])


@dataclass(frozen=True, slots=True)
class Member:
    """A change that a run is about: the parked one it carries, the commit it was merged onto, what it became there, and the
    project's rules for conflicts.
    """

    change: Change
    parked: Change | None
    onto: str
    commit: str
    rules: MergeSection


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a failure besides the results: what the repository shows of the change, the tree that was judged, the head
    of the branch, and the push to it that no candidate has passed on yet.
    """

    seen: Seen
    tree: str
    head: str
    push: Moved | None = None


def examine(hub: Hub, ref: str, asked: BuildWork, result: BuildResult, members: Sequence[Member]) -> Examined:
    """Blocks: call it outside the transaction."""
    head = hub.resolve(ref)
    if result.status != "built" or result.candidate is None:
        return Examined(head)
    if result.candidate != asked.candidate or result.target != asked.target:
        return Examined(head, mismatch="the candidate is not the one that was to be judged")
    if hub.tree_of(asked.candidate) != result.tree:
        return Examined(head, mismatch="the candidate is not the tree that the gates judged")
    objections = {one.change.id: lost for one in members if (lost := _lost(hub, one, result.tree)) is not None}
    seen = {one.change.id: look_at(hub, asked, one, asked.candidate) for one in members}
    return Examined(head, objections=objections, seen=seen)


def _lost(hub: Hub, member: Member, tree: str) -> str | None:
    """What a silent revert looks like: lines of the change that are not in what lands, or lines that landed since it began and
    that merging it took away. A clean merge does neither.
    """
    change = member.change
    if lost := hub.kept_lines(change.base, change.head, tree):
        return f"lines of the change are missing from the merged tree in {', '.join(lost[:5])}"
    if change.base == member.onto:
        return None
    if lost := hub.kept_lines(change.base, member.onto, member.commit):
        return f"lines that landed before are missing from the merged tree in {', '.join(lost[:5])}"
    return None


def look_at(hub: Hub, asked: BuildWork, member: Member, tree: str) -> Seen:
    if len(asked.members) != 1:
        return Seen()
    return parking.look(hub, asked.task, member.change, member.parked, tree, member.rules)


def settle_result(tx: Tx, swarm: Swarm, asked: BuildWork, result: BuildResult, found: Examined, now: datetime) -> None:
    """End the run with its verdict, or close it where it has none. What speaks against one change alone rejects that one."""
    run = tx.open_run(asked.work_id)
    members = [tx.change(name) for name in asked.members]
    if run is None or run.verdict is not None:
        return
    if result.status == "conflict" or found.mismatch is not None:
        why = found.mismatch or "the worker found a conflict in a candidate that is merged already"
        _turn_down(tx, run, members, why if result.status != "conflict" else None, result, asked)
        return
    failed, unknown = _judged(swarm, tx, members, result.results)
    for change in members:
        tx.append(swarm.id, results_event(change, result))
    if unknown and not failed and len(members) > 1:
        tx.end_run(
            asked.work_id, Verdict.FAILED, sure=False
        )  # halved, so that one whose gates cannot run stops itself only
        return
    for place, change in enumerate(members):
        keys = result.cache_keys if place == 0 else {}
        tx.record_gates(GateRun(change.id, GateStage.CANDIDATE, result.tree, result.results, now), keys)
    if failed:
        tx.end_run(asked.work_id, Verdict.FAILED, sure=True)
    elif unknown:
        tx.close_runs([run.id])
        for change in members:
            _could_not_run(tx, swarm, change, unknown, result)
    elif turned := _objected(tx, swarm, members, result, found, asked):
        tx.close_runs([run.id])
        _give_back(tx, members, turned, "another change of its group was turned down")
    else:
        tx.end_run(asked.work_id, Verdict.PASSED, sure=False)


def reject_guilty(tx: Tx, swarm: Swarm, change: Change, run: Run, shown: Evidence) -> bool:
    """The change that `run` shows to be at fault. False when what failed fails on what somebody pushed as well: the change goes
    back into the queue, which stands still until that is mended.
    """
    base = (run.base, *run.commits)[-2]
    runs = [one for one in tx.gate_runs(change.id) if one.stage == GateStage.CANDIDATE and one.tree == shown.tree]
    failed, _ = _judged(swarm, tx, [change], runs[-1].results if runs else ())
    if shown.seen.weakened:
        reject(tx, change, parking.rejection_of_weakened(shown.seen.weakened, tree=shown.tree, base=base))
    elif not failed:  # a gate that only others of its group have to pass
        tx.close_runs([run.id])
        give_back(tx, change, "what failed was for others of its group to pass")
        return False
    elif not continues(run, shown.head) and fails_on_the_branch(failed):
        tx.close_runs([run.id])
        give_back(tx, change, "what fails fails on the branch as it was as well, which has moved on")
        return False
    elif shown.push is not None and fails_on_the_branch(failed):
        tx.close_runs([run.id])
        give_back(tx, change, "what fails fails on the branch as well")
        freeze_red(tx, swarm, shown.push, ", ".join(result.gate for result in failed))
        return False
    elif (mends := health.looked_after(tx, change, failed, tree=shown.tree, base=base)) is not None:
        tx.close_runs([run.id])
        give_back(tx, change, f"what fails fails for other tasks too: it waits for {mends}")
        return False
    elif parking.parks(tx, change, shown.seen, failed):
        parking.park(tx, change, failed, tree=shown.tree, base=base)
    else:
        free = blameless(tx, change, failed)
        reject(tx, change, from_gates(failed, tree=shown.tree, base=base), final=gives_up(tx, change), free=free)
    return True


def give_back(tx: Tx, change: Change, why: str) -> None:
    tx.move_change(change.id, ChangeEvent.RETURN)
    data = {"change": change.id, "reason": why}
    tx.append(change.swarm_id, NewEvent("change.returned", "platform", data, change.task_id, change.session_id))


def reject_for(tx: Tx, change: Change, reason: str) -> None:
    """Building it again would end the same way, so it costs an attempt."""
    reject(tx, change, Rejection(RejectionKind.STALE, reason, base=change.base))


def _judged(
    swarm: Swarm, reader: Reader, members: Sequence[Change], results: Sequence[GateResult]
) -> tuple[list[GateResult], list[str]]:
    """As `judge`, by what any of the changes requires."""
    definitions = from_json(swarm.options).config.gate_definitions()
    tasks = [reader.task(swarm.id, change.task_id).planned for change in members]
    required = frozenset[str]().union(*(required_of(swarm, task) for task in tasks))
    return judge(results, at_stage(required, definitions, GateStage.CANDIDATE))


def _objected(
    tx: Tx, swarm: Swarm, members: Sequence[Change], result: BuildResult, found: Examined, asked: BuildWork
) -> set[ChangeId]:
    turned: set[ChangeId] = set()
    for change in members:
        task = tx.task(swarm.id, change.task_id).planned
        seen = found.seen.get(change.id, Seen())
        lost = seen.weakened or parking.not_run(tx, parking.parked_change(tx, swarm.id, task), result.results)
        if lost:
            reject(tx, change, parking.rejection_of_weakened(lost, tree=result.tree, base=asked.target))
        elif change.id in found.objections:
            reject_for(tx, change, found.objections[change.id])
        else:
            continue
        turned.add(change.id)
    return turned


def _turn_down(
    tx: Tx, run: Run, members: Sequence[Change], why: str | None, result: BuildResult, asked: BuildWork
) -> None:
    """A result that is not about the candidate: no verdict. A single change is charged, so that it does not go on for ever."""
    if len(members) > 1:
        tx.end_run(WorkId(run.id), Verdict.FAILED, sure=False)
        return
    tx.close_runs([run.id])
    for change in members:
        if why is not None:
            reject_for(tx, change, why)
        else:
            reject(tx, change, from_conflict(result.conflict_paths, result.conflict_detail, base=asked.target))


def _give_back(tx: Tx, members: Sequence[Change], but: set[ChangeId], why: str) -> None:
    for change in members:
        if change.id not in but:
            give_back(tx, change, why)


def _could_not_run(tx: Tx, swarm: Swarm, change: Change, unknown: list[str], result: BuildResult) -> None:
    """No fault of the change's: built again, and after that a person is asked. Costs no attempt."""
    runs = [run for run in tx.gate_runs(change.id) if run.stage == GateStage.CANDIDATE]
    judged = [_judged(swarm, tx, [change], run.results) for run in runs]
    if sum(1 for failed, unsaid in judged if unsaid and not failed) < MOST_REBUILDS:
        give_back(tx, change, f"gates could not run: {', '.join(unknown)}")
        return
    ask_a_person(tx, change, could_not_run(unknown, result.results, tree=result.tree, base=result.target))
