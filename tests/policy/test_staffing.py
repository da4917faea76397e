from __future__ import annotations

from swarmworks.domain.plan import COMMAND, FIX_BUG
from swarmworks.policy.staffing import staff
from tests.policy.test_lint import plan, task

WORK = plan(task("a", role="api", kind="refactor"), task("b", "a", role="testing", kind="write_tests"))


def test_roles_follow_the_work_of_the_plan():
    assert [agent.name for agent in staff(WORK, 3, "p")] == ["api-1", "api-2", "testing-1"]


def test_roles_that_are_configured_are_given_out_in_turn_and_take_every_kind():
    agents = staff(WORK, 5, "p", ["backend", "web", "backend"])
    assert [agent.name for agent in agents] == ["backend-1", "backend-2", "backend-3", "web-1", "web-2"]
    assert {agent.kinds for agent in agents} == {frozenset({"refactor", "write_tests", FIX_BUG, COMMAND})}


def test_more_roles_than_agents_leave_the_last_out():
    assert [agent.role for agent in staff(WORK, 1, "p", ["backend", "web"])] == ["backend"]
