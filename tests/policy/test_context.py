import pytest

from swarmworks.policy.context import ContextRules, misunderstood

RULES = ContextRules(80, {"local:small": 10_000})


@pytest.mark.parametrize(("tokens", "full"), [(7_999, False), (8_000, True), (12_000, True)])
def test_a_window_is_full_from_its_share_on(tokens, full):
    assert RULES.is_full(tokens, 10_000) is full
    assert not ContextRules(0).is_full(tokens, 10_000)


def test_the_smaller_window_counts():
    assert RULES.window("local:small", None) == 10_000
    assert RULES.window("local:small", 200_000) == 10_000
    assert RULES.window("local:small", 4_000) == 4_000
    assert RULES.window("other:model", 200_000) == 200_000
    assert RULES.window("other:model", None) is None


def test_who_takes_over_must_know_its_task():
    owns = ("src/a.py", "docs/")
    assert misunderstood("t0", owns, " t0 ", ["./src/a.py", "docs/"], "the tests") == []
    assert misunderstood("t0", owns, "t1", owns, "x") == ["your task is not 't1'"]
    assert misunderstood("t0", owns, "t0", [*owns, "b.py"], "x") == ["you do not own b.py"]
    assert misunderstood("t0", owns, "t0", ["docs/"], "x") == ["you left out 1 of the files you own"]
    assert misunderstood("t0", owns, "t0", ["src/a.py", "docs"], "x")
    assert misunderstood("t0", owns, "t0", owns, " ") == ["say what is left to do"]
