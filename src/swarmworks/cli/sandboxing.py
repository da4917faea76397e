"""What is said of a sandbox that is weaker than usual, before anything runs in it, and which floor a demo can have."""

from __future__ import annotations

from collections.abc import Iterator

from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.domain.isolation import CONTAINED, FULL, Property
from swarmworks.sandbox.protocol import Probe
from swarmworks.wire.config import SandboxSection

CONTAINED_NAME = "contained"


def demo_floor(probe: Probe) -> str | None:
    """The level a demo is content with where the usual floor cannot be had; None for the usual one. Less than `contained` is
    never chosen by itself.
    """
    if probe.properties >= SandboxSection().floor or not probe.properties >= CONTAINED:
        return None
    return CONTAINED_NAME


def weakness(launcher: Launcher, project: OpenProject) -> Iterator[str]:
    return weaker(project.config.sandbox.floor, launcher.probe(project))


def weaker(floor: frozenset[Property], probe: Probe) -> Iterator[str]:
    """A banner where the floor does not ask for everything an agent can work with, and the machine does not give it either;
    nothing otherwise.
    """
    lacking = sorted((FULL - floor) - probe.properties)
    if not lacking:
        return
    if Property.FILES in lacking:
        yield "NO SANDBOX: agents and gates can read and write whatever you can, and reach every host you can."
    yield f"The sandbox ({probe.backend}) lacks {', '.join(lacking)}, and [sandbox] floor in swarm.toml allows that."
    yield "What that means: docs/sandbox.md. What it takes to have it: swarm doctor."
