"""A delivery whose processes are killed while its merged tree is being checked: asked for again, it goes through, once."""

from __future__ import annotations

import psutil
import pytest

from tests.scenario.driver import job, kill
from tests.scenario.harness import git, plan

pytestmark = [pytest.mark.chaos, pytest.mark.sandbox, pytest.mark.slow]

SLOW_WHEN_MERGED = """
[gates.tests]
run = "test ! -f theirs.md || sleep 4"
[gates.required]
default = ["scope", "secrets", "tests"]
"""


def checking(site) -> bool:
    """Whether the worker's gate is at its long sleep."""
    try:
        below = [child for worker in site.workers() for child in worker.children(recursive=True)]
        return any(child.cmdline()[:1] == ["sleep"] for child in below)
    except psutil.Error:
        return False


async def test_killed_while_the_gates_run_on_the_merged_tree(build):
    site = build(plan(job("t0")), gates=SLOW_WHEN_MERGED)
    assert site.run("run", str(site.plan_file)).code == 0
    (site.root / "theirs.md").write_text("mine\n")
    git(site.root, "add", "theirs.md")
    git(site.root, "commit", "-qm", "mine")
    theirs = git(site.root, "rev-parse", "main")

    process = site.start("deliver", "--approve", "good")
    while not checking(site):
        assert process.poll() is None, process.communicate()
    kill(process)
    for worker in site.workers():
        kill(worker)
    assert site.left_behind() == []
    assert git(site.root, "rev-parse", "main") == theirs
    assert git(site.root, "status", "--porcelain") == ""

    done = site.run("deliver", "--approve", "good")
    assert done.code == 0, done
    assert git(site.root, "log", "-1", "--format=%P").split()[0] == theirs
    assert (site.root / "t0.txt").exists()
    truth = await site.truth()
    assert len(truth.data("delivery.requested")) == 1
    assert len(truth.data("delivery.delivered")) == 1
    truth.assert_sound()
