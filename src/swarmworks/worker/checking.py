"""Gates and environments on this worker: what is asked for a task, what is known already, and what has to be run."""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from swarmworks.base.concurrency import leave_unheard
from swarmworks.base.errors import UnavailableError
from swarmworks.base.ids import SwarmId
from swarmworks.domain.gate import GateDefinition, GateOutcome, GateResult, GateStage
from swarmworks.git.checkout import export_tree
from swarmworks.git.removal import remove_tree
from swarmworks.policy.required import at_stage, required_gates
from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.config_roles import writable
from swarmworks.wire.work import BuildWork, DeliveryWork, GatesWork
from swarmworks.worker.context import WorkerContext
from swarmworks.worker.environment import BuiltEnvironment, EnvironmentSpec, ensure_environment
from swarmworks.worker.gates.copies import scratch_folder
from swarmworks.worker.gates.keys import cacheable, gate_key, gate_parameters
from swarmworks.worker.gates.request import GatesRequest
from swarmworks.worker.gates.run import run_gates
from swarmworks.worker.gates.turns import Turns
from swarmworks.worker.isolation import process_limits
from swarmworks.worker.registries import RegistryAccess

FAILURE_REMEMBERED_S = 60.0
KEPT_OUTCOMES = frozenset({GateOutcome.PASSED, GateOutcome.FAILED})


class Checker:
    """`access` is how environments reach package registries; `slots` bounds the gate commands that run at once."""

    def __init__(self, context: WorkerContext, state: Path, access: RegistryAccess, slots: int) -> None:
        self._context = context
        self._state = state
        self._access = access
        self._turns = Turns(slots, context.clock.monotonic)
        self._environments: dict[str, BuiltEnvironment] = {}
        self._building: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, tuple[float, UnavailableError]] = {}

    async def environment(self, swarm_id: SwarmId, commit: str, *, patient: bool = False) -> BuiltEnvironment:
        """The tools for the lock files of `commit`; built on first use. Raises UnavailableError with the log's end. Who is
        `patient` waits until a failure of a moment ago is forgotten: gates are run a few times only, then a person is asked.
        """
        config = await self._context.config(swarm_id)
        key = await asyncio.to_thread(self._lock_digest, config, commit)
        if key in self._environments:
            return self._environments[key]
        if patient and key in self._failures:
            left = self._failures[key][0] + FAILURE_REMEMBERED_S - self._context.clock.monotonic()
            await asyncio.sleep(max(0.0, left))
        if key not in self._environments:
            self._refuse_again(key)
            if key not in self._building:
                building = self._building[key] = asyncio.create_task(self._build_once(key, config, commit))
                building.add_done_callback(leave_unheard)
            await asyncio.shield(self._building[key])  # who is stopped meanwhile takes nothing from those who wait, too
        return self._environments[key]

    async def _build_once(self, key: str, config: SwarmConfig, commit: str) -> None:
        try:
            self._environments[key] = await self._build(config, commit)
        except UnavailableError as error:
            self._failures[key] = (self._context.clock.monotonic(), error)
            raise
        finally:
            del self._building[key]

    def _refuse_again(self, key: str) -> None:
        """A set-up that failed a moment ago would fail again: twelve sessions need not each find out in turn."""
        at, error = self._failures.get(key, (float("-inf"), None))
        if error is not None and self._context.clock.monotonic() - at < FAILURE_REMEMBERED_S:
            raise error

    async def required(self, work: GatesWork | BuildWork | DeliveryWork, stage: GateStage) -> frozenset[str]:
        if isinstance(work, DeliveryWork):
            return frozenset(work.gates)
        config = await self._context.config(work.swarm_id)
        none_chosen = config.gates.explicitly_none
        names = required_gates(work.task, config.required_gates(work.task.kind), none_chosen=none_chosen)
        return at_stage(names, config.gate_definitions(), stage)

    async def check(
        self,
        work: GatesWork | BuildWork | DeliveryWork,
        stage: GateStage,
        commit: str,
        tree: str,
        base: str,
        *,
        only: frozenset[str] | None = None,
    ) -> tuple[tuple[GateResult, ...], dict[str, str]]:
        """The results of the gates of `stage` (of those in `only`) on `tree`, which is the tree of `commit` and stands on
        `base`, and the keys under which the new ones may be kept. What passed on this very tree before is not run again.
        """
        config = await self._context.config(work.swarm_id)
        environment = await self.environment(work.swarm_id, commit, patient=not isinstance(work, DeliveryWork))
        required = await self.required(work, stage)
        required = required if only is None else required & only
        definitions = tuple(one.at(stage) for one in config.gate_definitions())
        keys = {
            one.name: gate_key(
                one,
                tree,
                environment.id,
                gate_parameters(one, definitions, covers=work.task.covers, floors=work.floors, tests=work.tests),
            )
            for one in definitions
            if one.name in required and cacheable(one) and all(map(cacheable, _read_by(one, definitions)))
        }
        known = await self._known(keys)
        missing = required - known.keys()
        results: tuple[GateResult, ...] = ()
        if missing:
            results = await self._run(work, stage, commit, base, config, environment, definitions, missing)
        fresh = {one.gate for one in results if one.outcome in KEPT_OUTCOMES}
        return (*known.values(), *(one for one in results if one.gate not in known)), {
            name: key for name, key in keys.items() if name in fresh and name not in known
        }

    async def _known(self, keys: Mapping[str, str]) -> dict[str, GateResult]:
        """Passes only: a failure is worth another look, it may have been the machine's."""
        if not keys:
            return {}
        cached = await self._context.client.cached_gates(list(keys.values()))
        return {
            name: replace(cached[key], cached=True)
            for name, key in keys.items()
            if key in cached and cached[key].outcome is GateOutcome.PASSED
        }

    async def _run(
        self,
        work: GatesWork | BuildWork | DeliveryWork,
        stage: GateStage,
        commit: str,
        base: str,
        config: SwarmConfig,
        environment: BuiltEnvironment,
        definitions: tuple[GateDefinition, ...],
        wanted: frozenset[str],
    ) -> tuple[GateResult, ...]:
        context = self._context
        place = await asyncio.to_thread(self._scratch)
        try:
            tree = place / "tree"
            await asyncio.to_thread(export_tree, context.hub, commit, tree)
            request = GatesRequest(
                tree=tree,
                stage=stage,
                definitions=definitions,
                required=wanted,
                environment=environment,
                scratch=place / "runs",
                changes=tuple(await asyncio.to_thread(context.hub.changes, base, commit)),
                diff=await asyncio.to_thread(context.hub.diff, base, commit),
                specification=work.task.specification,
                not_required=work.task.not_required,
                owns=work.task.owns,
                covers=work.task.covers,
                floors=work.floors,
                tests=work.tests,
                protected=config.files.protected_globs,
                role=work.task.role,
                role_writes=writable(config.role(work.task.role)),
                caches=context.places.caches,
                limits=process_limits(config),
                sandbox_floor=config.sandbox.gates_floor,
            )
            return await run_gates(request, context.sandbox, self._turns)
        finally:
            await asyncio.to_thread(remove_tree, place)

    async def _build(self, config: SwarmConfig, commit: str) -> BuiltEnvironment:
        context = self._context
        section = config.environment
        python = Path(section.python) if section.python else context.places.interpreter
        spec = EnvironmentSpec(
            setup=section.setup,
            lock_files=section.lock_files,
            registries=section.registries,
            python=python,
            python_version=sys.version if python == context.places.interpreter else str(python),
            python_mounts=await asyncio.to_thread(python_mounts, python),
            timeout_s=section.timeout_s,
        )
        place = await asyncio.to_thread(self._scratch)
        try:
            tree = place / "tree"
            await asyncio.to_thread(export_tree, context.hub, commit, tree)
            return await ensure_environment(
                spec,
                tree,
                self._state,
                context.sandbox,
                access=self._access,
                floor=config.sandbox.gates_floor,
                limits=None,
            )
        finally:
            await asyncio.to_thread(remove_tree, place)

    def _scratch(self) -> Path:
        return scratch_folder(self._context.places.scratch)

    def _lock_digest(self, config: SwarmConfig, commit: str) -> str:
        digest = hashlib.sha256(f"{config.environment!r} {platform.platform()} {os.getuid()}".encode())
        for name in config.environment.lock_files:
            data = self._context.hub.read_file(commit, name, limit_bytes=32 << 20)
            digest.update(name.encode() + b"\0" + (b"missing" if data is None else data) + b"\0")
        return digest.hexdigest()


def _read_by(definition: GateDefinition, definitions: Sequence[GateDefinition]) -> list[GateDefinition]:
    """The gate whose report it reads, if it reads one."""
    return [one for one in definitions if one.name == definition.source]
