from __future__ import annotations

import os

import pytest

from swarmworks.base.errors import GitError
from swarmworks.base.removal import remove_tree
from swarmworks.git.removal import remove_tree as remove_copy

DEPTH = 1200


def nested(root):
    here = os.open(root, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_a_tree_deeper_than_python_recurses_goes_away(tmp_path):
    (tmp_path / "tree").mkdir()
    nested(tmp_path / "tree")
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_folders_closed_to_their_owner_go_away(tmp_path):
    (tmp_path / "tree" / "closed" / "deep").mkdir(parents=True)
    for path in (tmp_path / "tree" / "closed" / "deep", tmp_path / "tree" / "closed", tmp_path / "tree"):
        path.chmod(0)
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_what_a_link_leads_to_stays(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "tree" / "way").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "tree")
    assert (tmp_path / "kept" / "file").exists()


def test_what_is_not_there_is_no_error(tmp_path):
    remove_tree(tmp_path / "missing")
    remove_copy(tmp_path / "missing")


def test_what_resists_is_told_by_the_kernels_error_and_of_a_copy_by_gits(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        remove_tree(tmp_path / "file")
    with pytest.raises(GitError, match="could not be deleted"):
        remove_copy(tmp_path / "file")
