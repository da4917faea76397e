"""One session, from its working copy to its result: prompt, sandbox, agent, limits, and the work kept whatever happens.

What the agent writes is committed to a ref of its own every few minutes. The order at the end never changes: it is committed
there, then the tree of processes is ended, then what was written since is committed too, and only then is the working copy
let go of: it stays until the task has landed (see `tidying`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from swarmworks.base.concurrency import end_all
from swarmworks.base.errors import LimitReachedError, SwarmworksError
from swarmworks.domain.isolation import Property
from swarmworks.domain.refs import work_ref
from swarmworks.domain.session import SessionOutcome
from swarmworks.git.removal import remove_tree
from swarmworks.policy.handoff import check
from swarmworks.runtime.protocol import Launch, Reading
from swarmworks.sandbox.protocol import SandboxedProcess, SandboxSpec
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.handoff import HandoffDocument
from swarmworks.wire.session_events import End, Garbage, Message, SessionEvent, ToolCall, ToolResult
from swarmworks.wire.work import SessionResult, SessionWork
from swarmworks.worker import handoff_file
from swarmworks.worker.agent_input import AgentInput
from swarmworks.worker.agent_process import Placed, agent_sandbox, facts_of, furnish, runtime_of
from swarmworks.worker.circuit import Circuit
from swarmworks.worker.context import WorkerContext
from swarmworks.worker.databases.offering import offered
from swarmworks.worker.databases.proxy import DatabaseProxy
from swarmworks.worker.egress import Egress
from swarmworks.worker.environment import BuiltEnvironment
from swarmworks.worker.outcome import REFUSED, is_own, outcome_of
from swarmworks.worker.prompt import Prompt, hand_over
from swarmworks.worker.relay import Exits, Relay
from swarmworks.worker.reporting import EventReporter
from swarmworks.worker.saving import Saving
from swarmworks.worker.seeding import regenerating, start_commit
from swarmworks.worker.streams import lines, tail

log = logging.getLogger(__name__)

MEMORY_CHECK_S = 2.0
HANDOFF_CHECK_S = 2.0
MOST_GARBAGE = 20
"""Lines that mean nothing, of which this many are put on record."""


@dataclass
class _Run:
    """What is known of a running session. `verdict` is set once, by whoever ends it first."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    verdict: tuple[SessionOutcome, str] | None = None
    end: End | None = None
    last_sign: float = 0.0
    peak_memory_bytes: int = 0
    held: frozenset[Property] = frozenset()
    calls: set[str] = field(default_factory=set[str])
    """Tool calls that are under way."""

    def follow(self, event: SessionEvent) -> None:
        if isinstance(event, ToolCall):
            self.calls.add(event.id)
        elif isinstance(event, ToolResult):
            self.calls.discard(event.id)
        elif isinstance(event, Message):
            self.calls.clear()  # it goes on: whatever it was has ended

    def stop(self, outcome: SessionOutcome, reason: str) -> None:
        if self.verdict is None:
            self.verdict = (outcome, reason)
        self.ended.set()


class SessionRun:
    """`stop` may be called at any time from the same event loop; `result` then comes soon."""

    def __init__(
        self, context: WorkerContext, work: SessionWork, environment: BuiltEnvironment, briefing: Prompt
    ) -> None:
        self._context = context
        self._work = work
        self._environment = environment
        self._briefing = briefing
        self._run = _Run()
        self._runtime = runtime_of(context, work)
        self._input = AgentInput(self._runtime)
        self._saving: Saving | None = None

    @property
    def kept(self) -> str:
        """The commit of what it has written, as far as that was saved."""
        return self._work.base if self._saving is None else self._saving.kept

    def stop(self, outcome: SessionOutcome, reason: str) -> None:
        self._run.stop(outcome, reason)

    def say(self, texts: Sequence[str]) -> None:
        """A person's words, for the agent to hear between two of its turns."""
        for text in texts:
            if not self._input.say(text):
                log.warning("session %s: its agent cannot be told anything now", self._work.session_id)

    def tell(self, texts: Sequence[str]) -> None:
        """The platform's words, which ask for nothing: as `say`."""
        for text in texts:
            if not self._input.tell(text):
                log.warning("session %s: its agent cannot be told anything now", self._work.session_id)

    def hand_over(self, reason: str) -> None:
        """Ask the agent to hand over to a fresh session; one that cannot be told anything goes on as it can."""
        if not self._input.ask_to_hand_over(hand_over(reason)):
            log.warning("session %s: its agent cannot be asked to hand over", self._work.session_id)

    async def result(self, reporter: EventReporter) -> SessionResult:
        """Runs the session to its end. Raises UnavailableError when it could not even be started, MoreInConflictError when its agent
        is needed after all, and what kept its last words from being saved: `kept` is then what there is of it.
        """
        config = await self._context.config(self._work.swarm_id)
        name = f"{self._work.swarm_id}-{self._work.task.id}-{self._work.fence}"
        hub, now = self._context.hub, self._context.clock.now()
        start = await asyncio.to_thread(start_commit, hub, self._work, now, config.merge)
        ref = work_ref(self._work.swarm_id, self._work.task.id, self._work.fence)
        copy = await asyncio.to_thread(self._context.copies.create, name, start, ref)
        saving = Saving(self._context.copies, copy, self._work, self._context.clock, self._context.transport)
        self._saving = saving
        needed = self._runtime.own_home or config.role(self._work.task.role).files != "write"
        home = self._context.places.scratch / f"home-{name}" if needed else None
        try:
            port = self._context.sandbox.listener_port()
            await self._agent(Placed(copy, home, port), config, reporter, saving)
        finally:
            pushed = self._run.verdict is None or self._run.verdict[0] is not SessionOutcome.LOST
            unsaved = await asyncio.shield(saving.keep_at_last(pushed=pushed))
            if home is not None:
                await self._tidy(partial(remove_tree, home))
        let_go = partial(self._context.copies.retire if config.copies.kept else self._context.copies.destroy, copy)
        if isinstance(unsaved, LimitReachedError):  # it will be too much for ever
            here = await saving.try_snapshot()
            await self._tidy(let_go if here else partial(self._context.copies.retire, copy))
            raise unsaved
        if unsaved is not None:
            self._context.unsaved.append(partial(self._saved_after_all, saving, let_go))
            raise unsaved
        await self._tidy(let_go)
        return await self._judge(saving.kept)

    async def _saved_after_all(self, saving: Saving, let_go: Callable[[], None]) -> bool:
        if await saving.keep_at_last(pushed=False) is not None:
            return False
        await self._tidy(let_go)
        return True

    async def _tidy(self, remove: Callable[[], None]) -> None:
        """What cannot be removed takes nothing from a session that is over and saved."""
        try:
            await asyncio.to_thread(remove)
        except (SwarmworksError, OSError) as error:
            log.warning("session %s leaves something behind: %s", self._work.session_id, error)

    async def _agent(self, placed: Placed, config: SwarmConfig, reporter: EventReporter, saving: Saving) -> None:
        run = self._work.task.run
        if self._work.regenerates:
            run = await asyncio.to_thread(regenerating, self._context.hub, self._work, config.merge)
        launch = self._runtime.launch(
            facts_of(self._context.sandbox, self._work, self._briefing, config, self._environment, placed, run)
        )
        if placed.home is not None:
            await asyncio.to_thread(furnish, placed.home, launch, self._context.sandbox)
        databases = offered(config, self._work.task.role, self._context.outside.database_address)
        spec = agent_sandbox(self._context, self._work, placed, config, self._environment, launch, databases)
        reach, hosts = config.role(self._work.task.role).reach, self._context.outside.hosts
        exits = Exits(Egress(reach, reporter.add, places=hosts), DatabaseProxy(databases, reporter.add))
        await self._in_sandbox(spec, launch, placed, exits, reporter, saving, config.copies.save_every_s)

    async def _in_sandbox(
        self,
        spec: SandboxSpec,
        launch: Launch,
        placed: Placed,
        exits: Exits,
        reporter: EventReporter,
        saving: Saving,
        save_every_s: float,
    ) -> None:
        process = await self._context.sandbox.start(spec)
        self._run.held = process.held
        relay: Relay | None = None
        try:
            if process.listener is not None:
                relay = Relay(process.listener, self._context.gateways, exits, self._sign_of_life)
                await relay.start()
            await self._converse(process, launch, placed, reporter, saving, save_every_s)
        finally:
            process.kill()
            await process.wait()
            if relay is not None:
                await relay.close()

    async def _converse(
        self,
        process: SandboxedProcess,
        launch: Launch,
        placed: Placed,
        reporter: EventReporter,
        saving: Saving,
        save_every_s: float,
    ) -> None:
        self._sign_of_life()
        places = [place for place in (placed.home, placed.copy.path) if place is not None]
        watchers = [
            asyncio.create_task(self._input.feed(process, launch)),
            asyncio.create_task(self._read(process, places, reporter)),
            asyncio.create_task(self._watch(process, launch)),
            asyncio.create_task(self._watch_for_a_handoff(places, reporter)),
            asyncio.create_task(saving.now_and_then(save_every_s, reporter.add)),
        ]
        for watcher in watchers:
            watcher.add_done_callback(self._watched)
        errors = asyncio.create_task(tail(process.stderr))
        try:
            await self._run.ended.wait()
            await saving.try_snapshot()
        finally:
            process.kill()
            await end_all(watchers)
            last_words = await errors
        if self._run.end is None and last_words and self._run.verdict is not None:
            outcome, reason = self._run.verdict
            self._run.verdict = (outcome, f"{reason}; it said: {last_words[-500:]}")

    def _sign_of_life(self) -> None:
        self._run.last_sign = self._context.clock.monotonic()

    def _watched(self, watcher: asyncio.Task[None]) -> None:
        """A session nobody watches any more must not go on: its limits would be gone."""
        if not watcher.cancelled() and (error := watcher.exception()) is not None:
            self._run.stop(SessionOutcome.FAILED, f"it could not be watched: {error}")

    async def _read(self, process: SandboxedProcess, places: Sequence[Path], reporter: EventReporter) -> None:
        """Events until the stream ends or the agent says that it is done."""
        reading = self._runtime.reading()
        circuit = Circuit()
        garbage = 0
        async for line in lines(process.stdout):
            self._sign_of_life()
            heard = reading.hear(line)
            for event in heard.events:
                if isinstance(event, End) and is_own(event) and await self._left(places, reporter):
                    return
                garbage += isinstance(event, Garbage)
                if not isinstance(event, Garbage) or garbage <= MOST_GARBAGE:
                    reporter.add(event)
                if isinstance(event, End):
                    self._run.end = event
                    self._run.stop(SessionOutcome.SUBMITTED, event.reason)
                    return
                self._run.follow(event)
                if (circles := circuit.hears(event)) is not None:
                    self._run.stop(SessionOutcome.STOPPED, circles)
                    return
            if heard.reply:
                self._input.write(heard.reply)
        status = await process.wait()
        if process.exceeded:
            self._run.stop(SessionOutcome.STOPPED, process.exceeded)
            return
        if process.hindered:
            self._run.stop(SessionOutcome.INFRASTRUCTURE, process.hindered)
            return
        await self._ended(reading, status, places, reporter)

    async def _left(self, places: Sequence[Path], reporter: EventReporter) -> bool:
        """Whether the session has handed in by a file, whatever else its program says of how it ended."""
        left = await asyncio.to_thread(handoff_file.read_any, places)
        if left is None or left.handoff is None:
            return False
        self._handed_in(left.handoff, reporter)
        return True

    async def _ended(self, reading: Reading, status: int, places: Sequence[Path], reporter: EventReporter) -> None:
        """The program has ended, without having handed in so far. A handoff it left counts for more than its exit status, which
        may say anything; what the gateway refused it counts for more than that.
        """
        end: End | None = None
        for event in reading.finish(status):
            if isinstance(event, End):
                end = event
            else:
                reporter.add(event)
        left = None if self._work.regenerates else await asyncio.to_thread(handoff_file.read_any, places)
        if left is not None and (end is None or end.outcome != REFUSED):
            if left.handoff is not None:
                self._handed_in(left.handoff, reporter)
            else:
                self._run.stop(SessionOutcome.FAILED, f"{left.problem}; exit status {status}")
        elif end is not None:
            self._handed(end, reporter)
        else:
            said = f"; {reading.ended()}" if reading.ended() else ""
            self._run.stop(SessionOutcome.FAILED, f"the agent ended without a word, exit status {status}{said}")

    async def _watch_for_a_handoff(self, places: Sequence[Path], reporter: EventReporter) -> None:
        """Of a program that hands in through a file, and goes on running."""
        if self._work.regenerates:
            return
        file = handoff_file.HandoffFile(places)
        while True:
            await asyncio.sleep(HANDOFF_CHECK_S)
            if (handoff := await asyncio.to_thread(file.settled)) is not None:
                self._handed_in(handoff, reporter)
                return

    def _handed_in(self, handoff: HandoffDocument, reporter: EventReporter) -> None:
        if self._run.end is None:
            self._handed(End(outcome=handoff.outcome, reason="handed in", handoff=handoff), reporter)

    def _handed(self, end: End, reporter: EventReporter) -> None:
        reporter.add(end)
        self._run.end = end
        self._run.stop(SessionOutcome.SUBMITTED, end.reason)

    async def _watch(self, process: SandboxedProcess, launch: Launch) -> None:
        """Wall time and silence, caps an agent cannot argue with; memory and disk are the sandbox's own to watch."""
        limits = self._work.limits
        clock = self._context.clock
        started = clock.monotonic()
        while True:
            await asyncio.sleep(MEMORY_CHECK_S)
            now = clock.monotonic()
            memory = await asyncio.to_thread(process.memory_bytes)
            self._run.peak_memory_bytes = max(self._run.peak_memory_bytes, memory)
            if now - started > limits.wall_s:
                self._run.stop(SessionOutcome.STOPPED, f"time limit of {limits.wall_s:g} s reached")
            elif now - self._run.last_sign > (silence_s := self._silence_s(launch)):
                self._run.stop(SessionOutcome.STOPPED, f"stalled: no event for {silence_s:g} s")

    def _silence_s(self, launch: Launch) -> float:
        silence_s = launch.silence_s or self._work.limits.idle_s
        return max(silence_s, launch.working_s or 0.0) if self._run.calls else silence_s

    async def _judge(self, head: str) -> SessionResult:
        """The outcome, from what the agent said and what the diff shows: its word alone is never evidence."""
        assert self._run.verdict is not None
        outcome, reason = self._run.verdict
        changes = await asyncio.to_thread(self._context.hub.changes, self._work.base, head)
        changed = tuple(change.path for change in changes)
        handoff: str | None = None
        problems: tuple[str, ...] = ()
        end = self._run.end
        if end is not None and outcome is SessionOutcome.SUBMITTED:
            outcome, reason = outcome_of(end, changed)
            if end.handoff is not None:
                checked, found = check(end.handoff.to_domain(), frozenset(changed))
                handoff, problems = handoff_wire.dump(checked), tuple(found)
        return SessionResult(
            outcome=outcome,
            reason=reason[:600] or None,
            base=self._work.base,
            head=head,
            handoff=handoff,
            problems=problems,
            changed=changed[:200],
            properties=tuple(sorted(self._run.held)),
            peak_memory_bytes=self._run.peak_memory_bytes,
            prompt_sha256=self._briefing.template_sha256,
        )
