"""Twelve agents, and conflicts seeded into half of the tasks: every task that implements an endpoint writes a line that the others
write too, in a file they share. Everything lands without a person, and nothing that anybody described is lost.

Minutes long, so only with `SWARM_CONFLICTS=1`; `SWARM_FAULT_EXAMPLE=task-management` takes the demo's own specification.
"""

from __future__ import annotations

import json
import os
import re
import sys

import pytest

from swarmworks.cli import demo_project
from tests.chaos.test_faults import MOST_S, Zoo
from tests.registries import needs_registries
from tests.scenario.driver import ended

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.sandbox,
    pytest.mark.slow,
    needs_registries,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not os.environ.get("SWARM_CONFLICTS"), reason="long: set SWARM_CONFLICTS=1"),
]


@pytest.fixture
def zoo(tmp_path):
    made = Zoo(tmp_path / "zoo")
    yield made
    made.close()


async def test_conflicts_in_half_of_the_tasks_land_without_a_person(zoo):
    started = zoo.start("run", "plan.yaml", "--json", "--agents", "12", "--faults", "conflicts", "--seed", "3")
    done = ended(started, float(os.environ.get("SWARM_CONFLICTS_S", MOST_S)))
    assert done.code == 0, done
    assert done.json["state"] == "landed"
    truth = await zoo.truth()
    truth.assert_sound()
    sharing = [task.id for task in zoo.plan.tasks if demo_project.SHARED in task.owns]
    assert len(sharing) >= len(zoo.plan.tasks) / 3
    rejected = [
        json.loads(event.data) | {"task": event.task_id} for event in truth.events if event.kind == "change.rejected"
    ]
    conflicts = {one["task"] for one in rejected if one["kind"] == "conflict"}
    resolved = {event.task_id for event in truth.events if event.kind == "change.resolved"}
    sys.stderr.write(f"{len(zoo.plan.tasks)} tasks, {len(sharing)} share a file, {len(conflicts)} conflicted\n")
    assert conflicts
    assert conflicts <= set(sharing)
    assert resolved == conflicts
    text = truth.hub.read_file(truth.swarm.integration_ref, demo_project.SHARED).decode()
    assert "To be described" not in text
    assert set(re.findall(r"^## (\S+)$", text, re.MULTILINE)) == set(sharing)
    assert not re.search(r"^(<{7}|>{7}) ", text, re.MULTILINE)
