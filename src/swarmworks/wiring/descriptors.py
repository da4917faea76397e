"""How many files and connections a process may have open: a shell's usual 1,024 are too few for many agents at once."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

ENOUGH: Final = 1 << 16


def allow_many() -> None:
    """As many as this process may allow itself, `ENOUGH` at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
