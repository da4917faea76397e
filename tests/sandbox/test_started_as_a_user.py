"""The same attacks and promises again, with a worker that is an ordinary user: other code paths set the sandbox up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.sandbox

UID = 60_800
REPOSITORY = Path(__file__).parents[2]


@pytest.mark.skipif(os.geteuid() != 0, reason="these very tests run as an ordinary user already")
def test_everything_holds_for_an_ordinary_user_too(bubblewrap, tmp_path_factory):
    scratch = Path("/tmp") / f"swarmworks-as-user-{os.getpid()}"
    scratch.mkdir()
    try:
        os.chown(scratch, UID, UID)
        paths = dict.fromkeys(
            Path(path).resolve()
            for path in (sys.base_prefix, sys.prefix, REPOSITORY, *filter(None, sys.path))
            if Path(path).is_dir()
        )
        outermost = [path for path in paths if not any(other in path.parents for other in paths)]
        done = subprocess.run(
            [
                *(sys.executable, Path(__file__).with_name("as_user.py"), str(UID), *map(str, outermost), "--"),
                *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=60"),
                *(f"--basetemp={scratch}/base", "-rs", "tests/sandbox"),
            ],
            cwd=REPOSITORY,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(scratch),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        subprocess.run(["rm", "-rf", str(scratch)], check=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NO SANDBOX TESTED HERE" not in done.stdout
    assert " passed" in done.stdout
