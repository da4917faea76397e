"""What `swarm logs` and the dashboard say of a conflict that is seen coming, and of work that was saved."""

from swarmworks.cli.view.phrases import Mood, Weight, phrase
from tests.cli.sample import event


def test_a_conflict_seen_coming_names_the_other_task_and_the_files():
    told = phrase(event(7, "conflict.foreseen", "one", message="msg_1", other="two", paths="app/main.py"))
    assert (told.subject, told.mood, told.weight) == ("one", Mood.CARE, Weight.NEWS)
    assert told.text == "changes the same lines of app/main.py as two: its agent is told"


def test_saved_work_is_a_detail():
    told = phrase(event(8, "session.saved", "one", actor="agent:ada", commit="c" * 40))
    assert (told.text, told.weight) == ("saved its work so far", Weight.DETAIL)
