"""The choice of a back end, by what the machine was seen to give."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from swarmworks.domain.isolation import CONTAINED
from swarmworks.sandbox import cgroups
from swarmworks.sandbox.bubblewrap import DEFAULT_UID, BubblewrapSandbox
from swarmworks.sandbox.contained import ContainedSandbox
from swarmworks.sandbox.none import NoSandbox

if TYPE_CHECKING:
    from pathlib import Path

    from swarmworks.domain.isolation import Property
    from swarmworks.sandbox.protocol import Probe, Sandbox


def best_sandbox(state_dir: Path, *, uid: int = DEFAULT_UID, program: str = "bwrap") -> Sandbox:
    """The strongest back end that works here; blocks some 400 ms for the probe. It is never weaker than asked for without a
    word: what is missing stands in its probe, with the reasons of the better back end, and the floor of a spec refuses it.
    """
    cgroups.sweep()
    sandbox = BubblewrapSandbox(state_dir, uid=uid, program=program)
    probe = sandbox.probe()
    if probe.properties:
        return sandbox
    contained = ContainedSandbox(state_dir, why=probe.missing)
    less = contained.probe()
    if less.properties:
        return contained
    return NoSandbox(state_dir, why={name: _told(name, why, less.missing[name]) for name, why in probe.missing.items()})


def _told(name: Property, why: str, why_contained: str) -> str:
    """What keeps the machine from the better back end, and the mend of the lesser one beside its own."""
    mend = why_contained.partition("; mend: ")[2]
    return f"{why}; or, for the level contained: {mend}" if name in CONTAINED and mend else why


@cache
def probed(state_dir: Path) -> Probe:
    """What the strongest back end gives here, looked at once for each process; blocks as `best_sandbox` does."""
    return best_sandbox(state_dir).probe()
