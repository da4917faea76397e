"""The life of a swarm: created from a plan, stopped, resumed, and ended when there is nothing left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from swarmworks.base.errors import ConflictError, RejectedError
from swarmworks.base.ids import IdSource, SwarmId
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.event import NewEvent
from swarmworks.domain.lease import WorkState
from swarmworks.domain.session import SessionState
from swarmworks.domain.swarm import StopReason, Swarm, SwarmEvent, SwarmState
from swarmworks.domain.task import SATISFIED, TaskEvent, TaskState
from swarmworks.git.protocol import Hub
from swarmworks.policy import capability, staffing
from swarmworks.policy.life import LifeFacts, verdict
from swarmworks.policy.lint import errors, lint
from swarmworks.policy.order import rank
from swarmworks.service.scheduling import purse
from swarmworks.store.protocol import NewSwarm, Reader, Store, Tx
from swarmworks.wire.api import CreateSwarm, ResumeSwarm
from swarmworks.wire.options import SwarmOptions, from_json, to_json
from swarmworks.wire.planfile import TASK_ID_MEND, is_task_id

PLATFORM = "platform"


class Swarms:
    """`least` gives the headroom a model's smallest useful call needs."""

    def __init__(self, store: Store, hub: Hub, ids: IdSource, least: Callable[[str], Amount]) -> None:
        self._store = store
        self._hub = hub
        self._ids = ids
        self._least = least

    async def create(self, request: CreateSwarm) -> Swarm:
        """Bring the base commit into the hub, make the integration branch, write the swarm down. One swarm of a project
        runs at a time on one machine: ConflictError names the one that is still open.
        """
        _check(request)
        await self._store.read(lambda reader: _refuse_second(reader, request.project))
        await asyncio.to_thread(self._hub.import_commit, Path(request.repository), request.base)
        swarm_id = SwarmId(self._ids.new("swm"))
        ref = f"refs/heads/swarm/{swarm_id}"
        if not await asyncio.to_thread(self._hub.update_ref, ref, request.base, None):
            raise ConflictError(f"{ref} exists already", where=str(self._hub.path))
        try:
            return await self._write(request, swarm_id, ref)
        except BaseException:
            await asyncio.to_thread(self._hub.delete_ref, ref)
            raise

    async def _write(self, request: CreateSwarm, swarm_id: SwarmId, ref: str) -> Swarm:
        config = request.config
        options = SwarmOptions(config=config, model=request.model, agents=request.agents)
        new = NewSwarm(
            id=swarm_id,
            project=request.project,
            plan=request.plan,
            ranks=rank(request.plan),
            integration_ref=ref,
            base=request.base,
            options=to_json(options),
            limit=Limit(request.budget_nano_usd, request.budget_tokens),
            task_limit=Limit(config.budget.task_nano_usd, None),
        )

        def write(tx: Tx) -> Swarm:
            _refuse_second(tx, request.project)
            tx.set_agents(request.project, staffing.staff(request.plan, request.agents, request.project))
            swarm = tx.insert_swarm(new)
            data = {
                "plan": request.plan.id,
                "tasks": len(request.plan.tasks),
                "agents": request.agents,
                "model": request.model,
                "base": request.base,
                "limit_nano_usd": request.budget_nano_usd,
                "limit_tokens": request.budget_tokens,
                "gates": "none" if config.gates.explicitly_none else "configured",
            }
            tx.append(swarm_id, NewEvent("swarm.created", PLATFORM, data))
            return swarm

        return await self._store.transact(write)

    async def stop(self, swarm_id: SwarmId, reason: StopReason, actor: str) -> Swarm:
        def write(tx: Tx) -> Swarm:
            swarm = tx.move_swarm(swarm_id, SwarmEvent.STOP, reason=reason)
            tx.append(swarm_id, NewEvent("swarm.stopping", actor, {"reason": str(reason)}))
            return swarm

        return await self._store.transact(write)

    async def resume(self, swarm_id: SwarmId, request: ResumeSwarm, actor: str) -> Swarm:
        """Go on after a stop, a crash or a block; with a new limit when one is given, with blocked tasks tried again
        when asked. A swarm that is running already (after a crash of the control plane) just goes on.
        """

        def write(tx: Tx) -> Swarm:
            swarm = tx.swarm(swarm_id)
            if swarm.state is SwarmState.LANDED:
                raise ConflictError(f"swarm {swarm_id} has landed: there is nothing to resume")
            _refuse_second(tx, swarm.project, but=swarm_id)
            tx.set_agents(swarm.project, staffing.staff(swarm.plan, from_json(swarm.options).agents, swarm.project))
            purse.reopen(tx, swarm_id)
            if request.budget_nano_usd is not None or request.budget_tokens is not None:
                limit = tx.account(swarm.account_id).limit
                nano = request.budget_nano_usd if request.budget_nano_usd is not None else limit.nano_usd
                tokens = request.budget_tokens if request.budget_tokens is not None else limit.tokens
                tx.raise_limit(swarm.account_id, Limit(nano, tokens))
            if request.retry_blocked:
                for task in tx.tasks(swarm_id):
                    if task.state is TaskState.BLOCKED:
                        tx.move_task(swarm_id, task.id, TaskEvent.RETRY)
            if swarm.state is not SwarmState.RUNNING:
                swarm = tx.move_swarm(swarm_id, SwarmEvent.RESUME)
            data = {"limit_nano_usd": request.budget_nano_usd, "limit_tokens": request.budget_tokens}
            tx.append(swarm_id, NewEvent("swarm.resumed", actor, data))
            return swarm

        return await self._store.transact(write)

    async def settle(self) -> bool:
        """The chore: move every open swarm whose time has come. True when one moved."""
        open_swarms = await self._store.read(_open_swarms)
        moved = False
        for swarm_id in open_swarms:
            moved |= await self._store.transact(lambda tx, one=swarm_id: self._settle_one(tx, one))
        return moved

    def _settle_one(self, tx: Tx, swarm_id: SwarmId) -> bool:
        swarm = tx.swarm(swarm_id)
        if swarm.state not in {SwarmState.RUNNING, SwarmState.STOPPING}:
            return False
        decision = verdict(self._facts(tx, swarm))
        if decision is None:
            return False
        event, reason = decision
        tx.move_swarm(swarm_id, event, reason=reason)
        name = {
            SwarmEvent.LAND: "swarm.landed",
            SwarmEvent.STICK: "swarm.blocked",
            SwarmEvent.STOP: "swarm.stopping",
            SwarmEvent.HALT: "swarm.stopped",
        }[event]
        tx.append(swarm_id, NewEvent(name, PLATFORM, {"reason": reason or swarm.reason or ""}))
        return True

    def _facts(self, reader: Reader, swarm: Swarm) -> LifeFacts:
        options = from_json(swarm.options)
        counts = reader.task_counts(swarm.id)
        active = reader.sessions(swarm.id, states=(SessionState.CLAIMED, SessionState.RUNNING))
        works = reader.works(swarm_id=swarm.id, states=(WorkState.LEASED,))
        done = sum(counts.get(state, 0) for state in (*SATISFIED, TaskState.CANCELLED))
        moving = sum(counts.get(s, 0) for s in (TaskState.RUNNING, TaskState.REVIEW, TaskState.QUEUED))
        return LifeFacts(
            state=swarm.state,
            tasks=sum(counts.values()),
            done=done,
            moving=moving,
            ready=counts.get(TaskState.READY, 0),
            blocked=counts.get(TaskState.BLOCKED, 0),
            sessions=len(active),
            leased=len(works),
            affordable=purse.affordable(reader, swarm, self._least(options.model)),
        )


def _check(request: CreateSwarm) -> None:
    """What can be refused before anything is touched. RejectedError says which, and how to mend it."""
    reason = capability.refusal(request.model, request.plan)
    if reason is not None:
        raise RejectedError(
            reason,
            where=f"--model {request.model}",
            mend="name a real model, such as --model openai:gpt-5, or change the specification's architecture",
        )
    for task in request.plan.tasks:
        if not is_task_id(task.id):
            raise RejectedError(f"{task.id[:120]!r} cannot be a task's id", where="the plan", mend=TASK_ID_MEND)
    found = errors(lint(request.plan))
    if found:
        first, more = found[0], len(found) - 1
        raise RejectedError(
            f"task {first.task or '-'}: {first.what}" + (f" (and {more} more)" if more else ""),
            where="the plan",
            mend=f"{first.mend}; `swarm check` shows all of them",
        )


def _refuse_second(reader: Reader, project: str, but: SwarmId | None = None) -> None:
    for other in reader.swarms(project):
        if other.id != but and other.state in {SwarmState.RUNNING, SwarmState.STOPPING}:
            raise ConflictError(
                f"swarm {other.id} of this project is still {other.state}",
                mend="resume it with `swarm resume`, or end it with `swarm stop`",
            )


def _open_swarms(reader: Reader) -> list[SwarmId]:
    return [s.id for s in reader.swarms() if s.state in {SwarmState.RUNNING, SwarmState.STOPPING}]
