from __future__ import annotations

import pytest

from swarmworks.cli.view import amounts

NANO = 1_000_000_000


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.9, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (90000, "1 d 01 h"),
    ],
)
def test_durations(seconds, said):
    assert amounts.duration(seconds) == said


@pytest.mark.parametrize(
    ("nano", "said"),
    [
        (0, "$0.00"),
        (1, "<$0.0001"),
        (NANO // 400, "$0.0025"),
        (NANO // 100, "$0.01"),
        (1_230_000_000, "$1.23"),
        (12_345 * NANO, "$12,345.00"),
    ],
)
def test_a_small_amount_is_never_shown_as_nothing(nano, said):
    assert amounts.dollars(nano) == said


@pytest.mark.parametrize(
    ("count", "said"), [(999, "999"), (1_000, "1.0k"), (999_949, "999.9k"), (999_950, "1.00M"), (12_345_678, "12.35M")]
)
def test_tokens(count, said):
    assert amounts.tokens(count) == said


def test_shortened_never_exceeds_its_width():
    assert amounts.shortened("abcdef", 4) == "abc…"
    assert amounts.shortened("abcdef", 6) == "abcdef"
    assert amounts.shortened("abcdef", 0) == ""
