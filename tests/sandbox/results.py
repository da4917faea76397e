"""What a program leaves in its copy for the host to fall into when it takes the session's result: made inside, taken as a worker
takes it, and looked at outside.
"""

from __future__ import annotations

import os
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from swarmworks.git.clones import SharedClones
from swarmworks.git.hub import BareHub
from swarmworks.git.protocol import Identity
from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.sandbox.protocol import Mount
from tests.git.conftest import Repository
from tests.sandbox import attacks
from tests.sandbox.playground import PYTHON, Playground, python_argv

AT = datetime(2026, 11, 20, tzinfo=UTC)
AGENT = Identity("Ada", "ada@swarm.invalid")
LEAVING = """
import os, shutil, stat, subprocess
os.symlink(OUTSIDE + '/id_rsa', 'way')
os.unlink('report.txt'); os.symlink(OUTSIDE + '/id_rsa', 'report.txt')
shutil.rmtree('docs'); os.symlink(OUTSIDE, 'docs')
open('honest', 'w').write('honest work')
shutil.copy('honest', 'setuid'); os.chmod('setuid', 0o6755)
os.mkfifo('pipe')
try: os.mknod('device', stat.S_IFCHR | 0o666, os.makedev(1, 5))
except OSError: pass
run = 'touch ' + OUTSIDE + '/ran'
for place in ('.git', 'sub/.git', 'sub/deep/.git'):
    os.makedirs(place + '/hooks', exist_ok=True)
    open(place + '/HEAD', 'w').write('ref: refs/heads/main\\n')
    for each in ('objects', 'refs'): os.makedirs(place + '/' + each, exist_ok=True)
    open(place + '/config', 'w').write(
        '[core]\\n\\trepositoryformatversion = 0\\n\\tfsmonitor = "%s"\\n\\tpager = "%s"\\n\\thooksPath = hooks\\n' % (run, run)
        + '[filter "x"]\\n\\tclean = "%s; cat"\\n\\tprocess = "%s"\\n[diff]\\n\\texternal = "%s"\\n' % (run, run, run))
    for hook in ('pre-commit', 'post-index-change', 'reference-transaction'):
        open(place + '/hooks/' + hook, 'w').write('#!/bin/sh\\n' + run + '\\n')
        os.chmod(place + '/hooks/' + hook, 0o755)
open('.gitattributes', 'w').write('* filter=x diff=x\\n')
open('sub/file', 'w').write('honest work')
"""
HEADING = f"OUTSIDE = {{outside!r}}\n{LEAVING}\nprint('left')"


async def left_by(ground: Playground, level: str) -> set[str]:
    """The titles of those that got through at the snapshot of a copy."""
    del level  # what is left, is left whatever holds: nothing here asks for an allowlist or for noexec
    outside = ground.directory / "host"
    outside.mkdir()
    (outside / "id_rsa").write_text(attacks.SECRET)
    repository = Repository(ground.directory / "repository")
    base = repository.commit({"report.txt": "given", "docs/id_rsa": "given"})
    hub = BareHub.open_or_create(ground.directory / "hub.git")
    hub.import_commit(repository.root, base)
    owner = getattr(ground.sandbox, "_uid", None) if os.geteuid() == 0 else None
    clones = SharedClones(hub.path, ground.directory / "copies", owner)
    copy = clones.create("one", base)
    mounts = (Mount(copy.path, "/copy", writable=True), *python_mounts(Path(PYTHON)))
    script = HEADING.format(outside=str(outside))
    outcome = await ground.run(*python_argv(script), more_mounts=mounts, workdir="/copy")
    assert outcome.stdout == "left\n", outcome.stderr
    head = clones.snapshot(copy, "refs/swarm/work/s/t/1", "work", AGENT, AT)
    return set(_through(hub, base, head, outside))


def _through(hub: BareHub, base: str, head: str, outside: Path):
    link, setuid, special, running = attacks.RESULTS
    modes = {change.path: change.mode for change in hub.changes(base, head)}
    assert modes["honest"] == modes["sub/file"] == "100644", "honest work beside it is taken"
    everything = subprocess.run(
        ["git", f"--git-dir={hub.path}", "cat-file", "--batch-all-objects", "--batch"], capture_output=True, check=True
    ).stdout
    if attacks.SECRET.encode() in everything:
        yield link
    if modes["setuid"] != "100755":
        yield setuid
    if {"pipe", "device"} & set(modes) or not {stat.S_IFMT(int(mode, 8)) for mode in modes.values()} <= _TAKEN:
        yield special
    if (outside / "ran").exists():
        yield running


_TAKEN = {stat.S_IFREG, stat.S_IFLNK, 0}
