"""The rehearsal model as a process of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys

START = """
import os, subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-m", "swarmworks.provider.rehearsal", "--parent", str(os.getpid())], stdout=subprocess.PIPE
)
print(child.pid, child.stdout.readline().decode(), flush=True)
sys.stdin.read()
"""


def test_it_ends_with_a_parent_that_was_killed():
    parent = subprocess.Popen([sys.executable, "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid, announced = parent.stdout.readline().split(maxsplit=1)
    assert json.loads(announced)["port"] > 0
    watched = os.pidfd_open(int(pid))
    try:
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
        parent.stdin.close()
        parent.stdout.close()
        assert select.select([watched], [], [], 20)[0], "the rehearsal model outlived its parent"
    finally:
        os.close(watched)
