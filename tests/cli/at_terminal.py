"""`swarm run` against a scripted control plane, as a program of its own, so that a test can give it a terminal and take it away:
`python -m tests.cli.at_terminal FOLDER`. Writes what it asked of the control plane, and its exit code, to FOLDER/asked.
"""

from __future__ import annotations

import fcntl
import json
import sys
import termios
from pathlib import Path

from swarmworks.cli.app import run
from tests.cli import sample
from tests.cli.fakes import FakeLauncher, FakePlane

if __name__ == "__main__":
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    folder = Path(sys.argv[1])
    stopped = sample.status("stopped", reason="person")
    plane = FakePlane([sample.status()], after_stop=[stopped])
    sys.argv = ["swarm", "run", str(folder / "plan.yaml")]
    code = run(FakeLauncher(folder, plane))
    asked = [path for method, path, _ in plane.requests if method == "POST"]
    (folder / "asked").write_text(json.dumps({"code": code, "asked": asked}))
    sys.exit(code)
