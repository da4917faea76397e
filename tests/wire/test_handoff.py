from __future__ import annotations

import pytest
from pydantic import ValidationError

from swarmworks.agent import hand_in
from swarmworks.base.errors import InvalidDocumentError
from swarmworks.domain.handoff import ChangedFile, Handoff
from swarmworks.wire import handoff as wire

HANDOFF = Handoff("submitted", "did it", (ChangedFile("a.py", "new"),), ("n",), ("r",))


def test_a_handoff_survives_its_wire_form():
    assert wire.parse(wire.dump(HANDOFF)) == HANDOFF


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"outcome": "landed", "done": "x"}',
        '{"outcome": "submitted"}',
        '{"outcome": "submitted", "done": "x", "verdict": "approved"}',
        '{"outcome": "submitted", "done": "%s"}' % ("x" * 2001),
        '{{"outcome": "submitted", "done": "x", "notes": [{}]}}'.format(", ".join(['"n"'] * 21)),
        '{"outcome": "submitted", "done": "x", "risks": ["%s"]}' % ("r" * 501),
        '{"outcome": "submitted", "done": "x", "changed": [{"path": "a", "what": "%s"}]}' % ("w" * 301),
        '{"outcome": "submitted", "done": "x", "changed": [{"path": "", "what": "w"}]}',
        " " * (wire.MAX_BYTES + 1),
    ],
)
def test_what_does_not_fit_is_refused(text):
    with pytest.raises(InvalidDocumentError):
        wire.parse(text)


def test_a_handoff_beyond_the_limits_is_not_written():
    with pytest.raises(ValidationError):
        wire.dump(Handoff("submitted", "x" * 2001))


def test_the_agent_in_the_sandbox_knows_the_same_limits():
    for name in ("MAX_DONE_CHARS", "MAX_CHANGED", "MAX_PATH_CHARS", "MAX_WHAT_CHARS", "MAX_ITEMS", "MAX_ITEM_CHARS"):
        assert getattr(hand_in, name) == getattr(wire, name)


def test_the_largest_handoff_the_agent_lets_through_is_read():
    largest = {
        "outcome": "submitted",
        "done": "d" * 2000,
        "changed": [{"path": f"{n:0500}", "what": "w" * 300} for n in range(200)],
        "notes": ["n" * 500] * 20,
        "risks": ["r" * 500] * 20,
    }
    assert wire.HandoffDocument.model_validate(hand_in.checked(largest)).to_domain().done == "d" * 2000
    progress = hand_in.progress([f"{n:0600}" for n in range(300)], "w" * 5000)
    assert wire.HandoffDocument.model_validate(progress).outcome == "handed_off"
