from __future__ import annotations

import json

import pytest

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.wire.issues import parse_issues


def test_githubs_export_and_gitlabs_are_read():
    github = [{"number": 7, "title": "Crash on\tstart", "body": "It crashes.", "labels": [{"name": "bug"}]}]
    gitlab = [
        {"iid": 3, "title": "Add slugs", "description": None, "labels": ["feature"], "state": "opened"},
        {"iid": 4, "title": "Done", "description": "x", "labels": [], "state": "closed"},
    ]
    (one,) = parse_issues("issues.json", json.dumps(github))
    assert (one.number, one.title, one.body, one.labels) == (7, "Crash on start", "It crashes.", ("bug",))
    (two,) = parse_issues("issues.json", json.dumps(gitlab))
    assert (two.number, two.title, two.body, two.labels) == (3, "Add slugs", "", ("feature",))


def test_a_markdown_list_is_read_with_its_bodies_and_without_what_is_ticked():
    text = "# To do\n\n- [ ] #12 Fix the parser\n  It loses lines.\n  - and tabs\n- [x] done\n* Add slugs\n1. Third\n"
    found = parse_issues("todo.md", text)
    assert [(each.number, each.title) for each in found] == [(12, "Fix the parser"), (2, "Add slugs"), (3, "Third")]
    assert found[0].body == "It loses lines.\n- and tabs"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[{", "not valid JSON"),
        (f'[{{"number": {"1" * 5000}, "title": "x"}}]', "not valid JSON"),
        ('[{"title": "x"}]', "entry 1 has no number"),
        ('[{"number": true, "title": "x"}]', "entry 1 has no number"),
        ("[3]", "entry 1 has no number"),
        ("[]", "no open issue"),
        ("no list here\n", "there is no list of issues"),
        ("- #1 a\n- #1 b\n", "issue #1 is there more than once"),
        (json.dumps([{"number": n + 1, "title": "x"} for n in range(201)]), "201 issues"),
    ],
)
def test_what_is_no_list_of_issues_is_refused_with_the_mend(text, said):
    with pytest.raises(InvalidDocumentError, match=said):
        parse_issues("issues", text)
