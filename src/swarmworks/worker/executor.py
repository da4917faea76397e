"""What a worker does with each kind of leased work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from swarmworks.base.concurrency import end_all
from swarmworks.base.errors import LimitReachedError, SwarmworksError, UnavailableError
from swarmworks.base.ids import WorkId
from swarmworks.domain.gate import GateOutcome, GateResult, GateStage
from swarmworks.domain.session import SessionOutcome
from swarmworks.git.protocol import Conflicted
from swarmworks.git.removal import remove_tree
from swarmworks.wire.api import RegisteredWorker
from swarmworks.wire.work import (
    AnyResult,
    AnyWork,
    BuildResult,
    BuildWork,
    DeliveryResult,
    DeliveryWork,
    GatesResult,
    GatesWork,
    ReviewResult,
    ReviewWork,
    SessionResult,
    SessionWork,
)
from swarmworks.worker.briefing import brief
from swarmworks.worker.checking import Checker
from swarmworks.worker.context import COMMITTER, WorkerContext
from swarmworks.worker.environment import BuiltEnvironment
from swarmworks.worker.prompt import Prompt
from swarmworks.worker.reporting import EventReporter
from swarmworks.worker.reviewing import review
from swarmworks.worker.second_look import Judged, Results, look_again
from swarmworks.worker.seeding import MoreInConflictError
from swarmworks.worker.session import SessionRun

log = logging.getLogger(__name__)

Prepared = tuple[BuiltEnvironment, Prompt]
"""What a session needs before its agent can start."""


class Executor:
    def __init__(self, context: WorkerContext, checker: Checker) -> None:
        self._context = context
        self._checker = checker
        self._sessions: dict[WorkId, SessionRun] = {}
        self._stops: dict[WorkId, tuple[SessionOutcome, str]] = {}
        self._said: dict[WorkId, list[str]] = {}
        self._preparing: dict[WorkId, asyncio.Task[Prepared]] = {}

    def stop(self, work_id: WorkId, outcome: SessionOutcome, reason: str) -> None:
        """End a session; one that is still being prepared ends at once, before its agent starts."""
        self._stops.setdefault(work_id, (outcome, reason))
        if work_id in self._preparing:
            self._preparing[work_id].cancel()
        if work_id in self._sessions:
            self._sessions[work_id].stop(outcome, reason)

    def say(self, work_id: WorkId, texts: Sequence[str]) -> None:
        """A person's words to a session; one that is still being prepared hears them when its agent runs."""
        if work_id in self._sessions:
            self._sessions[work_id].say(texts)
        else:
            self._said.setdefault(work_id, []).extend(texts)

    def tell(self, work_id: WorkId, texts: Sequence[str]) -> None:
        """The platform's words to a session; one that is not running has nothing yet that they could be about."""
        if work_id in self._sessions:
            self._sessions[work_id].tell(texts)

    def hand_over(self, work_id: WorkId, reason: str) -> None:
        """A session is to hand over to a fresh one; one that is not running has said nothing yet."""
        if work_id in self._sessions:
            self._sessions[work_id].hand_over(reason)

    def keep_leftovers(self) -> None:
        """What an earlier process of this worker left behind, committed to the refs it was to be kept on; the next attempt finds
        it there. What cannot be committed keeps nobody from working. Scratch folders of gate runs hold no work.
        """
        context = self._context
        for copy in context.copies.existing():
            ref = copy.ref or f"refs/swarm/work/{copy.name}/left-over"
            message = f"Left over from an interrupted session of {copy.name}\n"
            try:
                head = context.copies.snapshot(copy, ref, message, COMMITTER, context.clock.now())
                log.info("kept what %s had written as %s", copy.name, head)
                context.copies.retire(copy)
            except (SwarmworksError, OSError) as error:
                log.warning("what %s had written could not be kept, it stays in %s: %s", copy.name, copy.path, error)
        for left in context.places.scratch.glob("*"):
            try:
                remove_tree(left)
            except SwarmworksError as error:
                log.warning("what a gate run left could not be removed: %s", error)

    async def run(self, work: AnyWork, me: RegisteredWorker) -> AnyResult:
        """A result whatever goes wrong here: work of which nothing is heard is given out again and again. SwarmworksError when it is
        nobody's here any more, or nobody can be told.
        """
        try:
            return await self._done(work, me)
        except SwarmworksError:
            raise
        except Exception as error:
            log.exception("%s %s met an error of ours", work.kind, work.work_id)
            return await self._broken(work, _ours(error))

    async def _broken(self, work: AnyWork, reason: str) -> AnyResult:
        error = UnavailableError(reason)
        match work:
            case SessionWork():
                return _unfinished(work, SessionOutcome.INFRASTRUCTURE, reason)
            case GatesWork():
                return GatesResult(tree="", results=await self._could_not_run(work, work.stage, error))
            case BuildWork():
                results = await self._could_not_run(work, GateStage.CANDIDATE, error)
                return BuildResult(status="built", target=work.target, results=results)
            case DeliveryWork():
                return DeliveryResult(status="failed", detail=reason)
            case ReviewWork():
                return ReviewResult(verdict="none", summary=reason)

    async def _done(self, work: AnyWork, me: RegisteredWorker) -> AnyResult:
        """What it names and cannot be brought is missed by who looks for it, and told as what cannot be done."""
        if not isinstance(work, SessionWork):
            await self._bring(work, me)
        match work:
            case SessionWork():
                return await self._session(work, me)
            case GatesWork():
                return await self._gates(work)
            case BuildWork():
                return await self._build(work)
            case DeliveryWork():
                return await self._delivery(work)
            case ReviewWork():
                return await review(work, self._context.hub, self._context.gateways)

    async def _bring(self, work: AnyWork, me: RegisteredWorker) -> None:
        try:
            await self._context.transport.bring(work, me)
        except SwarmworksError as error:
            log.warning("what %s names could not be brought: %s", work.work_id, error)

    async def _session(self, work: SessionWork, me: RegisteredWorker) -> SessionResult:
        reporter = EventReporter(self._context.client, work.session_id, me.worker_id, me.fence)
        reporting = asyncio.create_task(reporter.run())
        try:
            await self._context.transport.bring(work, me)
            return await self._prepared_session(work, reporter)
        except (SwarmworksError, OSError) as error:
            log.warning("session %s could not be run: %s", work.session_id, error)
            reason = f"the session could not be run: {_plain(error)}"
            return _unfinished(work, SessionOutcome.INFRASTRUCTURE, reason, self._kept(work))
        except Exception as error:
            log.exception("session %s met an error of ours", work.session_id)
            return _unfinished(work, SessionOutcome.INFRASTRUCTURE, _ours(error), self._kept(work))
        finally:
            self._sessions.pop(work.work_id, None)
            self._stops.pop(work.work_id, None)
            self._said.pop(work.work_id, None)
            reporter.close()
            await reporting

    async def _prepare(self, work: SessionWork) -> Prepared:
        environment = await self._checker.environment(work.swarm_id, work.base)
        config = await self._context.config(work.swarm_id)
        return environment, await asyncio.to_thread(
            brief, self._context.hub, work, config.role(work.task.role), config.merge
        )

    async def _prepared_session(self, work: SessionWork, reporter: EventReporter) -> SessionResult:
        """What is stopped while tools are being installed for it, for minutes, does not wait for them."""
        preparing = self._preparing[work.work_id] = asyncio.create_task(self._prepare(work))
        try:
            if work.work_id not in self._stops:
                await asyncio.wait([preparing])
        finally:
            del self._preparing[work.work_id]
            await end_all([preparing])
        if work.work_id in self._stops:
            return _unfinished(work, *self._stops[work.work_id])
        run = SessionRun(self._context, work, *preparing.result())
        self._sessions[work.work_id] = run
        run.say(self._said.pop(work.work_id, []))
        try:
            return await run.result(reporter)
        except LimitReachedError as error:  # it wrote too much: its own fault, and for its next attempt to mend
            return _unfinished(work, SessionOutcome.FAILED, _plain(error), run.kept)
        except MoreInConflictError as error:
            return _unfinished(work, SessionOutcome.FAILED, f"by now there are conflicts in {error}")

    def _kept(self, work: SessionWork) -> str | None:
        run = self._sessions.get(work.work_id)
        return None if run is None else run.kept

    async def _gates(self, work: GatesWork) -> GatesResult:
        try:
            tree = await asyncio.to_thread(self._context.hub.tree_of, work.head)
        except (SwarmworksError, OSError) as error:
            return GatesResult(tree="", results=await self._could_not_run(work, work.stage, error))
        results, keys = await self._judged(work, work.stage, work.head, tree, work.base)
        return GatesResult(tree=tree, results=results, cache_keys=keys)

    async def _build(self, work: BuildWork) -> BuildResult:
        try:
            return await self._candidate_judged(work)
        except (SwarmworksError, OSError) as error:
            results = await self._could_not_run(work, GateStage.CANDIDATE, error)
            return BuildResult(status="built", target=work.target, results=results)

    async def _candidate_judged(self, work: BuildWork) -> BuildResult:
        tree = await asyncio.to_thread(self._context.hub.tree_of, work.candidate)
        found = await self._judged(work, GateStage.CANDIDATE, work.candidate, tree, work.since)
        results, keys = await self._second_look(work, work.candidate, tree, work.since, found)
        return BuildResult(
            status="built",
            target=work.target,
            candidate=work.candidate,
            tree=tree,
            results=results,
            cache_keys=keys,
        )

    async def _second_look(self, work: BuildWork, candidate: str, tree: str, target: str, found: Results) -> Results:
        before = work.pushed or target
        branch = await asyncio.to_thread(self._context.hub.tree_of, before)
        judged, present = Judged(candidate, tree, target), Judged(before, branch, before)
        try:
            return await look_again(self._checker.check, work, judged, present, found)
        except* (SwarmworksError, OSError) as group:
            log.warning("a second look at %s was not possible: %s", work.task.id, group.exceptions[0])
        return found

    async def _delivery(self, work: DeliveryWork) -> DeliveryResult:
        hub = self._context.hub
        try:
            merged = await asyncio.to_thread(hub.merge, work.target, work.head)
            if isinstance(merged, Conflicted):
                tree = await self._added_to(work, merged)
                if tree is None:
                    return DeliveryResult(status="conflict", conflict_paths=merged.paths[:100])
            else:
                tree = merged.tree
            parents = [work.target, work.head]
            candidate = await asyncio.to_thread(
                hub.commit_tree, tree, parents, work.message, COMMITTER, COMMITTER, work.at
            )
        except (SwarmworksError, OSError) as error:
            return DeliveryResult(status="failed", detail=_plain(error))
        results, _ = await self._judged(work, GateStage.CANDIDATE, candidate, tree, work.target)
        return DeliveryResult(status="built", candidate=candidate, tree=tree, results=results)

    async def _added_to(self, work: DeliveryWork, conflict: Conflicted) -> str | None:
        """The merged tree where both sides only added, to files of which the project says so; None when that is not all."""
        union, hub = (await self._context.config(work.swarm_id)).merge.union, self._context.hub
        return await asyncio.to_thread(hub.united, work.target, work.head, conflict.paths, union=union, generated=())

    async def _judged(
        self, work: GatesWork | BuildWork | DeliveryWork, stage: GateStage, commit: str, tree: str, base: str
    ) -> tuple[tuple[GateResult, ...], dict[str, str]]:
        """The gates' results; when they could not even be started, each says so: that is no verdict on the change."""
        try:
            return await self._checker.check(work, stage, commit, tree, base)
        except* (SwarmworksError, OSError) as group:
            error = group.exceptions[0]
        return await self._could_not_run(work, stage, error), {}

    async def _could_not_run(
        self, work: GatesWork | BuildWork | DeliveryWork, stage: GateStage, error: BaseException
    ) -> tuple[GateResult, ...]:
        log.warning("gates of %s could not run: %s", work.task.id, error)
        summary = f"could not run: {_plain(error)}"[:500]
        names = await self._checker.required(work, stage)
        return tuple(GateResult(name, GateOutcome.COULD_NOT_RUN, summary) for name in sorted(names))


def _unfinished(work: SessionWork, outcome: SessionOutcome, reason: str, kept: str | None = None) -> SessionResult:
    """A session that did not come to its end. `kept` is what it had written; without it, its agent never started."""
    return SessionResult(outcome=outcome, reason=reason[:600], base=work.base, head=kept or work.base)


def _ours(error: Exception) -> str:
    return f"an error of the worker's own, its log says more: {type(error).__name__}"


def _plain(error: BaseException) -> str:
    """What happened first: a reader sees the beginning of a line."""
    if isinstance(error, SwarmworksError):
        return ", ".join(part for part in (error.what, error.mend, error.where) if part)
    return str(error)
