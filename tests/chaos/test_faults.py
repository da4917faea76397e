"""Swarms whose model errs on purpose, by seed: what lands is what a model without faults would have written.

One seed of a small application by default. `SWARM_FAULT_SEEDS=1-20` takes others, and
`SWARM_FAULT_EXAMPLE=task-management` another specification, for a long run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest

from swarmworks.cli import demo_project
from swarmworks.cli.faults import Injected, caught_by, injected
from swarmworks.provider.rehearsal.faults import Fault
from swarmworks.wire.api import EventRow
from tests.provider.rehearsal.application import build, lint_problems, start
from tests.registries import needs_registries
from tests.scenario.driver import Site, ended

pytestmark = [pytest.mark.chaos, pytest.mark.sandbox, pytest.mark.slow, needs_registries, pytest.mark.timeout(1800)]

LEVEL = "many"
SEEDS = "8"
MOST_S = 1200.0


def seeds() -> list[int]:
    wanted = os.environ.get("SWARM_FAULT_SEEDS", SEEDS)
    first, dash, last = wanted.partition("-")
    return list(range(int(first), int(last) + 1)) if dash else [int(seed) for seed in wanted.split(",")]


def specification() -> bytes:
    example = os.environ.get("SWARM_FAULT_EXAMPLE")
    root = Path(__file__).parents[2]
    return (root / f"examples/{example}/spec.yaml" if example else Path(__file__).with_name("zoo.yaml")).read_bytes()


class Zoo(Site):
    """A project as `swarm demo` makes it, in which every seed's swarm runs after the other."""

    def __init__(self, root: Path):
        self.root = root
        self.mark = uuid4().hex
        self.command = [sys.executable, "-m", "swarmworks"]
        self.state = root / ".swarm"
        self._started = []
        self.plan = demo_project.make(root, erring=True, data=specification())

    def erring(self, seed: int) -> tuple[int, dict]:
        done = ended(
            self.start("run", "plan.yaml", "--json", "--agents", "6", "--faults", LEVEL, "--seed", str(seed)), MOST_S
        )
        assert done.out, done
        return done.code, done.json

    def injected(self, seed: int) -> list[Injected]:
        return injected(self.state, f"rehearsal:faults-{LEVEL}-{seed}")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    made = Zoo(tmp_path_factory.mktemp("zoo") / "zoo")
    yield made
    made.close()


@pytest.fixture(scope="module")
def right(tmp_path_factory, model_without_faults, zoo) -> dict[str, str]:
    """The files of the same plan from the model without faults."""
    root = tmp_path_factory.mktemp("right") / "zoo"
    start(root)
    build(model_without_faults, zoo.plan, root)
    (root / "pyproject.toml").write_text((zoo.root / "pyproject.toml").read_text())
    assert lint_problems(root) == ""
    return sources(root)


@pytest.fixture(scope="module")
def seen() -> list[tuple[Injected, str]]:
    """Every fault of every seed, and what caught it."""
    return []


def sources(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*.py"))}


def checked_out(truth, place: Path) -> Path:
    branch = truth.swarm.integration_ref.removeprefix("refs/heads/")
    subprocess.run(["git", "clone", "-q", "-b", branch, truth.hub.path, place], check=True)
    return place


@pytest.mark.parametrize("seed", seeds())
async def test_what_lands_is_what_a_model_without_faults_would_have_written(zoo, right, seen, tmp_path, seed):
    code, status = zoo.erring(seed)
    faults = zoo.injected(seed)
    truth = await zoo.truth()
    truth.assert_sound()
    assert zoo.left_behind() == []
    rows = [event_row(event) for event in truth.events]
    seen += [(fault, caught_by(fault, rows)) for fault in faults]
    assert (code, status["state"]) in {(0, "landed"), (1, "blocked")}, status
    assert all(len(blocked["note"]) > 30 for blocked in status["blocked"]), status["blocked"]
    assert bool(status["blocked"]) == (status["state"] == "blocked")

    landed = checked_out(truth, tmp_path / "landed")
    found = sources(landed)
    if status["state"] == "landed":
        assert found.keys() == right.keys()
        assert not [(fault, caught) for fault, caught in seen if fault in faults and "not caught" in caught]
    tested = {path: text for path, text in found.items() if path.startswith("tests/")}
    assert tested == {path: right[path] for path in tested}, "tests were changed"
    proved = {path.replace("tests/test_", "app/api/") for path in tested}
    wrong = [path for path in proved & found.keys() if found[path] != right[path]]
    assert not wrong, "a fault landed together with the tests that show it"
    if status["state"] == "landed":
        assert [path for path in found if found[path] != right[path]] == []


def test_every_kind_of_fault_occurred_and_was_caught(seen):
    kinds = Counter(fault.fault for fault, _ in seen)
    assert kinds.keys() == {str(fault) for fault in Fault}, kinds
    for kind in kinds:
        assert any(
            "not caught" not in caught and "met nothing" not in caught for fault, caught in seen if fault.fault == kind
        )


def event_row(event) -> EventRow:
    return EventRow(
        seq=event.seq,
        at=event.at,
        kind=event.kind,
        actor=event.actor,
        task_id=event.task_id,
        session_id=event.session_id,
        data=json.loads(event.data),
    )
