from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from swarmworks.base.ids import SwarmId
from swarmworks.domain.anchor import Anchor, Head, fault, key_id, said, sign
from swarmworks.domain.event import GENESIS

KEY, OLD_KEY = b"k" * 32, b"o" * 32
KEYS = {key_id(KEY): KEY, key_id(OLD_KEY): OLD_KEY}
AT = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
FIRST = sign(OLD_KEY, None, AT, [Head(SwarmId("swm_1"), 7, "a" * 64)])
SECOND = sign(KEY, FIRST, AT, [Head(SwarmId("swm_1"), 9, "b" * 64), Head(SwarmId("swm_2"), 1, "c" * 64)])


def test_an_anchor_says_where_the_chains_stood_and_follows_the_one_before_it():
    told = said(SECOND)
    assert (told.number, told.at, told.previous, said(FIRST).previous) == (2, AT, FIRST.hash, GENESIS)
    assert told.heads[1] == Head(SwarmId("swm_2"), 1, "c" * 64)
    assert fault(FIRST, None, KEYS) is fault(SECOND, FIRST, KEYS) is None
    assert KEY.hex() not in SECOND.statement


@pytest.mark.parametrize(
    ("anchor", "previous", "wrong"),
    [
        (replace(SECOND, statement=SECOND.statement.replace('"swm_1",9', '"swm_1",8')), FIRST, "signature"),
        (replace(SECOND, signature=FIRST.signature), FIRST, "signature"),
        (SECOND, None, "does not follow"),
        (replace(SECOND, number=3), FIRST, "does not follow"),
        (FIRST, SECOND, "does not follow"),
        (sign(b"x" * 32, FIRST, AT, []), FIRST, "which is not here"),
        (Anchor(2, "{}", SECOND.signature), FIRST, "cannot be read"),
        (Anchor(2, "[1]", SECOND.signature), FIRST, "cannot be read"),
        (Anchor(2, "x", SECOND.signature), FIRST, "cannot be read"),
    ],
)
def test_what_was_not_signed_so_is_no_anchor(anchor, previous, wrong):
    assert wrong in str(fault(anchor, previous, KEYS))
