"""Builds the project's environment and runs its gates once on the unchanged last commit, as a swarm would: in the sandbox,
on an exported tree. A person learns before the first session what a session would run into.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from swarmworks.cli.context import Verified
from swarmworks.domain.gate import GateStage
from swarmworks.domain.plan import PLAN_GATE
from swarmworks.git.checkout import export_tree
from swarmworks.git.hub import BareHub
from swarmworks.git.removal import remove_tree
from swarmworks.sandbox.best import best_sandbox
from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.settings import Project, prepare_state, setup_environment
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.config_gates import BUILT_IN_GATES
from swarmworks.worker.environment import EnvironmentSpec, ensure_environment
from swarmworks.worker.gates.copies import scratch_folder
from swarmworks.worker.gates.request import GatesRequest
from swarmworks.worker.gates.run import run_gates
from swarmworks.worker.gates.turns import Turns
from swarmworks.worker.isolation import process_limits
from swarmworks.worker.registries import registry_access


async def verify(project: Project, commit: str, say: Callable[[str], None]) -> Verified:
    """Raises UnavailableError with the end of the log when the environment cannot be built."""
    state = await asyncio.to_thread(prepare_state, project)
    hub = await asyncio.to_thread(BareHub.open_or_create, state / "hub.git")
    await asyncio.to_thread(hub.import_commit, project.root, commit)
    place = await asyncio.to_thread(scratch_folder, state / "scratch")
    try:
        tree = place / "tree"
        await asyncio.to_thread(export_tree, hub, commit, tree)
        return await _on(tree, place, project.config, state, say)
    finally:
        await asyncio.to_thread(remove_tree, place)


async def _on(tree: Path, place: Path, config: SwarmConfig, state: Path, say: Callable[[str], None]) -> Verified:
    sandbox = best_sandbox(state)
    floor = config.sandbox.gates_floor
    if config.environment.setup:
        say("building the environment ...")
    spec = await asyncio.to_thread(_environment, config)
    access = registry_access(setup_environment(), Path.home())
    environment = await ensure_environment(spec, tree, state, sandbox, access=access, floor=floor)
    definitions = config.gate_definitions()
    asked = frozenset(one.name for one in definitions) - {*BUILT_IN_GATES, PLAN_GATE}
    say(f"running {len(asked)} gates on the last commit, unchanged ...")
    request = GatesRequest(
        tree=tree,
        stage=GateStage.CANDIDATE,
        definitions=definitions,
        required=asked,
        environment=environment,
        scratch=place / "runs",
        protected=config.files.protected_globs,
        caches=state / "caches",
        limits=process_limits(config),
        sandbox_floor=floor,
    )
    turns = Turns(max(2, len(os.sched_getaffinity(0))), time.monotonic)
    return Verified(await run_gates(request, sandbox, turns))


def _environment(config: SwarmConfig) -> EnvironmentSpec:
    section = config.environment
    own = Path(sys.executable)
    python = Path(section.python) if section.python else own
    return EnvironmentSpec(
        setup=section.setup,
        lock_files=section.lock_files,
        registries=section.registries,
        python=python,
        python_version=sys.version if python == own else str(python),
        python_mounts=python_mounts(python),
        timeout_s=section.timeout_s,
    )
