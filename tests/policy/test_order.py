import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.base.errors import RejectedError
from swarmworks.base.ids import TaskId
from swarmworks.domain.plan import Estimate, Plan, PlannedTask, Source, Stack
from swarmworks.policy.order import rank


def task(name, *needs, minutes=1.0, priority=0):
    needed = tuple(TaskId(each) for each in needs)
    return PlannedTask(TaskId(name), "k", name, "r", "i", "o", needed, priority=priority, estimate=Estimate(1, minutes))


def plan(*tasks):
    return Plan("p", "p", "", Stack("python", ""), Source("text", "-", ""), tuple(tasks))


def first_to_last(*tasks):
    ranks = rank(plan(*tasks))
    return sorted(ranks, key=lambda each: -ranks[each])


def test_the_head_of_the_longest_chain_goes_first():
    assert first_to_last(task("x"), task("c", "b"), task("b", "a"), task("a")) == ["a", "b", "x", "c"]


def test_a_chain_is_as_long_as_its_estimates():
    assert first_to_last(task("a"), task("b", "a"), task("long", minutes=9)) == ["long", "a", "b"]


def test_among_equal_chains_more_dependents_then_priority_then_plan_order_decide():
    tasks = [task("a"), task("b"), task("a1", "a"), task("b1", "b"), task("b2", "b"), task("b3", "b", priority=5)]
    assert first_to_last(*tasks) == ["b", "a", "b3", "a1", "b1", "b2"]


def test_a_cycle_and_an_unknown_dependency_are_refused():
    with pytest.raises(RejectedError, match="a, b"):
        rank(plan(task("a", "b"), task("b", "a"), task("c")))
    with pytest.raises(RejectedError, match="nowhere"):
        rank(plan(task("a", "nowhere")))


def test_a_deep_plan_is_ranked_without_recursion():
    tasks = [task("t0"), *(task(f"t{n}", f"t{n - 1}", f"t{max(0, n - 2)}") for n in range(1, 5000))]
    ranks = rank(plan(*tasks))
    assert [ranks[t.id] for t in tasks] == list(range(5000, 0, -1))


@given(st.lists(st.tuples(st.sets(st.integers(0, 30)), st.integers(0, 9), st.integers(0, 3)), max_size=30))
def test_ranks_are_dense_and_a_task_outranks_what_waits_for_it(rows):
    tasks = [
        task(f"t{n}", *(f"t{d}" for d in needs if d < n), minutes=minutes, priority=priority)
        for n, (needs, minutes, priority) in enumerate(rows)
    ]
    ranks = rank(plan(*tasks))
    assert sorted(ranks.values()) == list(range(1, len(tasks) + 1))
    assert all(ranks[needed] > ranks[t.id] for t in tasks for needed in t.depends_on)
    assert rank(plan(*tasks)) == ranks
