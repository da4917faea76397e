from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.domain.rejection import LOG_TAIL_BYTES, RejectedFinding, Rejection, RejectionKind
from swarmworks.wire import rejection as wire

REJECTION = Rejection(
    RejectionKind.SCOPE,
    "touched a file it does not own",
    (RejectedFinding("scope", "not owned", "app/main.py", 0, "app/x.py", "app/main.py"),),
    log_tail="log\n",
    tree="a" * 40,
    base="b" * 40,
    attempts_left=2,
)


def test_a_rejection_survives_its_wire_form():
    assert wire.parse(wire.dump(REJECTION)) == REJECTION


def test_yaml_leaves_out_what_is_empty():
    rejection = Rejection(RejectionKind.CONFLICT, "does not merge")
    assert yaml.safe_load(wire.as_yaml(rejection)) == {
        "kind": "conflict", "summary": "does not merge", "attempts_left": 0,
    }  # fmt: skip


def test_a_log_is_a_literal_block():
    assert "log_tail: |\n  log\n" in wire.as_yaml(REJECTION)


@pytest.mark.parametrize("text", ["", "{}", '{"kind": "bored", "summary": ""}', '{"kind": "stale"}', "x" * (2 << 20)])
def test_what_is_no_rejection_is_refused(text):
    with pytest.raises(InvalidDocumentError):
        wire.parse(text)


def test_more_findings_than_fit_are_counted():
    many = Rejection(RejectionKind.GATE_FAILED, "failed", tuple(RejectedFinding("g", str(n)) for n in range(60)))
    read = wire.parse(wire.dump(many))
    assert len(read.findings) == wire.MAX_FINDINGS
    assert read.summary == "failed (and 10 more findings)"


anything = st.text(max_size=30) | st.text(max_size=30).map(lambda text: text * 300)


@given(anything, anything, anything, st.integers(-3, 10**6))
def test_any_gate_output_can_be_written_read_and_shown(first, second, third, number):
    finding = RejectedFinding(first, second, third, number, second, first)
    rejection = Rejection(RejectionKind.FLAKY, third, (finding,), first, second, third, number)
    read = wire.parse(wire.dump(rejection))
    assert len(read.log_tail.encode()) <= LOG_TAIL_BYTES
    assert wire.parse(wire.dump(read)) == read
    assert yaml.safe_load(wire.as_yaml(read))["kind"] == "flaky"


def test_the_tail_begins_at_a_character():
    assert wire.tail("é" * 10, 5) == "éé"
