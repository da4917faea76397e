from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest

from swarmworks.base.errors import GitError, NotARepositoryError
from swarmworks.git.checkout import export_tree
from swarmworks.git.user_checkout import describe_checkout
from tests.git.conftest import git
from tests.git.test_hub import ODD_NAMES, tree


class TestExport:
    def test_everything_is_there_and_nothing_else(self, hub, repository, base, tmp_path):
        attributes = {".gitattributes": "secret export-ignore\nv export-subst\n", "secret": "s", "v": "$Format:%H$"}
        (repository.root / "run").write_text("#!/bin/sh\n")
        (repository.root / "run").chmod(0o755)
        (repository.root / "link").symlink_to("/etc")
        head = tree(repository, hub, attributes | {name: name for name in ODD_NAMES}, on=base)
        export_tree(hub, hub.tree_of(head), tmp_path / "out/deep")
        out = tmp_path / "out/deep"
        assert not (out / ".git").exists()
        written = {str(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir() or path.is_symlink()}
        assert written == set(hub.list_files(head))
        assert (out / "secret").read_text() == "s"
        assert (out / "v").read_text() == "$Format:%H$"
        assert os.access(out / "run", os.X_OK)
        assert (out / "link").readlink() == Path("/etc")

    def test_a_tree_made_by_hand_cannot_write_through_its_own_link(self, hub, tmp_path):
        def put(kind, given):
            return hub.git.run(hub.path, kind, given=given).out.decode().strip()

        outside = tmp_path / "outside"
        outside.mkdir()
        link = put(["hash-object", "-w", "--stdin"], str(outside).encode())
        file = put(["hash-object", "-w", "--stdin"], b"escaped")
        inner = put(["mktree"], f"100644 blob {file}\tevil\n".encode())
        raw = b"120000 d\0" + bytes.fromhex(link) + b"40000 d\0" + bytes.fromhex(inner)
        forged = put(["hash-object", "-w", "-t", "tree", "--literally", "--stdin"], raw)
        with contextlib.suppress(GitError):
            export_tree(hub, forged, tmp_path / "out")
        assert list(outside.iterdir()) == []

    def test_filters_are_not_run(self, hub, repository, base, tmp_path, canary):
        head = tree(repository, hub, {".gitattributes": "* filter=evil\n"}, on=base)
        canary.infest(repository.root, repository.root / ".git")
        export_tree(hub, head, tmp_path / "out")
        assert (tmp_path / "out/a.txt").read_text() == "one\ntwo\nthree\n"
        assert not canary.sang

    def test_a_target_in_use_is_refused(self, hub, base, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out/mine").write_text("mine")
        (tmp_path / "link").symlink_to(tmp_path)
        for target in ("out", "link"):
            with pytest.raises(GitError, match="not empty"):
                export_tree(hub, base, tmp_path / target)


class TestUserCheckout:
    def test_clean_then_dirty(self, repository):
        head = repository.commit({"a.txt": "1\n", "b.txt": "1\n", "sub/c": "c\n", ".gitignore": "*.log\n"})
        found = describe_checkout(repository.root / "sub")
        assert (found.root, found.head, found.branch) == (repository.root, head, "main")
        assert (found.dirty, found.dirty_paths, found.untracked_paths) == (False, (), ())
        (repository.root / "x.log").write_text("ignored")
        (repository.root / "new").write_text("new")
        assert not describe_checkout(repository.root).dirty
        assert describe_checkout(repository.root).untracked_paths == ("new",)
        (repository.root / "a.txt").write_text("2\n")
        git(repository.root, "rm", "-q", "b.txt")
        found = describe_checkout(repository.root)
        assert found.dirty
        assert sorted(found.dirty_paths) == ["a.txt", "b.txt"]

    def test_paths_are_bounded(self, repository):
        names = [f"{number:03}" for number in range(30)]
        repository.commit(dict.fromkeys(names, "x"))
        for name in names:
            (repository.root / name).write_text("changed")
        assert len(describe_checkout(repository.root).dirty_paths) == 20

    def test_detached_in_a_linked_worktree_and_next_to_a_bare_one(self, repository, tmp_path):
        head = repository.commit({"a": "1"})
        git(repository.root, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"))
        (tmp_path / "tree/a").write_text("2")
        found = describe_checkout(tmp_path / "tree")
        assert (found.root, found.head, found.branch, found.dirty_paths) == (tmp_path / "tree", head, None, ("a",))
        assert not describe_checkout(repository.root).dirty

    def test_line_endings_as_the_repository_is_set_up(self, repository):
        git(repository.root, "config", "core.autocrlf", "true")
        repository.commit({"a": "1\r\n2\r\n"})
        os.utime(repository.root / "a", (time.time() + 5, time.time() + 5))
        assert not describe_checkout(repository.root).dirty

    def test_nothing_is_run_or_written(self, repository, canary):
        repository.commit({"a.txt": "1\n"})
        canary.infest(repository.root, repository.root / ".git")
        (repository.root / "a.txt").write_text("2\n")
        nested = repository.root / "nested"
        nested.mkdir()
        git(nested, "init", "-q")
        canary.infest(nested, nested / ".git")
        before = {path: path.lstat().st_mtime_ns for path in repository.root.rglob("*")}
        assert describe_checkout(repository.root).dirty_paths == ("a.txt",)
        assert not canary.sang
        assert {path: path.lstat().st_mtime_ns for path in repository.root.rglob("*")} == before

    def test_what_is_no_checkout_is_refused_with_the_mend(self, tmp_path, repository):
        (tmp_path / "plain").mkdir()
        with pytest.raises(NotARepositoryError) as caught:
            describe_checkout(tmp_path / "plain")
        assert "git init" in caught.value.mend
        with pytest.raises(NotARepositoryError, match="no commit") as caught:
            describe_checkout(repository.root)
        assert "git commit" in caught.value.mend
        repository.commit({"a": "1"})
        git(tmp_path, "clone", "-q", "--bare", str(repository.root), str(repository.root / "bare.git"))
        with pytest.raises(NotARepositoryError, match="bare") as caught:
            describe_checkout(repository.root / "bare.git")
        assert "clone" in caught.value.mend
