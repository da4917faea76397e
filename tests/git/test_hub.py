from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmworks.base.errors import GitError, LimitReachedError, NotARepositoryError, RejectedError
from swarmworks.git import hub as hub_module
from swarmworks.git.command import Git
from swarmworks.git.hub import BareHub
from swarmworks.git.protocol import Conflicted, FileChange, Identity, Merged
from tests.git.conftest import AGENT, AT, COMMITTER, git

ODD_NAMES = [
    "with space",
    "new\nline",
    "tab\t\"quote'",
    "ünïcode-漢",
    "-leading",
    "#hash",
    ":colon",
    "*star?[x]",
    "\\back",
]


def tree(repository, hub, files, *, on):
    commit = repository.commit(files, on=on)
    hub.import_commit(repository.root, commit)
    return commit


def test_the_hub_is_made_once_by_many_at_the_same_time(tmp_path):
    failures = []

    def make():
        try:
            BareHub.open_or_create(tmp_path / "deep/hub.git")
        except GitError as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failures
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["hub.git"]
    hub = tmp_path / "deep/hub.git"
    assert git(hub, "config", "gc.auto") == "0"
    assert git(hub, "config", "maintenance.auto") == "false"
    assert git(hub, "config", "core.fsync") == "committed,derived-metadata,reference"
    git(hub, "fsck")


def test_one_that_was_made_between_the_look_and_the_making_is_taken(tmp_path, monkeypatch):
    make = hub_module._create
    monkeypatch.setattr(hub_module, "_create", lambda path: (make(path), make(path)))
    assert BareHub.open_or_create(tmp_path / "hub.git").refs("refs/") == {}
    assert [path.name for path in tmp_path.iterdir()] == ["hub.git"]


def test_a_directory_with_other_things_in_it_is_refused(tmp_path):
    (tmp_path / "keep").write_text("mine")
    with pytest.raises(GitError, match="not empty"):
        BareHub.open_or_create(tmp_path)


@pytest.mark.parametrize(("version", "what"), [("git version 2.30.2", "2.30 is too old"), ("nonsense", "too old")])
def test_an_old_git_is_refused_with_the_mend(tmp_path, version, what):
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    with pytest.raises(GitError, match=what) as caught:
        BareHub.open_or_create(tmp_path / "hub", Git(program=str(program)))
    assert "2.39" in caught.value.mend


def test_a_missing_git_is_said(tmp_path):
    with pytest.raises(GitError, match="not installed"):
        BareHub.open_or_create(tmp_path / "hub", Git(program="no-such-git"))


def test_a_call_that_hangs_is_stopped(tmp_path):
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    with pytest.raises(GitError, match="longer than"):
        Git(program=str(program), timeout_s=0.05).version()


class TestImport:
    def test_history_comes_in_and_the_source_stays_untouched(self, hub, repository):
        first = repository.commit({"a": "1"})
        second = repository.commit({"a": "2"})
        before = {path: path.stat().st_mtime_ns for path in repository.root.rglob("*")}
        hub.import_commit(repository.root, second)
        assert {path: path.stat().st_mtime_ns for path in repository.root.rglob("*")} == before
        assert [entry["commit"] for entry in hub.log(None, second)] == [second, first]
        git(hub.path, "fsck", "--strict")

    def test_again_with_more(self, hub, repository, base):
        hub.update_ref("refs/heads/swarm/s", base, None)
        more = repository.commit({"new": "n"})
        hub.import_commit(repository.root, more)
        hub.import_commit(repository.root, more)
        assert hub.is_ancestor(base, more)

    def test_from_a_shallow_clone(self, hub, repository, tmp_path, copies):
        for number in range(4):
            tip = repository.commit({"a": str(number)})
        git(tmp_path, "clone", "-q", "--depth=2", f"file://{repository.root}", "shallow")
        hub.import_commit(tmp_path / "shallow", tip)
        assert len(hub.log(None, tip)) == 2
        git(hub.path, "fsck", tip)
        copy = copies.create("t-1", tip)
        assert len(git(copy.path, "log", "--format=%H").split()) == 2

    def test_a_shallow_source_never_cuts_what_the_hub_has(self, hub, repository, tmp_path):
        for number in range(4):
            tip = repository.commit({"a": str(number)})
        hub.import_commit(repository.root, tip)
        hub.update_ref("refs/heads/x", tip, None)
        git(tmp_path, "clone", "-q", "--depth=2", f"file://{repository.root}", "shallow")
        hub.import_commit(tmp_path / "shallow", tip)
        assert len(hub.log(None, tip)) == 4

    def test_from_a_clone_with_alternates_a_worktree_and_a_subdirectory(self, hub, repository, tmp_path):
        tip = repository.commit({"sub/a": "1"})
        git(tmp_path, "clone", "-q", "--shared", str(repository.root), "al:ter")
        more = git(tmp_path / "al:ter", "rev-parse", "HEAD")
        hub.import_commit(tmp_path / "al:ter/sub", more)
        git(repository.root, "worktree", "add", "-q", str(tmp_path / "tree"), tip)
        hub.import_commit(tmp_path / "tree", tip)
        assert hub.resolve(tip) == tip

    def test_nothing_of_the_source_is_run(self, hub, repository, canary):
        commit = repository.commit({"a.txt": "1\n"})
        canary.infest(repository.root, repository.root / ".git")
        hub.import_commit(repository.root, commit)
        assert hub.read_file(commit, "a.txt") == b"1\n"
        assert not canary.sang

    def test_a_repository_of_another_user(self, hub, repository):
        if os.geteuid() != 0:
            pytest.skip("needs root to give files away")
        commit = repository.commit({"a": "1"})
        for path in [repository.root, *repository.root.rglob("*")]:
            os.chown(path, 12345, 12345)
        hub.import_commit(repository.root, commit)
        assert hub.resolve(commit) == commit

    def test_what_is_missing_is_said(self, hub, repository, tmp_path):
        repository.commit({"a": "1"})
        with pytest.raises(RejectedError, match="no commit"):
            hub.import_commit(repository.root, "f" * 40)
        (tmp_path / "empty").mkdir()
        with pytest.raises(NotARepositoryError) as caught:
            hub.import_commit(tmp_path / "empty", "f" * 40)
        assert "git init" in caught.value.mend

    def test_a_history_with_holes_is_refused(self, hub, repository):
        commit = repository.commit({"a": "1"})
        blob = git(repository.root, "rev-parse", "HEAD:a")
        (repository.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
        with pytest.raises(GitError, match="cannot be read") as caught:
            hub.import_commit(repository.root, commit)
        assert "partial clone" in caught.value.mend


class TestReading:
    def test_names(self, hub, base):
        hub.update_ref("refs/heads/swarm/s1", base, None)
        assert hub.resolve("refs/heads/swarm/s1") == base
        assert hub.resolve(base[:12]) == base
        assert hub.resolve("nothing") is None
        for hostile in ("--all", "", "a\nb"):
            with pytest.raises(RejectedError):
                hub.resolve(hostile)

    def test_files(self, hub, base):
        assert hub.read_file(base, "a.txt") == b"one\ntwo\nthree\n"
        for absent in ("nope", "src", "../a.txt", "./a.txt", "", "a.txt/x"):
            assert hub.read_file(base, absent) is None
        with pytest.raises(LimitReachedError):
            hub.read_file(base, "a.txt", limit_bytes=5)
        assert hub.read_file(base, "a.txt", limit_bytes=14) is not None
        assert hub.list_files(base) == [".gitignore", "a.txt", "src/b.py"]

    def test_a_large_file_over_the_limit_is_not_read_whole(self, hub, repository):
        commit = tree(repository, hub, {"big": b"x" * 5_000_000}, on=None)
        with pytest.raises(LimitReachedError, match="5000000"):
            hub.read_file(commit, "big", limit_bytes=1000)

    def test_odd_names(self, hub, repository, base):
        head = tree(repository, hub, {f"d/{name}": "text\n" for name in ODD_NAMES}, on=base)
        assert sorted(change.path for change in hub.changes(base, head)) == sorted(f"d/{name}" for name in ODD_NAMES)
        for name in ODD_NAMES:
            assert hub.read_file(head, f"d/{name}") == b"text\n"
        gone = tree(repository, hub, {f"d/{name}": "other\n" for name in ODD_NAMES}, on=base)
        assert sorted(hub.kept_lines(base, head, hub.tree_of(gone))) == sorted(f"d/{name}" for name in ODD_NAMES)
        conflict = hub.merge(head, gone)
        assert isinstance(conflict, Conflicted)
        assert sorted(conflict.paths) == sorted(f"d/{name}" for name in ODD_NAMES)

    def test_a_name_that_is_not_utf8_is_shown(self, hub, repository, base):
        (repository.root / os.fsdecode(b"caf\xe9")).write_text("x")
        head = tree(repository, hub, {}, on=base)
        assert "caf\\xe9" in hub.list_files(head)

    def test_changes(self, hub, repository, base):
        head = tree(
            repository,
            hub,
            {"a.txt": "one\n2\nthree\nfour\n", "bin": b"\0\1", "src/b.py": None, "src/c.py": "x = 1\n"},
            on=base,
        )
        (repository.root / "a.txt").chmod(0o755)
        (repository.root / "bin").unlink()
        (repository.root / "bin").symlink_to("a.txt")
        later = tree(repository, hub, {}, on=None)
        assert hub.changes(base, head) == [
            FileChange("a.txt", "M", 2, 1, "100644"),
            FileChange("bin", "A", None, None, "100644"),
            FileChange("src/b.py", "D", 0, 1, "000000"),
            FileChange("src/c.py", "A", 1, 0, "100644"),
        ]
        by_path = {change.path: change for change in hub.changes(head, later)}
        assert by_path["a.txt"] == FileChange("a.txt", "M", 0, 0, "100755")
        assert (by_path["bin"].status, by_path["bin"].mode) == ("T", "120000")

    def test_diff_is_cut_and_says_so(self, hub, repository, base):
        head = tree(repository, hub, {"a.txt": "one\n2\nthree\n"}, on=base)
        whole = hub.diff(base, head)
        assert "-two\n+2\n" in whole
        cut = hub.diff(base, head, limit_bytes=40)
        assert cut.startswith(whole[:40])
        assert "cut" in cut.splitlines()[-1]

    def test_log_is_first_parent_newest_first(self, hub, repository, base):
        ours = repository.commit({"o": "1"}, "subject ü\n\nbody 1\n\nbody 2", on=base)
        theirs = repository.commit({"t": "1"}, on=base)
        git(repository.root, "checkout", "-q", ours)
        git(repository.root, "merge", "-q", "--no-ff", "-m", "merge", theirs)
        tip = git(repository.root, "rev-parse", "HEAD")
        hub.import_commit(repository.root, tip)
        log = hub.log(base, tip)
        assert [entry["commit"] for entry in log] == [tip, ours]
        assert log[1] == {
            "commit": ours,
            "tree": hub.tree_of(ours),
            "author": "U",
            "email": "u@x",
            "subject": "subject ü",
            "body": "body 1\n\nbody 2\n",
        }
        assert hub.log(tip, tip) == []
        assert hub.is_ancestor(theirs, tip)
        assert not hub.is_ancestor(tip, theirs)


class TestCommitTree:
    def test_the_same_values_give_the_same_commit_byte_for_byte(self, hub, base):
        message = "subject\r\n\n# kept\n  spaces  \n\n\nno newline at the end ü"
        moment = datetime(2026, 11, 20, 14, 0, tzinfo=timezone(timedelta(hours=2)))
        commits = {hub.commit_tree(hub.tree_of(base), [base], message, AGENT, COMMITTER, at) for at in (AT, moment)}
        assert len(commits) == 1
        raw = git(hub.path, "cat-file", "commit", commits.pop())
        assert raw == (
            f"tree {hub.tree_of(base)}\nparent {base}\nauthor Ada <ada@swarm.invalid> {int(AT.timestamp())} +0000\n"
            f"committer Swarmworks <swarm@swarmworks.invalid> {int(AT.timestamp())} +0000\n\n{message}"
        )

    def test_names_cannot_forge_headers(self, hub, base):
        hostile = Identity("Eve\nparent x <y>", "e\n> 0 +0000")
        commit = hub.commit_tree(hub.tree_of(base), [], "m", hostile, COMMITTER, AT)
        raw = git(hub.path, "cat-file", "commit", commit)
        assert raw.splitlines()[1] == f"author Eveparent x y <e 0 +0000> {int(AT.timestamp())} +0000"

    def test_nonsense_is_refused(self, hub, base):
        with pytest.raises(GitError):
            hub.commit_tree("f" * 40, [], "m", AGENT, COMMITTER, AT)
        with pytest.raises(RejectedError, match="NUL"):
            hub.commit_tree(hub.tree_of(base), [], "m\0", AGENT, COMMITTER, AT)
        with pytest.raises(RejectedError, match="time zone"):
            hub.commit_tree(hub.tree_of(base), [], "m", AGENT, COMMITTER, datetime(2026, 1, 1))  # noqa: DTZ001


class TestMerge:
    def test_clean(self, hub, repository, base):
        ours = tree(repository, hub, {"a.txt": "ONE\ntwo\nthree\n"}, on=base)
        theirs = tree(repository, hub, {"a.txt": "one\ntwo\nTHREE\n", "n": "n\n"}, on=base)
        # adjacent hunks conflict in git; one unchanged line between is enough
        merged = hub.merge(ours, theirs)
        assert isinstance(merged, Merged)
        assert hub.read_file(merged.tree, "a.txt") == b"ONE\ntwo\nTHREE\n"
        assert hub.kept_lines(base, ours, merged.tree) == hub.kept_lines(base, theirs, merged.tree) == ()

    def test_conflict(self, hub, repository, base):
        ours = tree(repository, hub, {"a.txt": "ours\n", "src/b.py": None}, on=base)
        theirs = tree(repository, hub, {"a.txt": "theirs\n", "src/b.py": "x = 2\n"}, on=base)
        conflict = hub.merge(ours, theirs)
        assert isinstance(conflict, Conflicted)
        assert conflict.paths == ("a.txt", "src/b.py")
        assert "CONFLICT (content): Merge conflict in a.txt" in conflict.detail
        assert "CONFLICT (modify/delete): src/b.py" in conflict.detail

    def test_the_account_of_a_conflict_is_bounded(self, hub, repository, base):
        names = [f"file-with-a-long-name-{number:03}" for number in range(200)]
        ours = tree(repository, hub, dict.fromkeys(names, "ours\n"), on=base)
        theirs = tree(repository, hub, dict.fromkeys(names, "theirs\n"), on=base)
        conflict = hub.merge(ours, theirs)
        assert isinstance(conflict, Conflicted)
        assert list(conflict.paths) == names
        assert 0 < len(conflict.detail.encode()) <= 4096

    def test_attributes_of_the_tree_run_nothing(self, hub, repository, base, canary):
        git(hub.path, "config", "merge.other.driver", str(canary.script))
        attributes = {".gitattributes": "* merge=evil\n"}
        ours = tree(repository, hub, attributes | {"a.txt": "ours\n"}, on=base)
        theirs = tree(repository, hub, attributes | {"a.txt": "theirs\n"}, on=base)
        assert isinstance(hub.merge(ours, theirs), Conflicted)
        assert not canary.sang

    def test_what_does_not_exist_and_unrelated_histories_are_errors(self, hub, repository, base):
        with pytest.raises(GitError):
            hub.merge(base, "f" * 40)
        orphan = hub.commit_tree(hub.tree_of(base), [], "orphan", AGENT, COMMITTER, AT)
        with pytest.raises(GitError, match="unrelated"):
            hub.merge(base, orphan)

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_edits_that_do_not_overlap_keep_every_line(self, hub, data):
        """Both sides edit a file of few distinct lines at places with two untouched lines between them."""
        line = st.sampled_from(["", "}", "x", "y", "return"])
        original = data.draw(st.lists(line, min_size=12, max_size=20))
        middle = data.draw(st.integers(4, len(original) - 5))
        first = data.draw(st.lists(line, max_size=6)) + original[middle:]
        second = original[: middle + 3] + data.draw(st.lists(line, max_size=6))

        def commit(lines, parents):
            content = "".join(f"{text}\n" for text in lines).encode()
            blob = hub.git.run(hub.path, ["hash-object", "-w", "--stdin"], given=content).out.decode().strip()
            entry = hub.git.run(hub.path, ["mktree"], given=f"100644 blob {blob}\tf\n".encode()).out.decode().strip()
            return hub.commit_tree(entry, parents, "c", AGENT, COMMITTER, AT)

        base = commit(original, [])
        ours, theirs = commit(first, [base]), commit(second, [base])
        merged = hub.merge(ours, theirs)
        if isinstance(merged, Merged) and merged.tree != hub.tree_of(base):
            assert hub.kept_lines(base, ours, merged.tree) == ()
            assert hub.kept_lines(base, theirs, merged.tree) == ()


def test_maintenance_keeps_everything(hub, repository, base):
    hub.update_ref("refs/heads/swarm/s", base, None)
    commit = hub.commit_tree(hub.tree_of(base), [base], "m", AGENT, COMMITTER, datetime(2026, 1, 2, tzinfo=UTC))
    hub.update_ref("refs/swarm/pin/c", commit, None)
    loose = hub.commit_tree(hub.tree_of(base), [base], "unreferenced", AGENT, COMMITTER, AT)
    hub.maintain()
    assert hub.resolve(commit) == commit
    assert hub.resolve(loose) == loose


def test_the_empty_tree(hub, repository):
    commit = repository.commit({})
    hub.import_commit(repository.root, commit)
    assert hub.list_files(commit) == []
    assert hub.changes(commit, commit) == []
    assert hub.merge(commit, commit) == Merged(hub.tree_of(commit))
