"""Every command in the documentation is run, in order, as a reader would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.registries import needs_registries

ROOT = Path(__file__).parents[2]
DOCS = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])


def blocks(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_only_documents_with_a_test_of_their_own_hold_commands():
    holding = {path.name for path in DOCS if blocks(path.read_text())}
    known = {
        "audit.md",
        "delivery.md",
        "inbox.md",
        "mechanical.md",
        "notifications.md",
        "prices.md",
        "quickstart.md",
        "report.md",
        "secrets.md",
        "store.md",
        "telemetry.md",
        "your-repository.md",
    }
    assert holding == known


@needs_registries
@pytest.mark.sandbox
@pytest.mark.slow
def test_the_quick_start_runs_as_written(tmp_path):
    script = "set -e\n" + "\n".join(blocks((ROOT / "docs" / "quickstart.md").read_text()))
    programs = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "GIT_AUTHOR_NAME": "Reader",
            "GIT_AUTHOR_EMAIL": "reader@example.invalid",
            "GIT_COMMITTER_NAME": "Reader",
            "GIT_COMMITTER_EMAIL": "reader@example.invalid",
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Traceback" not in done.stdout + done.stderr
    assert "landed" in done.stdout
    assert (tmp_path / "notes" / "app" / "api" / "note_create.py").is_file()
    assert (
        "Swarm-Task"
        in subprocess.run(
            ["git", "log", "-1", "--format=%B"], cwd=tmp_path / "notes", capture_output=True, text=True, check=True
        ).stdout
    )
