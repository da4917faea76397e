from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.base.errors import ConflictError
from swarmworks.domain.diagrams import TABLES, render
from swarmworks.domain.event import GENESIS, Event, NewEvent, canonical_json, chain_hash, first_break
from swarmworks.domain.table import TransitionTable
from swarmworks.domain.task import HOLDS_FILES, SATISFIED, TASK_TABLE

ROOT = Path(__file__).parents[2]


def test_the_page_of_states_is_the_one_the_tables_generate():
    assert (ROOT / "docs" / "states.md").read_text(encoding="utf-8") == render()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_state_is_reached_and_every_event_means_something(table: TransitionTable):
    reached = {table.start} | set(table.moves.values())
    assert reached == set(table.states)
    assert {event for _state, event in table.moves} == set(type(next(iter(table.moves))[1]))
    assert table.terminal


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_what_the_table_does_not_say_is_a_conflict(table: TransitionTable):
    events = set(type(next(iter(table.moves))[1]))
    for state in table.states:
        for event in events:
            if (state, event) in table.moves:
                assert state in table.sources(event)
                assert table.next(state, event) is table.moves[state, event]
            else:
                with pytest.raises(ConflictError, match=state):
                    table.next(state, event)


def test_what_satisfies_dependents_is_final_so_that_it_counts_once():
    assert TASK_TABLE.terminal >= SATISFIED
    assert not HOLDS_FILES & TASK_TABLE.terminal


def chain(count, clock_at):
    events, previous = [], GENESIS
    for seq in range(1, count + 1):
        new = NewEvent("task.noted", "platform", {"n": seq})
        data = canonical_json(new.data)
        link = chain_hash(previous, seq, clock_at.isoformat(), new, data)
        events.append(Event("s", seq, clock_at, new.kind, new.actor, None, None, data, previous, link))
        previous = link
    return events


@given(st.integers(2, 12), st.data(), st.datetimes())
def test_a_changed_dropped_or_swapped_event_breaks_the_chain_there(count, data, at):
    events = chain(count, at)
    assert first_break(events) is None
    where = data.draw(st.integers(0, count - 2))
    swapped = [*events[:where], events[where + 1], events[where], *events[where + 2 :]]
    dropped = events[:where] + events[where + 1 :]
    assert first_break(swapped) == events[where + 1].seq
    assert first_break(dropped) == events[where + 1].seq
