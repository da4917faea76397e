"""The life of a swarm: created from a plan, stopped, resumed, and ended when there is nothing left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from swarmworks.base.clock import Clock
from swarmworks.base.errors import ConflictError, RejectedError
from swarmworks.base.ids import IdSource, SwarmId
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.event import NewEvent
from swarmworks.domain.lease import WorkState
from swarmworks.domain.plan import PLAN
from swarmworks.domain.question import QuestionState
from swarmworks.domain.review import Review
from swarmworks.domain.session import SessionState
from swarmworks.domain.swarm import OPEN, StopReason, Swarm, SwarmEvent, SwarmState
from swarmworks.domain.task import SATISFIED, TaskEvent, TaskState
from swarmworks.git.protocol import Hub
from swarmworks.policy import capability, staffing
from swarmworks.policy.admit import overlaps
from swarmworks.policy.ceilings import overestimated, too_small
from swarmworks.policy.life import LifeFacts, verdict
from swarmworks.policy.lint import errors, lint
from swarmworks.policy.order import rank
from swarmworks.policy.planning.fit import unknown_gates
from swarmworks.policy.reviewing import ReviewFacts, Waiting, may_decide
from swarmworks.policy.tiers import NO_MODEL
from swarmworks.service import review_sessions, reviews, swarm_time
from swarmworks.service.change_reviews import waits_for_people
from swarmworks.service.plan_reviews import plan_facts, plan_hold, plan_subject
from swarmworks.service.scheduling import purse
from swarmworks.service.staffing import staff_of
from swarmworks.store.protocol import NewSwarm, Reader, Store, Tx
from swarmworks.wire.api import CreateSwarm, ResumeSwarm
from swarmworks.wire.config import COMMAND_RUNTIME
from swarmworks.wire.options import SwarmOptions, from_json, to_json
from swarmworks.wire.planfile import TASK_ID_MEND, is_task_id

PLATFORM = "platform"


class Swarms:
    """`least` gives the headroom a model's smallest useful call needs; `usable` raises when a runtime (its name) and a model
    cannot work together here.
    """

    def __init__(
        self,
        store: Store,
        hub: Hub,
        ids: IdSource,
        clock: Clock,
        least: Callable[[str], Amount],
        usable: Callable[[str, str], None] = lambda _runtime, _model: None,
    ) -> None:
        self._clock = clock
        self._store = store
        self._hub = hub
        self._ids = ids
        self._least = least
        self._usable = usable

    async def create(self, request: CreateSwarm, actor: str = PLATFORM) -> Swarm:
        """Bring the base commit into the hub, make the integration branch, write the swarm down. One swarm of a project
        runs at a time on one machine: ConflictError names the one that is still open.
        """
        if request.plan.is_mechanical:
            request = request.model_copy(
                update={"model": NO_MODEL, "kinds": {}, "runtime": COMMAND_RUNTIME, "runtimes": {}}
            )
        _check(request)
        _check_ceilings(request, self._least(request.model))
        await self._check_programs(request)
        await self._store.read(lambda reader: _refuse_second(reader, request.project))
        await asyncio.to_thread(self._hub.import_commit, Path(request.repository), request.base)
        swarm_id = SwarmId(self._ids.new("swm"))
        ref = f"refs/heads/swarm/{swarm_id}"
        if not await asyncio.to_thread(self._hub.update_ref, ref, request.base, None):
            raise ConflictError(f"{ref} exists already", where=str(self._hub.path))
        try:
            facts = await asyncio.to_thread(plan_facts, self._hub, request.base)
        except BaseException:
            await asyncio.to_thread(self._hub.delete_ref, ref)
            raise
        try:
            return await self._write(request, swarm_id, ref, actor, facts)
        except RejectedError:  # of any other it is not known whether the swarm is there: then it must have its branch
            await asyncio.to_thread(self._hub.delete_ref, ref)
            raise

    async def _check_programs(self, request: CreateSwarm) -> None:
        """Every program that a task of the plan is done by, with the model that it asks."""
        pairs = set(_options(request).pairs_of(request.plan))
        await asyncio.gather(*(asyncio.to_thread(self._usable, runtime, model) for runtime, model in pairs))

    async def _write(self, request: CreateSwarm, swarm_id: SwarmId, ref: str, actor: str, facts: ReviewFacts) -> Swarm:
        config = request.config
        new = NewSwarm(
            id=swarm_id,
            project=request.project,
            plan=request.plan,
            ranks=rank(request.plan),
            integration_ref=ref,
            base=request.base,
            options=to_json(_options(request)),
            limit=Limit(request.budget_nano_usd, request.budget_tokens, config.limits.swarm_calls),
            task_limit=config.task_limit(),
            agent_limit=config.agent_limit(),
        )

        def write(tx: Tx) -> Swarm:
            tx.hold_project(request.project)
            _refuse_second(tx, request.project)
            tx.set_agents(
                request.project,
                staffing.staff(request.plan, request.agents, request.project, request.config.agents.roles),
            )
            swarm = tx.insert_swarm(new)
            data = {
                "plan": request.plan.id,
                "tasks": len(request.plan.tasks),
                "agents": request.agents,
                "model": request.model,
                "runtime": request.runtime,
                "runtimes": request.runtimes,
                "base": request.base,
                "limit_nano_usd": request.budget_nano_usd,
                "limit_tokens": request.budget_tokens,
                "gates": "none" if config.gates.explicitly_none else "configured",
                "review": "none" if config.review.explicitly_none else "configured",
            }
            tx.append(swarm_id, NewEvent("swarm.created", actor, data))
            if any(task.kind != PLAN for task in request.plan.tasks):  # what only makes a plan is shown as a plan
                self._ask_about_plan(tx, swarm_id, facts, actor, request.approved)
            return swarm

        return await self._store.transact(write)

    def _ask_about_plan(self, tx: Tx, swarm_id: SwarmId, facts: ReviewFacts, actor: str, approved: str | None) -> None:
        """What the person at it said when the plan was shown counts at once; a gate that asks somebody else stays open."""
        found = reviews.proceed(tx, self._ids, plan_subject(swarm_id), facts)
        while approved is not None and isinstance(found, Waiting) and may_decide(found.review.deciders, actor):
            reviews.decide(tx, found.review.id, approve=True, actor=actor, reason=approved)
            found = reviews.proceed(tx, self._ids, plan_subject(swarm_id), facts)

    async def stop(self, swarm_id: SwarmId, reason: StopReason, actor: str) -> Swarm:
        def write(tx: Tx) -> Swarm:
            swarm = tx.move_swarm(swarm_id, SwarmEvent.STOP, reason=reason)
            tx.append(swarm_id, NewEvent("swarm.stopping", actor, {"reason": str(reason)}))
            review_sessions.set_aside(tx, swarm_id, f"the swarm stops: {reason}")
            return swarm

        return await self._store.transact(write)

    async def pause(self, swarm_id: SwarmId, actor: str) -> Swarm:
        """No new sessions; those under way go on, and what they hand in is judged and lands. ConflictError unless it runs."""

        def write(tx: Tx) -> Swarm:
            swarm = tx.move_swarm(swarm_id, SwarmEvent.PAUSE)
            tx.append(swarm_id, NewEvent("swarm.paused", actor, {}))
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
            tx.hold_project(swarm.project)
            _refuse_second(tx, swarm.project, but=swarm_id)
            tx.set_agents(swarm.project, staff_of(swarm))
            purse.reopen(tx, swarm_id)
            swarm_time.begin_anew(tx, swarm_id, self._clock.now())
            _raise(tx, swarm, request)
            if request.retry_blocked:
                _retry_blocked(tx, swarm_id, actor)
            if swarm.state is not SwarmState.RUNNING:
                swarm = tx.move_swarm(swarm_id, SwarmEvent.RESUME)
            data = {
                "limit_nano_usd": request.budget_nano_usd,
                "limit_tokens": request.budget_tokens,
                "limit_calls": request.budget_calls,
            }
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

    async def put_to_rest(self, swarm_id: SwarmId) -> bool:
        """Whether nothing of a swarm that stops is under way any more."""

        def write(tx: Tx) -> bool:
            self._settle_one(tx, swarm_id)
            return tx.swarm(swarm_id).state is not SwarmState.STOPPING

        return await self._store.transact(write)

    def _settle_one(self, tx: Tx, swarm_id: SwarmId) -> bool:
        swarm = tx.swarm(swarm_id)
        if swarm.state not in OPEN:
            return False
        noted = purse.note_pause(tx, swarm, self._least(from_json(swarm.options).model))
        decision = verdict(self._facts(tx, swarm))
        if decision is None:
            return noted
        event, reason = decision
        tx.move_swarm(swarm_id, event, reason=reason)
        name = {
            SwarmEvent.LAND: "swarm.landed",
            SwarmEvent.STICK: "swarm.blocked",
            SwarmEvent.STOP: "swarm.stopping",
            SwarmEvent.HALT: "swarm.stopped",
        }[event]
        tx.append(swarm_id, NewEvent(name, PLATFORM, {"reason": reason or swarm.reason or ""}))
        if event is SwarmEvent.STOP:
            review_sessions.set_aside(tx, swarm_id, f"the swarm stops: {reason}")
        return True

    def _facts(self, reader: Reader, swarm: Swarm) -> LifeFacts:
        options = from_json(swarm.options)
        counts = reader.task_counts(swarm.id)
        active = reader.sessions(swarm.id, states=(SessionState.CLAIMED, SessionState.RUNNING))
        works = reader.works(swarm_id=swarm.id, states=(WorkState.LEASED,))
        waiting = waits_for_people(reader, swarm.id)
        done = sum(counts.get(state, 0) for state in (*SATISFIED, TaskState.CANCELLED))
        moving = sum(counts.get(s, 0) for s in (TaskState.RUNNING, TaskState.REVIEW, TaskState.QUEUED))
        ready = counts.get(TaskState.READY, 0)
        return LifeFacts(
            state=swarm.state,
            tasks=sum(counts.values()),
            done=done,
            moving=moving,
            ready=_startable(reader, swarm.id, ready, () if active or moving > len(waiting) else waiting),
            blocked=counts.get(TaskState.BLOCKED, 0),
            parked=counts.get(TaskState.PARKED, 0),
            sessions=len(active),
            leased=len(works),
            affordable=purse.affordable(reader, swarm, self._least(options.model)),
            reviews=tuple(review.id for review in waiting),
            late=self._is_late(reader, swarm, options),
            plan=plan_hold(reader, swarm.id),
        )

    def _is_late(self, reader: Reader, swarm: Swarm, options: SwarmOptions) -> bool:
        most_s = options.config.limits.swarm_wall_s
        if most_s is None:
            return False
        return (self._clock.now() - swarm_time.runs_since(reader, swarm)).total_seconds() >= most_s


def _options(request: CreateSwarm) -> SwarmOptions:
    return SwarmOptions(
        config=request.config,
        model=request.model,
        agents=request.agents,
        runtime=request.runtime,
        kinds=request.kinds,
        runtimes=request.runtimes,
    )


def _raise(tx: Tx, swarm: Swarm, request: ResumeSwarm) -> None:
    """What is not named stays as it was, bound or not."""
    asked = Limit(request.budget_nano_usd, request.budget_tokens, request.budget_calls)
    if asked.bounds_nothing:
        return
    limit = tx.totals(swarm.account_id).limit
    nano = limit.nano_usd if asked.nano_usd is None else asked.nano_usd
    tokens = limit.tokens if asked.tokens is None else asked.tokens
    calls = limit.calls if asked.calls is None else asked.calls
    tx.raise_limit(swarm.account_id, Limit(nano, tokens, calls))


def _retry_blocked(tx: Tx, swarm_id: SwarmId, actor: str) -> None:
    """What such a task asked is asked no more: its next session asks again, if it has to."""
    again = [task.id for task in tx.tasks(swarm_id, states=(TaskState.BLOCKED,))]
    for question in tx.questions(swarm_id, states=(QuestionState.OPEN,)):
        if question.task_id in again:
            tx.withdraw_question(question.id)
            data = {"question": question.id}
            tx.append(swarm_id, NewEvent("question.withdrawn", actor, data, question.task_id, question.session_id))
    for task_id in again:
        tx.move_task(swarm_id, task_id, TaskEvent.RETRY)
        tx.append(swarm_id, NewEvent("task.retried", actor, {"note": None, "model": None, "agent": None}, task_id))


def _check(request: CreateSwarm) -> None:
    """What can be refused before anything is touched. RejectedError says which, and how to mend it."""
    chain = request.config.models.chain(request.model)
    reason = next(filter(None, (capability.refusal(model, request.plan) for model in chain)), None)
    if reason is not None:
        raise RejectedError(
            reason,
            where=f"--model {request.model}",
            mend="name a real model, such as --model openai:gpt-5, or change the specification's architecture",
        )
    for task in request.plan.tasks:
        if not is_task_id(task.id):
            raise RejectedError(f"{task.id[:120]!r} cannot be a task's id", where="the plan", mend=TASK_ID_MEND)
    known = request.config.gate_names
    unknown = () if known is None else unknown_gates(request.plan, known)
    found = errors((*unknown, *lint(request.plan, exclusive=request.config.files.exclusive)))
    if found:
        first, more = found[0], len(found) - 1
        raise RejectedError(
            f"task {first.task or '-'}: {first.what}" + (f" (and {more} more)" if more else ""),
            where="the plan",
            mend=f"{first.mend}; `swarm check` shows all of them",
        )


def _check_ceilings(request: CreateSwarm, least: Amount) -> None:
    swarm = Limit(request.budget_nano_usd, request.budget_tokens)
    ceilings = {"the budget of the swarm": swarm, **request.config.ceilings()}
    per_task = {"budget.task_tokens": request.config.task_limit()}
    found = [*too_small(least, request.model, ceilings), *overestimated(request.plan, per_task)]
    if found:
        where = f"task {found[0].task}" if found[0].task else "the budget"
        more = f" (and {len(found) - 1} more; `swarm check` shows all of them)" if len(found) > 1 else ""
        raise RejectedError(f"{found[0].what}{more}", where=where, mend=found[0].mend)


def _startable(reader: Reader, swarm_id: SwarmId, ready: int, waiting: Sequence[Review]) -> int:
    """Of the ready tasks, those whose files no task holds that only waits for a person. `waiting` is empty while anything
    moves: nothing is decided then, and every task would be read after every commit.
    """
    if not waiting or not ready:
        return ready
    holders = {review.task_id for review in waiting}
    held = [path for path, holder in reader.file_claims(swarm_id).items() if holder in holders]
    tasks = reader.tasks(swarm_id, states=(TaskState.READY,))
    return sum(1 for task in tasks if not any(overlaps(mine, theirs) for mine in task.planned.owns for theirs in held))


def _refuse_second(reader: Reader, project: str, but: SwarmId | None = None) -> None:
    for other in reader.swarms(project, states=OPEN):
        if other.id != but:
            raise ConflictError(
                f"swarm {other.id} of this project is still {other.state}",
                mend="resume it with `swarm resume`, or end it with `swarm stop`",
            )


def _open_swarms(reader: Reader) -> list[SwarmId]:
    return [swarm.id for swarm in reader.swarms(states=OPEN)]
