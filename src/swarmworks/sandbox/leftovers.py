"""What programs leave in the folders that were made for one start."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from swarmworks.base.removal import remove_tree

if TYPE_CHECKING:
    from pathlib import Path

_log: Final = logging.getLogger(__name__)


def discard(place: Path) -> None:
    """Deletes `place` with all in it. What resists is left, and said in the log: neither the end of a sandbox nor the start of a
    worker fails for it. Blocks for as long as the tree is large.
    """
    try:
        remove_tree(place)
    except OSError as error:
        _log.warning("%s was left behind by a sandbox and could not be deleted: %s", place, error.strerror)
