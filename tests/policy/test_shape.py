from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmworks.domain.plan import Estimate, Plan, PlannedTask, Source, Stack
from swarmworks.policy.graph import Reach, dependencies, find_cycle, topological
from swarmworks.policy.shape import critical_path, forecast, shape_of


def plan(edges: dict[str, str], minutes: dict[str, float] | None = None) -> Plan:
    tasks = tuple(
        PlannedTask(
            task_id,
            "refactor",
            "",
            "",
            "",
            "",
            depends_on=tuple(waits.split()),
            estimate=Estimate(100, (minutes or {}).get(task_id, 1.0)),
        )
        for task_id, waits in edges.items()
    )
    return Plan("p", "P", "", Stack("", ""), Source("text", "", ""), tasks)


DIAMOND = plan({"a": "", "b": "a", "c": "a", "d": "b c"}, {"b": 5})


def test_the_shape_of_a_diamond():
    shape = shape_of(DIAMOND)
    assert (shape.tasks, shape.minutes, shape.tokens, shape.width) == (4, 8, 400, 2)
    assert (shape.critical_path, shape.critical_minutes) == (("a", "b", "d"), 7)


def test_more_agents_than_width_do_not_help():
    assert [forecast(DIAMOND, agents).minutes for agents in (1, 2, 3, 50)] == [8, 7, 7, 7]
    assert forecast(DIAMOND, 2).busy == pytest.approx(8 / 14)


def test_the_fastest_number_of_agents_is_found():
    fan = plan({"root": "", **{f"t{n}": "root" for n in range(10)}})
    shape = shape_of(fan)
    assert shape.width == 10
    assert shape.fastest_with == 10
    assert shape.keeps_busy == max(n for n in range(1, 12) if forecast(fan, n).busy >= 0.6)


def test_an_empty_plan_has_no_width():
    shape = shape_of(plan({}))
    assert (shape.width, shape.critical_path, forecast(plan({}), 3).minutes) == (0, (), 0)


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 8))
    names = [f"t{n}" for n in range(count)]
    edges = {
        name: " ".join(draw(st.lists(st.sampled_from(names[:n]), unique=True)) if n else [])
        for n, name in enumerate(names)
    }
    return plan(edges, {name: float(draw(st.integers(1, 9))) for name in names})


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_width_is_the_greatest_set_that_may_run_together(found):
    reach = Reach(dependencies(found.tasks))
    ids = [task.id for task in found.tasks]
    best = max(
        len(group)
        for size in range(1, len(ids) + 1)
        for group in combinations(ids, size)
        if all(reach.together(a, b) for a, b in combinations(group, 2))
    )
    assert shape_of(found).width == best


@settings(max_examples=100, deadline=None)
@given(graphs(), st.integers(1, 9))
def test_a_forecast_is_bounded_by_the_work_and_the_critical_path(found, agents):
    shape = shape_of(found)
    minutes = forecast(found, agents).minutes
    assert max(shape.critical_minutes, shape.minutes / agents) <= minutes + 1e-9
    assert minutes <= shape.minutes / agents + shape.critical_minutes + 1e-9
    assert (
        sum(next(t for t in found.tasks if t.id == each).estimate.minutes for each in critical_path(found))
        == shape.critical_minutes
    )


def test_a_large_plan_is_measured_quickly_and_says_that_its_width_is_a_bound():
    edges = {f"t{n}": f"t{n - 7}" if n >= 7 else "" for n in range(3000)}
    shape = shape_of(plan(edges))
    assert (shape.width, shape.width_is_exact) == (7, False)


def test_a_cycle_is_found_behind_other_tasks():
    graph = dependencies(plan({"a": "", "b": "a d", "c": "b", "d": "c", "e": "d"}).tasks)
    cycle = find_cycle(graph)
    assert cycle[0] == cycle[-1]
    assert set(cycle) == {"b", "c", "d"}
    assert topological(graph) == ["a"]
