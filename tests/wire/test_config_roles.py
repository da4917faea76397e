from __future__ import annotations

from pathlib import Path

import pytest

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.domain.isolation import LEVELS, Property
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.config_file import load_config
from swarmworks.wire.config_roles import DEFAULT_ROLES, writable

BASE = 'gates = "none"\n[project]\nname = "p"\n'
PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"


def load(text: str):
    return load_config(BASE + text, name="swarm.toml", environment={})


def problem(text: str) -> str:
    with pytest.raises(InvalidDocumentError) as caught:
        load(text)
    return str(caught.value)


def test_what_a_role_is_not_given_is_off():
    role = load("[roles.auditor]\n").role("auditor")
    assert (role.files, role.run, role.reach) == ("none", (), ())


def test_a_role_of_the_plan_has_the_boundaries_of_its_kind_until_the_file_names_it():
    config = load('[roles.implementer]\nfiles = "read"\n[roles.api]\nfiles = "write"\nrun = ["sh"]\n')
    assert config.role("api").run == ("sh",)
    assert config.role("database").files == "read"
    assert config.role("testing") == DEFAULT_ROLES["tester"]
    assert config.role("review").files == "read"
    assert load("").role("a name of one's own") == DEFAULT_ROLES["implementer"]
    assert config.role("a name of one's own").files == "read", "an implementer's, as the file has that"


def test_to_name_a_host_takes_nothing_else_from_a_role():
    config = load('[roles.api]\nreach = ["docs.python.org"]\n')
    role = SwarmConfig.model_validate_json(config.model_dump_json()).role("api")  # as a worker gets it
    assert role.reach == ("docs.python.org",)
    assert (role.files, role.run) == (DEFAULT_ROLES["implementer"].files, DEFAULT_ROLES["implementer"].run)
    assert load("[roles.api]\nrun = []\n").role("api").run == ()
    of_kind = load('[roles.api]\nreach = ["docs.python.org"]\n[roles.implementer]\nrun = ["sh"]\n')
    assert of_kind.role("api").run == ("sh",)


def test_no_role_reaches_a_host_by_default():
    assert {role.reach for role in DEFAULT_ROLES.values()} == {()}


def test_project_tools_are_those_of_the_language():
    config = load("")
    implementer, reviewer = config.role("implementer"), config.role("reviewer")
    assert {"git", "sh", "make", "python3"} <= set(implementer.programs("python"))
    assert "node" not in implementer.programs("python")
    assert {"node", "python3", "cargo"} <= set(implementer.programs("a language nobody thought of"))
    assert not {"make", "python3"} & set(reviewer.programs("python"))


def test_what_a_role_may_write_narrows_what_it_owns():
    config = load('[roles.documenter]\nfiles = "write"\nwrite = ["docs/"]\n')
    assert writable(config.role("documentation")) == ("docs/",)
    assert writable(config.role("implementer")) is None
    assert writable(config.role("reviewer")) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[roles.x]\nfiles = "all"\n', "roles.x.files"),
        ('[roles.x]\nreach = ["https://docs.python.org"]\n', "roles.x.reach"),
        ('[roles.x]\nreach = ["docs.python.org:99999"]\n', "65535"),
        ('[roles.x]\nrun = ["../sh"]\n', "roles.x.run"),
        ('[roles.x]\nwrites = ["docs/"]\n', "roles.x.writes"),
        ('[sandbox]\nfloor = "fulll"\n', "strict, full, namespaces, contained, none"),
        ('[sandbox]\nfloor = ["fulls"]\n', "sandbox.floor"),
    ],
)
def test_a_wrong_boundary_is_an_error_that_names_its_place(text, said):
    assert said in problem(text)


@pytest.mark.parametrize("name", LEVELS)
def test_a_floor_is_a_name_or_a_set(name):
    assert load(f'[sandbox]\nfloor = "{name}"\n').sandbox.floor == LEVELS[name]
    listed = ", ".join(f'"{each}"' for each in LEVELS[name])
    assert load(f"[sandbox]\nfloor = [{listed}]\n").sandbox.floor == LEVELS[name]


def test_a_strict_floor_keeps_agents_from_running_what_they_wrote_and_leaves_gates_their_tools():
    section = load('[sandbox]\nfloor = "strict"\n').sandbox
    assert section.agents_noexec
    assert section.gates_floor == frozenset(Property) - {Property.EXEC, Property.NOEXEC}
    assert not load("").sandbox.agents_noexec


def test_the_page_has_every_role_as_it_is():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for name, role in DEFAULT_ROLES.items():
        run = ", ".join(f"`{entry}`" for entry in role.run)
        assert f"| `{name}` | {role.files} | {run} | none |" in lines
