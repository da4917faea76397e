"""The one place that starts git."""

from __future__ import annotations

import pytest

from swarmworks.base.errors import GitError
from swarmworks.git.command import Git


def failing(tmp_path, times):
    """A git that finds the folder of its object gone, so many times."""
    program = tmp_path / "git"
    program.write_text(f"""#!/bin/sh
cat > {tmp_path}/given
echo again >> {tmp_path}/tries
[ $(wc -l < {tmp_path}/tries) -gt {times} ] && echo done && exit 0
echo 'error: unable to create temporary file: No such file or directory' >&2
echo 'fatal: git-write-tree: error building trees' >&2
exit 128
""")
    program.chmod(0o755)
    return Git(program=str(program))


def test_an_object_whose_folder_is_taken_away_meanwhile_is_written_once_more(tmp_path):
    """By a git that packs the same repository, and removes the folders that it finds empty."""
    done = failing(tmp_path, 2).run(tmp_path, ["hash-object", "-w", "--stdin"], given=b"text")
    assert (done.out, (tmp_path / "given").read_bytes()) == (b"done\n", b"text")
    assert len((tmp_path / "tries").read_text().splitlines()) == 3


def test_one_that_never_finds_its_folder_is_told(tmp_path):
    with pytest.raises(GitError, match="unable to create temporary file"):
        failing(tmp_path, 1000).run(tmp_path, ["write-tree"])
    assert len((tmp_path / "tries").read_text().splitlines()) < 100
