"""Runs a swarm on a disk that fills up, then makes room and resumes. Started in a mount namespace of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.scenario.driver import CountedModel, Site, twelve

SWARM = Path(sys.executable).with_name("swarm")
LEFT_BYTES = 1_800_000


def main(disk: Path) -> None:
    model = CountedModel()
    site = Site(disk / "site", model.url, twelve(6))
    stats = os.statvfs(disk)
    ballast = disk / "ballast"
    ballast.write_bytes(b"x" * (stats.f_bavail * stats.f_frsize - LEFT_BYTES))
    full = swarm("run", str(site.plan_file), "-C", str(disk / "site"))
    ballast.unlink()
    resumed = swarm("resume", "--retry-blocked", "-C", str(disk / "site"))
    model.close()
    sys.stdout.write(json.dumps({"full": full, "resumed": resumed}) + "\n")


def swarm(*arguments: str) -> dict[str, object]:
    done = subprocess.run([SWARM, *arguments], capture_output=True, text=True, timeout=400, check=False)
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
