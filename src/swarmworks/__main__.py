"""`swarm`, or `python -m swarmworks`."""

from __future__ import annotations

import sys

from swarmworks.cli.app import run
from swarmworks.wiring.launcher import ProcessLauncher


def main() -> None:
    sys.exit(run(ProcessLauncher()))


if __name__ == "__main__":
    main()
