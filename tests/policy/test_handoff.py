from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarmworks.domain.handoff import ChangedFile, Handoff
from swarmworks.policy.handoff import check


def handoff(*paths, outcome="submitted"):
    return Handoff(outcome, "done", tuple(ChangedFile(path, "what") for path in paths), ("note",), ("risk",))


def test_an_honest_handoff_has_no_problems():
    honest = handoff("a.py", "b.py")
    assert check(honest, ["b.py", "a.py"]) == (honest, [])


def test_claims_that_the_diff_does_not_show_are_dropped_and_told():
    checked, problems = check(handoff("a.py", "ghost.py"), ["a.py"])
    assert [file.path for file in checked.changed] == ["a.py"]
    assert problems == ["claimed as changed, but not in the diff: ghost.py"]
    assert checked.notes == ("note",)


def test_files_changed_but_not_mentioned_are_told():
    assert check(handoff("a.py"), ["a.py", "secret.py"])[1] == ["changed, but not mentioned: secret.py"]


def test_a_path_is_the_same_however_it_is_written():
    checked, problems = check(handoff("./app//x.py", "app/x.py"), ["app/x.py"])
    assert [file.path for file in checked.changed] == ["app/x.py"]
    assert problems == []


def test_the_outcome_must_fit_the_diff():
    assert (
        check(handoff(outcome="nothing_to_do"), ["a.py"])[1][-1] == "said there was nothing to do, but changed 1 file"
    )
    assert check(handoff(), [])[1] == ["submitted, but nothing was changed"]
    assert check(handoff(outcome="nothing_to_do"), [])[1] == []


paths = st.lists(st.sampled_from(["a", "b", "c/d", "./a", "c//d", "../e", ""]), max_size=8)


@given(paths, paths)
def test_nothing_is_passed_on_that_the_diff_does_not_show(claimed, changed):
    checked, problems = check(handoff(*claimed), changed)
    kept = [file.path for file in checked.changed]
    assert set(kept) <= set(changed)
    assert len(kept) == len(set(kept))
    assert all(len(problem) < 500 for problem in problems)


def test_a_long_list_is_counted():
    problem = check(handoff(), [f"f{n:03}.py" for n in range(50)])[1][0]
    assert problem.endswith("f019.py and 30 more")
