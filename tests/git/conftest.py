from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from swarmworks.git.clones import SharedClones
from swarmworks.git.hub import BareHub
from swarmworks.git.mounting import mounted, unmount, why_not
from swarmworks.git.overlays import OverlayCopies
from swarmworks.git.protocol import Identity

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
AGENT = Identity("Ada", "ada@swarm.invalid")
COMMITTER = Identity("Swarmworks", "swarm@swarmworks.invalid")


def git(directory: Path, *arguments: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_DATE": "@1700000000 +0000",
        "GIT_COMMITTER_DATE": "@1700000000 +0000",
    }
    command = ["git", "-c", "safe.directory=*", "-c", "user.name=U", "-c", "user.email=u@x", *arguments]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8", "surrogateescape").strip()


class Repository:
    """A user's repository, and short words for writing and committing in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        git(root, "init", "-q", "-b", "main")

    def commit(self, files: dict[str, str | bytes | None], message: str = "work", *, on: str | None = None) -> str:
        if on:
            git(self.root, "checkout", "-q", "--detach", on)
        for name, content in files.items():
            path = self.root / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        git(self.root, "add", "-A", "-f")
        git(self.root, "commit", "-q", "--allow-empty", "-m", message)
        return git(self.root, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "user")


@pytest.fixture
def hub(tmp_path):
    return BareHub.open_or_create(tmp_path / "hub.git")


WAYS = {"clone": SharedClones, "overlay": OverlayCopies}


@pytest.fixture(params=list(WAYS))
def way(request, tmp_path):
    """Each way of making working copies, where the machine has it."""
    kind = WAYS[request.param]
    if kind is OverlayCopies and (reason := why_not(tmp_path)) is not None:
        pytest.skip(reason)
    yield kind
    for place in [path for path in tmp_path.glob("*/*") if mounted(path)]:
        unmount(place)


@pytest.fixture
def copies(hub, tmp_path, way):
    return way(hub.path, tmp_path / "copies", None)


@pytest.fixture
def base(hub, repository):
    commit = repository.commit({"a.txt": "one\ntwo\nthree\n", "src/b.py": "x = 1\n", ".gitignore": "*.log\nbuild/\n"})
    hub.import_commit(repository.root, commit)
    return commit


@pytest.fixture
def canary(tmp_path):
    """A script that leaves a file behind when anything runs it, and whether it did."""
    return Canary(tmp_path)


class Canary:
    def __init__(self, directory: Path) -> None:
        self.mark = directory / "canary-sang"
        self.script = directory / "canary.sh"
        self.script.write_text(f"#!/bin/sh\ntouch {self.mark}\ncat\n")
        self.script.chmod(0o755)

    @property
    def sang(self) -> bool:
        return self.mark.exists()

    def infest(self, work_tree: Path, git_dir: Path) -> None:
        """Every way of git's that runs a program, set up in a tree and its repository."""
        for setting in (
            "core.fsmonitor",
            "core.editor",
            "core.sshCommand",
            "diff.external",
            "diff.evil.textconv",
            "diff.evil.command",
            "filter.evil.clean",
            "filter.evil.smudge",
            "filter.evil.process",
            "merge.evil.driver",
            "core.alternateRefsCommand",
            "uploadpack.packObjectsHook",
            "remote.origin.uploadpack",
            "gpg.program",
            "core.pager",
        ):
            git(work_tree, f"--git-dir={git_dir}", "config", setting, str(self.script))
        git(work_tree, f"--git-dir={git_dir}", "config", "commit.gpgSign", "true")
        git(work_tree, f"--git-dir={git_dir}", "config", "remote.origin.url", str(work_tree))
        hooks = git_dir / "hooks"
        hooks.mkdir(exist_ok=True)
        for name in ("pre-commit", "post-index-change", "post-checkout", "reference-transaction", "post-commit"):
            (hooks / name).write_bytes(self.script.read_bytes())
            (hooks / name).chmod(0o755)
        (git_dir / "info").mkdir(exist_ok=True)
        (git_dir / "info/attributes").write_text("* filter=evil diff=evil merge=evil\n")
        (work_tree / ".gitattributes").write_text("*.txt filter=evil diff=evil merge=evil\n")
