import pytest
from bench.ideal import Attempt, Places, TaskDone, ideal_s

WIDE = Places(agents=10, commands=10, builds=2)


def task(name, *attempts, **more):
    return TaskDone(name, more.pop("rank", 0), attempts or (Attempt(1.0),), **more)


def test_what_nothing_holds_up_takes_as_long_as_the_longest_chain():
    tasks = [task("a"), task("b", Attempt(2.0), depends_on=("a",)), task("c", Attempt(2.5))]
    assert ideal_s(tasks, WIDE) == 3.0


def test_sessions_wait_for_an_agent_and_the_higher_rank_goes_first():
    tasks = [task("low"), task("high", Attempt(1.0), rank=5), task("after", Attempt(2.0), depends_on=("high",))]
    assert ideal_s(tasks, Places(agents=1, commands=1, builds=1)) == 4.0
    assert ideal_s(tasks, Places(agents=2, commands=1, builds=1)) == 3.0


def test_gate_commands_share_their_places():
    tasks = [task("a", Attempt(1.0, change_s=(10.0, 10.0, 10.0)))]
    assert ideal_s(tasks, Places(agents=1, commands=1, builds=1)) == 31.0
    assert ideal_s(tasks, Places(agents=1, commands=3, builds=1)) == 11.0


def test_quick_commands_have_one_place_more():
    suite = task("suite", Attempt(1.0, change_s=(60.0,)), rank=1)
    quick = [task(name, Attempt(2.0, change_s=(3.0,))) for name in ("a", "b")]
    places = Places(agents=3, commands=1, builds=1)
    assert ideal_s([suite, *quick, task("after", depends_on=("a", "b"))], places) == 61.0
    assert ideal_s(quick, places) == 5.0


def test_builds_land_in_the_order_they_began_two_at_a_time():
    slow, quick = Attempt(1.0, builds_s=((5.0,),)), Attempt(1.0, builds_s=((1.0,),))
    tasks = [task("first", slow, rank=2), task("second", quick, rank=1), task("third", quick)]
    assert ideal_s(tasks, WIDE) == 7.0
    assert ideal_s(tasks, Places(agents=10, commands=10, builds=3)) == 6.0


def test_every_attempt_counts_and_a_fix_ends_what_it_was_filed_for():
    tasks = [
        task("tests", Attempt(1.0, change_s=(1.0,)), Attempt(1.0)),
        task("fix", Attempt(2.0), fixes="tests"),
        task("docs", depends_on=("tests",)),
    ]
    assert ideal_s(tasks, WIDE) == 6.0


def test_a_task_that_waits_for_nothing_that_ends_is_an_error():
    with pytest.raises(ValueError, match="lost"):
        ideal_s([task("lost", depends_on=("nobody",))], WIDE)
