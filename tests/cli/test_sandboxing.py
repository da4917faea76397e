from __future__ import annotations

import pytest

from swarmworks.cli.sandboxing import demo_floor, weaker
from swarmworks.domain.isolation import CONTAINED, LEVELS, NAMESPACES, NONE, STRICT, Property
from swarmworks.sandbox.protocol import Probe


def probe(held):
    return Probe("fake", frozenset(held), {name: "not here" for name in Property if name not in held})


@pytest.mark.parametrize(
    ("held", "floor"),
    [
        (STRICT, None),
        (NAMESPACES, None),
        (CONTAINED, "contained"),
        (CONTAINED - {Property.FILES}, None),
        (NONE, None),
    ],
)
def test_a_demo_is_content_with_contained_and_with_nothing_weaker(held, floor):
    assert demo_floor(probe(held)) == floor


@pytest.mark.parametrize("name", ["strict", "full"])
def test_a_usual_floor_needs_no_banner(name):
    assert list(weaker(LEVELS[name], probe(LEVELS[name]))) == []


def test_a_kernel_without_landlock_is_told_of_although_the_usual_floor_allows_it():
    said = list(weaker(NAMESPACES, probe(NAMESPACES)))
    assert said[0] == "The sandbox (fake) lacks exec, and [sandbox] floor in swarm.toml allows that."


def test_a_weak_floor_on_a_strong_machine_needs_none_either():
    assert list(weaker(NONE, probe(STRICT))) == []


def test_a_run_without_a_sandbox_says_so_loudly():
    said = "\n".join(weaker(NONE, probe(NONE)))
    assert said.startswith("NO SANDBOX: ")
    assert "network" in said


def test_a_contained_run_names_what_it_lacks():
    said = list(weaker(CONTAINED, probe(CONTAINED)))
    assert said[0] == "The sandbox (fake) lacks network, protected, and [sandbox] floor in swarm.toml allows that."
