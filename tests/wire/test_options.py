"""Which program does a task, and which model it asks: by its kind, else by its role, else as the swarm does."""

from __future__ import annotations

import pytest

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.wire.config_file import load_config
from swarmworks.wire.options import SwarmOptions, from_json, to_json
from tests.scenario.harness import configuration, plan, task

KINDS = {"tester": "b:cheap", "document": "b:cheap"}
RUNTIMES = {"tester": "codex", "refactor": "claude"}
OPTIONS = SwarmOptions(
    config=configuration(), model="a:big", agents=2, runtime="builtin", kinds=KINDS, runtimes=RUNTIMES
)
BASE = '[project]\nname = "p"\n[gates.tests]\nrun = "true"\n'


@pytest.mark.parametrize(
    ("kind", "role", "pair"),
    [
        ("write_tests", "tester", ("codex", "b:cheap")),
        ("refactor", "tester", ("claude", "b:cheap")),
        ("document", "api", ("builtin", "b:cheap")),
        ("implement_feature", "api", ("builtin", "a:big")),
    ],
)
def test_a_kind_goes_before_a_role_and_a_role_before_the_swarms_own(kind, role, pair):
    found = from_json(to_json(OPTIONS))
    assert (found.runtime_for(kind=kind, role=role), found.model_for(kind=kind, role=role)) == pair
    tasks = plan(task("t0", kind=kind, role=role), task("t1", kind="command", role=role, run="true"))
    assert set(found.pairs_of(tasks)) == {pair}


def test_a_command_is_no_other_programs_work():
    assert OPTIONS.runtime_for(kind="command", role="tester") == "command"


def test_the_pairs_hold_every_program_with_what_is_asked_through_it():
    assert OPTIONS.pairs() == {
        ("builtin", "a:big"),
        ("codex", "b:cheap"),
        ("claude", "a:big"),
        ("builtin", "b:cheap"),
    }


def test_programs_are_named_in_the_configuration_by_kind_or_role():
    config = load_config(BASE + '[agents.runtimes]\ntester = "codex"\n', name="swarm.toml", environment={})
    assert config.agents.programs == {"builtin", "codex"}
    with pytest.raises(InvalidDocumentError, match=r"agents.runtimes.tester is none of builtin, claude"):
        load_config(BASE + '[agents.runtimes]\ntester = "codec"\n', name="swarm.toml", environment={})
