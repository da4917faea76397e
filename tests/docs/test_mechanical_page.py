"""The page "work without a model" is followed on the package it names, as PyPI has it: twelve modules of other people's code land,
nobody is asked for a model, and the package's own tests stay green.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.git.hub import BareHub
from swarmworks.wire.planfile import load_plan
from tests.docs.test_documented_commands import ROOT, blocks
from tests.registries import needs_registries
from tests.scenario.driver import SOURCE, trailer
from tests.scenario.harness import git
from tests.stores import open_test_store

MODULES = 12
ITS_TESTS = 400
"""It has some more than that, which run in seconds."""


@needs_registries
@pytest.mark.sandbox
@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_twelve_modules_of_a_real_package_land_without_a_model(tmp_path):
    page = "\n".join(blocks((ROOT / "docs" / "mechanical.md").read_text()))
    for asks in ("swarm run ../modern.yaml", "swarm deliver"):
        page = page.replace(asks, f'{asks} --approve "the page says so"')
    done = follow(page, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    root = tmp_path / "boltons-24.0.0"
    plan = load_plan(tmp_path / "modern.yaml")
    assert plan.is_mechanical
    assert len(plan.tasks) == MODULES
    landed = BareHub.open_or_create(root / ".swarm" / "hub.git").log(None, git(root, "rev-parse", "main"))
    tasks = [trailer(row, "Swarm-Task") for row in landed if "Swarm-Task: " in row["body"]]
    assert sorted(tasks) == sorted(task.id for task in plan.tasks)
    changed = git(root, "diff", "--name-only", "HEAD~12", "HEAD").split()
    assert set(changed) == {task.owns[0] for task in plan.tasks}
    assert passing(root) > ITS_TESTS
    store = await open_test_store(root / ".swarm" / "state.db", SystemClock(), RandomIds())
    try:
        (swarm,) = await store.read(lambda reader: reader.swarms())
        sessions = await store.read(lambda reader: reader.sessions(swarm.id))
        totals = await store.read(lambda reader: reader.totals(swarm.account_id))
        events = await store.read(lambda reader: reader.events(swarm.id, limit=100_000))
    finally:
        await store.close()
    assert {session.model for session in sessions} == {"none"}
    assert (totals.spent.nano_usd, totals.spent.tokens) == (0, 0)
    assert not [event for event in events if event.kind == "model.call"]


def follow(page: str, folder: Path) -> subprocess.CompletedProcess[str]:
    who = {f"GIT_{role}_{what}": "a@example.invalid" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    keys = {name for name in os.environ if name.endswith("_API_KEY")}
    environment = {
        **{name: value for name, value in os.environ.items() if name not in keys},
        **who,
        "PYTHONPATH": str(SOURCE),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
    }
    return subprocess.run(
        ["bash", "-ec", page],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )


def passing(root: Path) -> int:
    """How many of the package's own tests pass in the person's checkout, in the environment that the swarm built."""
    (python,) = (root / ".swarm" / "environments").glob("*/env/bin/python")
    run = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(run, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return int(done.stdout.rpartition(" passed")[0].split()[-1])
