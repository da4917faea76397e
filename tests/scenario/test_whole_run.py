"""The whole thing as a user runs it: `swarm run` in a process of its own, real worker, real sandboxes, real gates."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.scenario.driver import CALL_NANO_USD, CountedModel, Site, ended, trailer, twelve
from tests.scenario.harness import git

pytestmark = [pytest.mark.sandbox]


@pytest.fixture
def model():
    made = CountedModel()
    yield made
    made.close()


@pytest.fixture
def build(tmp_path, model):
    made: list[Site] = []

    def make(tasks=None, **more) -> Site:
        made.append(Site(tmp_path / f"site{len(made)}", model.url, tasks or twelve(4), **more))
        return made[-1]

    yield make
    for site in made:
        site.close()


def fingerprint(root: Path) -> dict[str, str]:
    """Every file of the user's checkout and of its .git, without the platform's own folder."""
    found = {}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if relative.parts[0] == ".swarm" or path.is_dir():
            continue
        found[str(relative)] = hashlib.sha256(path.read_bytes()).hexdigest() + oct(path.lstat().st_mode)
    return found


def mounts() -> set[str]:
    return {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}


async def test_a_run_lands_every_task_and_leaves_nothing_behind(build, model):
    site = build()
    before, mounted = fingerprint(site.root), mounts()
    done = ended(site.start_run())
    assert (done.code, done.json["state"]) == (0, "landed"), done
    assert site.left_behind() == []
    assert fingerprint(site.root) == before
    assert git(site.root, "status", "--porcelain", "--ignored=no") == ""
    assert not [mount for mount in mounts() - mounted if str(site.root) in mount]
    assert not [path for path in site.state.rglob("*") if path.is_socket()]
    assert not (site.state / "run.json").exists()
    assert not [path for path in (site.state / "copies").iterdir() if not path.name.startswith(".")]

    truth = await site.truth()
    truth.assert_sound(cost_nano_usd=model.calls * CALL_NANO_USD)
    agents = {session.task_id: session.agent_id.rpartition("/")[2] for session in truth.sessions}
    for row in truth.landed():
        name = trailer(row, "Swarm-Task")
        assert row["author"].split(" <")[0] == agents[name]
        for each in ("Swarm-Session", "Swarm-Agent", "Swarm-Model", "Swarm-Plan", "Swarm-Change"):
            assert trailer(row, each)
    assert len(truth.landed()) == 4
    for row in truth.data("session.ended"):
        assert {"files", "network", "syscalls", "processes", "environment", "unprivileged"} <= set(row["sandbox"])
    assert truth.totals.spent.nano_usd == model.calls * CALL_NANO_USD
