"""A tree, a request and a sandbox for gate tests: commands run by the back end that isolates nothing, which is fast and
everywhere; what the isolation adds is tested with the real one.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from swarmworks.domain.gate import GateDefinition, GateResult, GateStage
from swarmworks.git.protocol import FileChange
from swarmworks.sandbox.none import NoSandbox
from swarmworks.wire.config_gates import built_in_gates
from swarmworks.worker.environment import BuiltEnvironment
from swarmworks.worker.gates.request import GatesRequest
from swarmworks.worker.gates.run import run_gates
from swarmworks.worker.gates.turns import Turns

PYTHON = Path(sys.executable)


class Bench:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = root / "tree"
        self.tree.mkdir()
        self.sandbox = NoSandbox(root / "state")
        self.environment = BuiltEnvironment("env1", None, (), (str(PYTHON.parent),))

    def write(self, path: str, content: str = "x = 1\n") -> FileChange:
        place = self.tree / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        return FileChange(path, "A", content.count("\n"), 0, "100644")

    def request(self, *definitions: GateDefinition, **values) -> GatesRequest:
        request = GatesRequest(
            tree=self.tree,
            stage=GateStage.CANDIDATE,
            definitions=(*built_in_gates(), *definitions),
            required=frozenset(definition.name for definition in definitions),
            environment=self.environment,
            scratch=self.root / "scratch",
        )
        return replace(request, **values)

    async def run(self, request: GatesRequest, slots: int = 2) -> dict[str, GateResult]:
        results = await run_gates(request, self.sandbox, Turns(slots, time.monotonic))
        return {result.gate: result for result in results}

    async def run_one(self, definition: GateDefinition, **values) -> GateResult:
        return (await self.run(self.request(definition, **values)))[definition.name]


def command(run: str, reader: str = "exit", name: str = "gate", **values) -> GateDefinition:
    return GateDefinition(name=name, command=run, reader=reader, **values)
