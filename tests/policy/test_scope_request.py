import pytest

from swarmworks.policy.scope_request import covered, granted, in_words, refusal
from swarmworks.wire.protected import ALWAYS_PROTECTED, DEFAULT_PROTECTED

PROTECTED = (*ALWAYS_PROTECTED, *DEFAULT_PROTECTED)
HELD = {"src/b.py": "b", "lib/": "c", "mine.py": "a"}


@pytest.mark.parametrize(
    ("path", "because"),
    [
        ("swarm.toml", "protected"),
        ("SWARM.toml", "protected"),
        ("sub/.git/config", "no path"),
        (".github/", "protected"),
        ("deep/.claude/settings.json", "protected"),
        ("../out.py", "no path"),
        ("/etc/passwd", "no path"),
        ("a//b", "no path"),
        ("", "no path"),
        ("a\nb", "no path"),
        ("a\\b", "no path"),
        ("x" * 301, "no path"),
        ("src/b.py", "task b"),
        ("src/", "task b"),
        ("lib/deep/x.py", "task c"),
    ],
)
def test_a_rule_refuses_what_no_person_is_asked_for(path, because):
    assert because in (refusal([path], PROTECTED, HELD, "a") or "")


@pytest.mark.parametrize("path", ["src/new.py", "docs/", "mine.py"])
def test_a_person_is_asked_for_the_rest(path):
    assert refusal([path], PROTECTED, HELD, "a") is None


@pytest.mark.parametrize(
    ("path", "patterns", "asked"),
    [
        ("src/new.py", ("docs/**", "*.md"), False),
        ("src/new.md", ("docs/**", "*.md"), True),
        ("Docs/x/y.txt", ("docs/**",), True),
        ("src/", ("docs/**",), False),
        ("src/", ("src/**/*.md",), True),
        ("src/", ("src/deep/notes.md",), True),
        ("src/", ("*.md",), True),
        ("src/deep/", ("/src",), True),
        ("src/", (), False),
        ("docs/a.md", (), False),
    ],
)
def test_nobody_is_asked_for_what_the_role_may_never_write(path, patterns, asked):
    said = refusal([path], PROTECTED, {}, "a", patterns)
    assert (said is None, "your role" in (said or "")) == (asked, not asked)


def test_one_bad_path_spoils_the_request_and_so_do_too_many():
    assert refusal(["fine.py", "swarm.toml"], PROTECTED, {}, "a")
    assert refusal([f"f{n}.py" for n in range(21)], PROTECTED, {}, "a")
    assert refusal([], PROTECTED, {}, "a")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("yes", True),
        ("Yes, but mind x", True),
        ("y", True),
        ("no", False),
        ("No. Never", False),
        ("maybe", None),
        (" ", None),
    ],
)
def test_the_first_word_of_an_answer_counts(answer, said):
    assert granted(answer) is said


def test_a_folder_covers_what_is_below_it():
    assert covered("src/a.py", ["src/"])
    assert not covered("srcs/a.py", ["src/"])
    assert "x.py, y/" in in_words(["x.py", "y/"], "it needs them")
