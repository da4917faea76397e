"""`[merge]`: files with a rule of their own for conflicts."""

from __future__ import annotations

import pytest

from swarmworks.wire.config import SwarmConfig
from tests.wire.test_config import SMALL, load, problems

RULES = """
[merge]
union = ["CHANGELOG.md"]
[[merge.regenerate]]
files = ["package-lock.json"]
run = "npm install --package-lock-only"
[[merge.regenerate]]
files = ["src/api/", "openapi.json"]
run = "make api"
"""


def test_each_conflict_is_told_by_the_commands_that_settle_it():
    rules = load(SMALL + RULES).merge
    assert rules.generated == ("package-lock.json", "src/api/", "openapi.json")
    assert rules.commands(["src/api/client.py", "CHANGELOG.md"]) == ("make api",)
    assert rules.commands(["openapi.json", "package-lock.json", "src/api/x"]) == (
        "npm install --package-lock-only",
        "make api",
    )
    assert [rules.is_generated(path) for path in ("src/api/x", "src/api", "web/package-lock.json")] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("entry", ["*.lock", "/package-lock.json", "../other/file", "./file"])
@pytest.mark.parametrize("key", ["union", "files"])
def test_what_would_name_no_file_is_refused(key, entry):
    text = (
        f'[merge]\nunion = ["{entry}"]'
        if key == "union"
        else f'[[merge.regenerate]]\nfiles = ["{entry}"]\nrun = "true"'
    )
    (found,) = problems(f"{SMALL}\n{text}\n")
    assert f"{entry!r} is no path from the root" in found[1]


def test_what_was_stored_before_is_not_refused_for_it():
    stored = load(SMALL).model_dump(mode="json") | {"merge": {"union": ["docs/*.md", "/X"]}}
    assert SwarmConfig.model_validate(stored).merge.union == ("docs/*.md", "/X")


def test_an_older_reader_hears_of_a_rule_only_where_there_is_one():
    assert load(SMALL).model_dump(mode="json")["merge"] == {"union": []}
    text = load(SMALL + RULES).model_dump_json()
    assert SwarmConfig.model_validate_json(text).merge == load(SMALL + RULES).merge


def test_a_command_reads_variables_itself():
    rules = '[[merge.regenerate]]\nfiles = ["a"]\nrun = "make ${OF_THE_COMMAND}"'
    assert load(f"{SMALL}\n{rules}\n").merge.commands(["a"]) == ("make ${OF_THE_COMMAND}",)


@pytest.mark.parametrize("union", ["docs/", "docs/api.json"])
@pytest.mark.parametrize("generated", ["docs/", "docs/api.json"])
def test_a_file_has_one_rule(union, generated):
    text = f'[merge]\nunion = ["{union}"]\n[[merge.regenerate]]\nfiles = ["{generated}"]\nrun = "true"'
    (found,) = problems(f"{SMALL}\n{text}\n")
    assert "is in union and in regenerate" in found[1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[merge]\nunion = ["a.md"]\n[[merge.regenerate]]\nfiles = ["a.md"]\nrun = "true"',
            "'a.md' is in union and in regenerate",
        ),
        ('[[merge.regenerate]]\nfiles = ["a.md"]', "run is missing"),
        ('[[merge.regenerate]]\nfiles = []\nrun = "true"', "files: it names no file"),
    ],
)
def test_a_rule_says_one_thing_and_all_of_it(text, told):
    (found,) = problems(f"{SMALL}\n{text}\n")
    assert told in found[1]
