from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.policy.keeping import not_passed, weakened

WRITTEN = """import pytest

from app import price


@pytest.fixture
def two():
    return 2


class TestPrice:
    def test_doubles(self, two):
        assert price(two) == 4


def test_nothing():
    assert price(0) == 0
"""
PATH = "tests/test_a.py"


def told(kept: str | None, before: str | None = None, path: str = PATH) -> list[tuple[int, str]]:
    return [(each.line, each.message) for each in weakened(path, before, WRITTEN, kept)]


def test_what_is_the_same_or_only_longer_is_kept():
    assert told(WRITTEN) == []
    assert told(WRITTEN.replace("\n", "\r\n")) == []
    assert told(f"{WRITTEN}\n\ndef test_more():\n    assert price(1, skip=2) == 2\n") == []
    assert told(WRITTEN.replace("import pytest\n", "import os\nimport pytest\n")) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "why"),
    [
        ("== 4", "in {2, 4}", 13, "a line of the test is gone or was changed"),
        (
            "    def test_doubles",
            "    @pytest.mark.skip\n    def test_doubles",
            12,
            "TestPrice.test_doubles was changed",
        ),
        (
            "        assert price(two)",
            "        return\n        assert price(two)",
            12,
            "TestPrice.test_doubles was changed",
        ),
        ("def two():\n", "def two():\n    return 0\n", 6, "two was changed"),
        ("class TestPrice:", "@pytest.mark.xfail\nclass TestPrice:", 11, "TestPrice was changed"),
        (
            "    assert price(0) == 0\n",
            "    assert price(0) == 0\n\n\ntest_nothing = print\n",
            20,
            "test_nothing is set",
        ),
        ("def test_nothing", "if price:\n  def test_nothing", 16, "a line of the test is gone"),
    ],
)
def test_every_way_to_weaken_a_test_is_named_with_its_line(old, new, line, why):
    assert WRITTEN.count(old) == 1
    assert any(at == line and why in message for at, message in told(WRITTEN.replace(old, new)))


@pytest.mark.parametrize(
    "more",
    ["price = {0: 0, 2: 4}.get", "def price(n):\n    return 2 * n", "from tests.fake import price", "class price: ..."],
)
def test_what_a_test_uses_cannot_be_given_another_meaning(more):
    kept = f"{WRITTEN}\n\n{more}\n"
    assert told(kept) == [(20, "price, which the test uses, is set once more")]
    assert told(WRITTEN, before=WRITTEN) == told(kept, before=WRITTEN) == []
    assert told(f"{WRITTEN}\n\ntotal = price(2)\nimport os\n") == []


@pytest.mark.parametrize(
    "more",
    [
        "def test_more():\n    global price\n    price = print",
        "from tests.fake import *",
        "try:\n    1 / 0\nexcept ZeroDivisionError as price:\n    pass",
        "match print:\n    case price:\n        pass",
        "for price in [print]:\n    pass",
    ],
)
def test_nor_in_a_way_that_is_hard_to_see(more):
    assert len(told(f"{WRITTEN}\n\n{more}\n")) == 1


def test_a_second_definition_and_a_file_that_is_gone_are_named():
    assert (20, "test_nothing is defined a second time, which hides the first") in told(
        f"{WRITTEN}\n\ndef test_nothing():\n    pass\n"
    )
    assert told(None) == [(0, "the test file is gone")]


def test_what_was_there_before_the_author_came_is_not_his():
    before = WRITTEN.replace("    assert price(0) == 0\n", "    pass\n")
    others = WRITTEN.replace("return 2", "return 3 - 1")
    assert told(others, before) == []
    assert told(others) != []


def test_in_other_languages_added_lines_that_switch_tests_off_are_named():
    path = "src/a.test.ts"
    written = 'it("doubles", () => {\n  expect(price(2)).toBe(4)\n})\n'
    assert weakened(path, None, written, written + 'it("more", () => {})\n') == []
    for line in ('describe.skip("x", () => {})', 'xit("y", () => {})', 'it.only("z", () => {})'):
        assert [each.line for each in weakened(path, None, written, f"{written}{line}\n")] == [4]


def test_tests_have_to_run_and_pass_whatever_their_parameters_are_called():
    assert not_passed(["a::t[1]", "a::t[2]", "a::u"], ["a::t[3]", "a::u"]) == []
    assert not_passed(["a::t[1]", "a::u"], ["a::u2"]) == ["a::t", "a::u"]


lines = st.lists(st.sampled_from(["a = 1", "def test_a():", "    assert a", "", "x("]), max_size=12)


@given(lines, lines)
def test_no_text_breaks_it_and_nothing_lost_is_ever_missed(written, kept):
    found = weakened(PATH, None, "\n".join(written), "\n".join(kept))
    if any(written.count(line) > kept.count(line) for line in written if line.strip()):
        assert found
    assert weakened(PATH, None, "\n".join(written), "\n".join(written)) == []
