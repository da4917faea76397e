"""The driver kills for a living: it must never reach a process that is not its own."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.scenario.driver import MARK, Site, twelve


def test_a_bystander_that_names_the_site_is_never_killed(tmp_path):
    """A mount once made every process of the machine look like the site's own, and all of them were killed."""
    site = Site(tmp_path / "site", "http://127.0.0.1:9/v1", twelve(1))
    wait = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    environment = {**os.environ, "SITE": str(site.root), MARK: "of another site"}
    bystander = subprocess.Popen(
        [*wait, str(site.root), f"{site.state}/copies/"],
        cwd=site.root,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert bystander.stdout is not None
    bystander.stdout.readline()
    try:
        assert site.marked() == []
        assert site.processes() == []
        site.close()
        assert bystander.poll() is None
    finally:
        bystander.communicate(b"")
