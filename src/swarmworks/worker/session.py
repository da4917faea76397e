"""One session, from its working copy to its result: prompt, sandbox, agent, limits, and the work kept whatever happens.

The order at the end never changes: what the agent wrote is committed to a ref of its own, then the tree of processes is
ended, then what was written since is committed too, and only then is the working copy removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from swarmworks.domain.session import SessionOutcome
from swarmworks.git.protocol import Identity, WorkingCopy
from swarmworks.policy.handoff import check
from swarmworks.sandbox.protocol import SandboxedProcess
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.session_events import End, Garbage, SessionEvent, parse_line
from swarmworks.wire.work import SessionResult, SessionWork
from swarmworks.worker.agent_process import agent_document, agent_sandbox
from swarmworks.worker.context import WorkerContext
from swarmworks.worker.environment import BuiltEnvironment
from swarmworks.worker.prompt import Prompt
from swarmworks.worker.relay import Relay
from swarmworks.worker.reporting import EventReporter

MEMORY_CHECK_S = 2.0


@dataclass
class _Run:
    """What is known of a running session. `verdict` is set once, by whoever ends it first."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    verdict: tuple[SessionOutcome, str] | None = None
    end: End | None = None
    last_sign: float = 0.0
    peak_memory_bytes: int = 0

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

    def stop(self, outcome: SessionOutcome, reason: str) -> None:
        self._run.stop(outcome, reason)

    async def result(self, reporter: EventReporter) -> SessionResult:
        """Runs the session to its end. Raises UnavailableError when it could not even be started; the working copy is
        gone then and nothing was written.
        """
        config = await self._context.config(self._work.swarm_id)
        name = f"{self._work.swarm_id}-{self._work.task.id}-{self._work.fence}"
        copy = await asyncio.to_thread(self._context.copies.create, name, self._work.base)
        try:
            await self._agent(copy, config, reporter)
        finally:
            head = await asyncio.shield(
                self._keep(copy)
            )  # when this fails the copy stays, for a worker that can keep it
        await asyncio.to_thread(self._context.copies.destroy, copy)
        return await self._judge(head)

    async def _agent(self, copy: WorkingCopy, config: SwarmConfig, reporter: EventReporter) -> None:
        spec = agent_sandbox(self._context, self._work, copy, config, self._environment)
        process = await self._context.sandbox.start(spec)
        relay: Relay | None = None
        try:
            if process.listener is not None:
                relay = Relay(process.listener, self._context.gateway_port)
                await relay.start()
            await self._converse(process, copy, config, reporter)
        finally:
            process.kill()
            await process.wait()
            if relay is not None:
                await relay.close()

    async def _converse(
        self, process: SandboxedProcess, copy: WorkingCopy, config: SwarmConfig, reporter: EventReporter
    ) -> None:
        document = agent_document(self._work, self._briefing, config)
        self._run.last_sign = self._context.clock.monotonic()
        watchers = [
            asyncio.create_task(_feed(process, json.dumps(document).encode())),
            asyncio.create_task(self._read(process, reporter)),
            asyncio.create_task(self._watch(process, config)),
        ]
        for watcher in watchers:
            watcher.add_done_callback(self._watched)
        errors = asyncio.create_task(_tail(process.stderr))
        try:
            await self._run.ended.wait()
            await self._keep(copy)
        finally:
            process.kill()
            for watcher in watchers:
                watcher.cancel()
            await asyncio.wait(watchers)
            last_words = await errors
        if self._run.end is None and last_words and self._run.verdict is not None:
            outcome, reason = self._run.verdict
            self._run.verdict = (outcome, f"{reason}; it said: {last_words[-500:]}")

    def _watched(self, watcher: asyncio.Task[None]) -> None:
        """A session nobody watches any more must not go on: its limits would be gone."""
        if not watcher.cancelled() and (error := watcher.exception()) is not None:
            self._run.stop(SessionOutcome.FAILED, f"it could not be watched: {error}")

    async def _read(self, process: SandboxedProcess, reporter: EventReporter) -> None:
        """Events until the stream ends or the agent says that it is done."""
        garbage = 0
        async for line in _lines(process.stdout):
            self._run.last_sign = self._context.clock.monotonic()
            event: SessionEvent = parse_line(line)
            if isinstance(event, Garbage):
                garbage += 1
            if not isinstance(event, Garbage) or garbage <= 20:
                reporter.add(event)
            if isinstance(event, End):
                self._run.end = event
                self._run.stop(SessionOutcome.SUBMITTED, event.reason)
                return
        status = await process.wait()
        self._run.stop(SessionOutcome.FAILED, f"the agent ended without a word, exit status {status}")

    async def _watch(self, process: SandboxedProcess, config: SwarmConfig) -> None:
        """Wall time, silence and memory: the caps an agent cannot argue with."""
        limits = self._work.limits
        clock = self._context.clock
        started = clock.monotonic()
        most_memory = config.sandbox.memory_mb << 20
        while True:
            await asyncio.sleep(MEMORY_CHECK_S)
            now = clock.monotonic()
            memory = await asyncio.to_thread(process.memory_bytes)
            self._run.peak_memory_bytes = max(self._run.peak_memory_bytes, memory)
            if now - started > limits.wall_s:
                self._run.stop(SessionOutcome.STOPPED, f"time limit of {limits.wall_s:g} s reached")
            elif now - self._run.last_sign > limits.idle_s:
                self._run.stop(SessionOutcome.STOPPED, f"stalled: no event for {limits.idle_s:g} s")
            elif memory > most_memory:
                self._run.stop(SessionOutcome.STOPPED, f"memory limit of {config.sandbox.memory_mb} MB exceeded")

    async def _keep(self, copy: WorkingCopy) -> str:
        """Commit what is in the copy onto the session's own ref; the base when nothing was written."""
        work = self._work
        agent = Identity(work.agent.name, work.agent.email)
        message = f"{work.task.title}\n\nSwarm-Task: {work.task.id}\nSwarm-Session: {work.session_id}\n"
        ref = f"refs/swarm/work/{work.swarm_id}/{work.task.id}/{work.fence}"
        return await asyncio.to_thread(
            self._context.copies.snapshot, copy, ref, message, agent, self._context.clock.now()
        )

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
            outcome, reason = _outcome(end, changed)
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
            properties=tuple(sorted(self._context.sandbox.probe().properties)),
            peak_memory_bytes=self._run.peak_memory_bytes,
            prompt_sha256=self._briefing.template_sha256,
        )


_OUTCOMES = {
    "submitted": SessionOutcome.SUBMITTED,
    "nothing_to_do": SessionOutcome.NOTHING_TO_DO,
    "refused": SessionOutcome.STOPPED,
    "handed_off": SessionOutcome.HANDED_OFF,
    "failed": SessionOutcome.FAILED,
}


def _outcome(end: End, changed: tuple[str, ...]) -> tuple[SessionOutcome, str]:
    """What the agent said, corrected by what the diff shows."""
    said = _OUTCOMES[end.outcome]
    if said in {SessionOutcome.SUBMITTED, SessionOutcome.NOTHING_TO_DO} and end.handoff is None:
        return SessionOutcome.FAILED, "it ended without a handoff"
    if said is SessionOutcome.SUBMITTED and not changed:
        return SessionOutcome.FAILED, "it handed in a change, and nothing is changed"
    if said is SessionOutcome.NOTHING_TO_DO and changed:
        return SessionOutcome.SUBMITTED, "it said that nothing was to be done, and changed files"
    return said, end.reason


async def _feed(process: SandboxedProcess, document: bytes) -> None:
    """A program that does not read its input, or died at once, is found out by the others."""
    with contextlib.suppress(ConnectionError):
        process.stdin.write(document)
        await process.stdin.drain()
        process.stdin.close()


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines without their ends. One longer than the reader's limit is given out in pieces: garbage to the parser."""
    while True:
        try:
            line = await stream.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                yield error.partial
            return
        except asyncio.LimitOverrunError as error:
            yield await stream.readexactly(error.consumed)
            continue
        yield line.rstrip(b"\n")


async def _tail(stream: asyncio.StreamReader) -> str:
    """The last 4 KiB of a stream, read to its end so that the writer never blocks."""
    kept = b""
    while chunk := await stream.read(65536):
        kept = (kept + chunk)[-4096:]
    return kept.decode("utf-8", errors="replace").strip()
