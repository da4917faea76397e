"""`swarm`, or `python -m swarmworks`."""

from __future__ import annotations

import gc
import sys

from swarmworks.cli.app import run
from swarmworks.wiring.launcher import ProcessLauncher

COLLECT_AFTER = 20_000
"""Objects: what is loaded stays, and looking through it again and again was a tenth of every command."""


def main() -> None:
    gc.set_threshold(COLLECT_AFTER, 20, 20)
    sys.exit(run(ProcessLauncher()))


if __name__ == "__main__":
    main()
