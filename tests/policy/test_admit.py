from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from swarmworks.base.ids import AgentId, TaskId
from swarmworks.domain.agent import Agent
from swarmworks.policy.admit import Choice, ClaimFacts, ReadyTask, choose, overlaps

paths = st.sampled_from(["src/", "src/a.py", "src/b/", "src/b/c.py", "docs/x.md", "srcs/a.py"])
kinds = st.sampled_from(["code", "test", "docs"])


@st.composite
def facts(draw):
    ready = [
        ReadyTask(TaskId(f"t{n}"), draw(kinds), draw(st.sampled_from(["coder", "tester"])), tuple(owns), 100 - n)
        for n, owns in enumerate(draw(st.lists(st.lists(paths, max_size=3), max_size=8)))
    ]
    idle = [
        Agent(AgentId(f"a{n}"), f"a{n}", draw(st.sampled_from(["coder", "tester"])), frozenset(can))
        for n, can in enumerate(draw(st.lists(st.sets(kinds), max_size=6)))
    ]
    held = frozenset(draw(st.sets(paths, max_size=2)))
    return ClaimFacts(ready, idle, held, draw(st.integers(0, 6)), draw(st.integers(0, 6)))


@given(facts())
def test_nothing_is_given_twice_and_no_bound_is_crossed(given_facts):
    choices = choose(given_facts)
    tasks = {task.id: task for task in given_facts.ready}
    agents = {agent.id: agent for agent in given_facts.idle}
    assert len(choices) <= min(given_facts.places, given_facts.affordable)
    assert len({c.task_id for c in choices}) == len({c.agent_id for c in choices}) == len(choices)
    held = set(given_facts.held_paths)
    for choice in choices:
        task = tasks[choice.task_id]
        assert task.kind in agents[choice.agent_id].kinds
        assert not any(overlaps(mine, theirs) for mine in task.owns for theirs in held)
        held.update(task.owns)


def test_an_agent_whose_share_is_used_up_takes_only_what_costs_nothing():
    ready = [
        ReadyTask(TaskId("thinks"), "code", "coder", (), 2),
        ReadyTask(TaskId("runs"), "code", "coder", (), 1, needs_a_model=False),
    ]
    idle = [Agent(AgentId("a0"), "a0", "coder", frozenset({"code"}))]
    given_facts = ClaimFacts(ready, idle, frozenset(), 5, 5)
    assert [c.task_id for c in choose(given_facts)] == ["thinks"]
    assert [c.task_id for c in choose(replace(given_facts, spent=frozenset({AgentId("a0")})))] == ["runs"]


def test_where_files_are_not_exclusive_two_tasks_may_write_the_same_one():
    ready = [ReadyTask(TaskId(name), "code", "coder", ("src/a.py",), 1) for name in ("one", "two")]
    idle = [Agent(AgentId(f"a{n}"), f"a{n}", "coder", frozenset({"code"})) for n in range(2)]
    given_facts = ClaimFacts(ready, idle, frozenset({"src/"}), 5, 5)
    assert choose(given_facts) == []
    assert [c.task_id for c in choose(replace(given_facts, exclusive=False))] == ["one", "two"]


def test_where_files_are_not_exclusive_those_expected_to_write_others_go_first_but_never_before_what_unblocks_more():
    ready = [
        ReadyTask(TaskId(name), "code", "coder", (path,), rank)
        for name, path, rank in (("first", "src/a.py", 2), ("clashes", "src/a.py", 1), ("apart", "src/b.py", 1))
    ]
    idle = [Agent(AgentId(f"a{n}"), f"a{n}", "coder", frozenset({"code"})) for n in range(2)]
    given_facts = ClaimFacts(ready, idle, frozenset({"src/a.py"}), 2, 2, exclusive=False)
    assert [c.task_id for c in choose(given_facts)] == ["first", "apart"]
    assert [
        c.task_id
        for c in choose(replace(given_facts, places=3, affordable=3, idle=[*idle, replace(idle[0], id=AgentId("a3"))]))
    ] == [
        "first",
        "apart",
        "clashes",
    ]


@given(facts())
def test_a_task_is_passed_over_only_for_a_reason(given_facts):
    choices = choose(given_facts)
    if len(choices) == min(given_facts.places, given_facts.affordable):
        return
    chosen, busy = {c.task_id for c in choices}, {c.agent_id for c in choices}
    held = set(given_facts.held_paths).union(*(t.owns for t in given_facts.ready if t.id in chosen))
    for task in given_facts.ready:
        if task.id not in chosen:
            blocked = any(overlaps(mine, theirs) for mine in task.owns for theirs in held)
            assert blocked or not any(task.kind in a.kinds for a in given_facts.idle if a.id not in busy)


@given(paths, paths)
def test_overlap_is_symmetric(one, other):
    assert overlaps(one, other) == overlaps(other, one)


def test_a_folder_overlaps_what_is_in_it_and_nothing_that_only_looks_alike():
    assert overlaps("src/", "src/a.py")
    assert not overlaps("src/", "srcs/a.py")
    assert not overlaps("src/a", "src/a.py")


def test_the_own_role_is_preferred_then_the_specialist():
    ready = [ReadyTask(TaskId("t"), "code", "coder", (), 1)]
    generalist = Agent(AgentId("1"), "ann", "tester", frozenset({"code", "test"}))
    specialist = Agent(AgentId("2"), "zoe", "tester", frozenset({"code"}))
    own_role = Agent(AgentId("3"), "bob", "coder", frozenset({"code", "test", "docs"}))
    for idle, wanted in (([generalist, specialist, own_role], "3"), ([generalist, specialist], "2")):
        assert choose(ClaimFacts(ready, idle, frozenset(), 1, 1)) == [Choice(TaskId("t"), AgentId(wanted))]
