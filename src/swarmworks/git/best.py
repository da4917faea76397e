"""The choice of a way to make working copies, by what the machine was seen to give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.git.clones import SharedClones
from swarmworks.git.mounting import why_not
from swarmworks.git.overlays import OverlayCopies

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class CopiesProbe:
    """`way` is how copies are made here; `why` what keeps them from a quicker one, "" where there is none."""

    way: str
    why: str


def probe_copies(root: Path) -> CopiesProbe:
    """Tries it below `root`, an existing directory. Blocks for some milliseconds."""
    why = why_not(root)
    return CopiesProbe(OverlayCopies.way, "") if why is None else CopiesProbe(SharedClones.way, why)


def best_copies(hub_path: Path, root: Path, owner_uid: int | None) -> SharedClones:
    root.mkdir(parents=True, exist_ok=True)
    kind = OverlayCopies if probe_copies(root).way == OverlayCopies.way else SharedClones
    return kind(hub_path, root, owner_uid)
