"""What reaches the user's repository, and everything that is refused instead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from swarmworks.base.errors import ConflictError, GitError, UsageError
from swarmworks.git import delivering
from swarmworks.git.delivering import check_delivery, deliver_commit
from swarmworks.git.hub import BareHub
from swarmworks.git.user_branch import find_branch
from tests.git.conftest import AGENT, AT, COMMITTER, Repository, git

NOTE = "swarm deliver: swm_1"


@pytest.fixture
def head(hub, repository, base):
    """What the swarm made on top of `base`: one file changed, one added in a new folder, one removed."""
    return grown(hub, base, {"a.txt": "one\ntwo\nthree\nfour\n", "new/c.txt": "c\n", "src/b.py": None})


def grown(hub, base, files, *parents):
    """A commit in the hub alone, which only ever has what its own working copies make."""
    index = hub.path / "test-index"
    environment = {**os.environ, "GIT_INDEX_FILE": str(index), "GIT_DIR": str(hub.path)}

    def run(*arguments, given=None):
        return subprocess.run(
            ["git", *arguments], env=environment, input=given, capture_output=True, text=True, check=True
        ).stdout.strip()

    run("read-tree", base)
    for name, text in files.items():
        if text is None:
            run("rm", "-q", "--cached", "--", name)
            continue
        blob = run("hash-object", "-w", "--stdin", given=text)
        run("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
    tree = run("write-tree")
    index.unlink()
    return hub.commit_tree(tree, parents or [base], "made by a swarm\n", AGENT, COMMITTER, AT)


def move(repository, hub, commit, name="main"):
    return deliver_commit(repository.root, find_branch(repository.root, name), hub.path, commit, NOTE, "Ann <x> Person")


def at(repository, name="main"):
    return git(repository.root, "rev-parse", name)


def clean(repository):
    return git(repository.root, "status", "--porcelain") == ""


def snapshot(root: Path) -> dict[str, bytes]:
    """Every file of a repository that a delivery has no business in."""
    own = ("objects/", "index", "logs/", "refs/heads/")
    files = {str(p.relative_to(root / ".git")): p for p in (root / ".git").rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(own)}


class TestTheBranchMoves:
    def test_files_index_and_branch_move_together_where_it_is_checked_out(self, repository, hub, base, head):
        before = snapshot(repository.root)
        assert move(repository, hub, head)
        assert at(repository) == head
        assert clean(repository)
        assert (repository.root / "new/c.txt").read_text() == "c\n"
        assert not (repository.root / "src").exists()
        assert snapshot(repository.root) == before
        git(repository.root, "fsck", "--strict")

    def test_the_reflog_says_who_did_it_and_why(self, repository, hub, base, head):
        move(repository, hub, head)
        assert git(repository.root, "reflog", "-1", "--format=%gs|%gn", "main") == f"{NOTE}|Ann x Person"
        assert git(repository.root, "rev-parse", "HEAD@{1}") == base

    def test_a_branch_that_is_not_checked_out_moves_and_no_file_does(self, repository, hub, base, head):
        git(repository.root, "switch", "-q", "-c", "mine")
        (repository.root / "a.txt").write_text("my own work\n")
        assert move(repository, hub, head)
        assert at(repository) == head
        assert (repository.root / "a.txt").read_text() == "my own work\n"
        assert at(repository, "HEAD") == base

    def test_a_detached_head_is_left_alone(self, repository, hub, base, head):
        git(repository.root, "checkout", "-q", "--detach")
        assert move(repository, hub, head)
        assert (at(repository), at(repository, "HEAD")) == (head, base)

    def test_a_branch_checked_out_in_another_worktree_moves_there(self, repository, hub, base, head, tmp_path):
        git(repository.root, "switch", "-q", "-c", "mine")
        git(repository.root, "worktree", "add", "-q", str(tmp_path / "other"), "main")
        assert move(repository, hub, head)
        assert (tmp_path / "other/new/c.txt").exists()
        assert git(tmp_path / "other", "status", "--porcelain") == ""
        assert clean(repository)
        assert not (repository.root / "new").exists()

    def test_from_a_linked_worktree_the_same_repository_is_meant(self, repository, hub, base, head, tmp_path):
        git(repository.root, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
        branch = find_branch(tmp_path / "side", "main")
        assert deliver_commit(tmp_path / "side", branch, hub.path, head, NOTE, "p")
        assert at(repository) == head
        assert clean(repository)

    def test_a_new_branch_is_made_with_slashes_in_its_name(self, repository, hub, base, head):
        assert move(repository, hub, head, "feature/swarm/one")
        assert at(repository, "feature/swarm/one") == head
        assert at(repository) == base
        git(repository.root, "fsck", "--strict")

    def test_a_bare_clone_takes_it(self, repository, hub, base, head, tmp_path):
        git(tmp_path, "clone", "-q", "--bare", str(repository.root), "bare.git")
        bare = tmp_path / "bare.git"
        assert deliver_commit(bare, find_branch(bare, "main"), hub.path, head, NOTE, "p")
        assert git(bare, "rev-parse", "main") == head

    def test_a_symbolic_branch_moves_what_it_stands_for(self, repository, hub, base, head):
        git(repository.root, "symbolic-ref", "refs/heads/release/current", "refs/heads/main")
        assert move(repository, hub, head, "release/current")
        assert git(repository.root, "symbolic-ref", "refs/heads/release/current") == "refs/heads/main"
        assert at(repository) == head
        assert clean(repository)

    def test_a_merge_commit_arrives_with_both_its_parents(self, repository, hub, base, head):
        theirs = repository.commit({"theirs.txt": "t\n"})
        hub.import_commit(repository.root, theirs)
        merged = hub.merge(theirs, head)
        commit = hub.commit_tree(merged.tree, [theirs, head], "merge\n", COMMITTER, COMMITTER, AT)
        assert move(repository, hub, commit)
        assert git(repository.root, "log", "-1", "--format=%P") == f"{theirs} {head}"
        assert clean(repository)
        assert {"theirs.txt", "new"} <= {path.name for path in repository.root.iterdir()}

    def test_untracked_and_ignored_files_elsewhere_stay(self, repository, hub, base, head):
        (repository.root / "notes.md").write_text("mine\n")
        (repository.root / "x.log").write_text("log\n")
        assert move(repository, hub, head)
        assert (repository.root / "notes.md").read_text() == "mine\n"
        assert (repository.root / "x.log").read_text() == "log\n"

    def test_a_checkout_copied_elsewhere_has_no_true_times_and_is_clean_all_the_same(self, repository, hub, base, head):
        for path in repository.root.rglob("*.*"):
            if ".git" not in path.parts and path.is_file():
                os.utime(path, (1, 1))
        assert move(repository, hub, head)
        assert clean(repository)

    def test_a_file_becomes_a_folder_and_a_folder_a_file(self, repository, hub, base):
        commit = grown(hub, base, {"a.txt": None, "a.txt/inner": "x\n", "src/b.py": None, "src": "a file\n"})
        assert move(repository, hub, commit)
        assert (repository.root / "a.txt/inner").read_text() == "x\n"
        assert (repository.root / "src").read_text() == "a file\n"
        assert clean(repository)

    def test_no_program_of_the_repository_runs(self, repository, hub, canary, base, head):
        canary.infest(repository.root, repository.root / ".git")
        (repository.root / ".gitattributes").unlink()
        (repository.root / ".git/info/attributes").unlink()
        assert move(repository, hub, head)
        assert not canary.sang

    def test_in_a_shallow_clone(self, repository, hub, base, head, tmp_path):
        git(tmp_path, "clone", "-q", "--depth=1", repository.root.as_uri(), "shallow")
        shallow = tmp_path / "shallow"
        assert deliver_commit(shallow, find_branch(shallow, "main"), hub.path, head, NOTE, "p")
        assert git(shallow, "status", "--porcelain") == ""
        assert git(shallow, "rev-parse", "HEAD") == head

    def test_in_a_submodule(self, repository, hub, base, head, tmp_path):
        git(tmp_path, "init", "-q", "-b", "main", "super")
        above = tmp_path / "super"
        git(above, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repository.root), "part")
        part = above / "part"
        assert deliver_commit(part, find_branch(part, "main"), hub.path, head, NOTE, "p")
        assert git(part, "status", "--porcelain") == ""
        assert (part / "new/c.txt").exists()

    def test_in_a_folder_with_a_name_full_of_quotes(self, tmp_path):
        place = tmp_path / "a b:\"c'\\ d"
        place.mkdir()
        user = Repository(place / 'user ü:"x')
        hub = BareHub.open_or_create(place / 'hub:" q.git')
        hub.import_commit(user.root, user.commit({"a.txt": "one\n"}))
        commit = grown(hub, at(user), {"b.txt": "b\n"})
        assert move(user, hub, commit)
        assert clean(user)

    def test_line_endings_are_as_the_repository_wants_them(self, repository, hub, base, head):
        git(repository.root, "config", "core.autocrlf", "true")
        assert move(repository, hub, head)
        assert (repository.root / "new/c.txt").read_bytes() == b"c\r\n"

    def test_a_sparse_checkout_stays_sparse(self, repository, hub, base, head):
        git(repository.root, "sparse-checkout", "set", "src")
        assert move(repository, hub, head)
        assert not (repository.root / "new").exists()
        assert clean(repository)


class TestUncommittedWorkIsNeverTouched:
    def refused(self, repository, hub, commit, *words):
        before = {p: p.read_bytes() for p in repository.root.rglob("*") if p.is_file() and ".git" not in p.parts}
        tip = at(repository)
        with pytest.raises(ConflictError) as error:
            check_delivery(find_branch(repository.root, "main"), hub.path, commit)
        with pytest.raises(ConflictError):
            move(repository, hub, commit)
        assert all(word in str(error.value) for word in ("mend", *words)), error.value
        assert at(repository) == tip
        assert not (repository.root / ".git/index.lock").exists()
        assert {
            p: p.read_bytes() for p in repository.root.rglob("*") if p.is_file() and ".git" not in p.parts
        } == before

    def test_a_changed_file(self, repository, hub, base, head):
        (repository.root / "a.txt").write_text("mine\n")
        self.refused(repository, hub, head, "a.txt", "stash")

    def test_a_changed_file_that_the_delivery_has_nothing_to_do_with(self, repository, hub, base, head):
        (repository.root / ".gitignore").write_text("mine\n")
        self.refused(repository, hub, head, ".gitignore")

    def test_a_changed_file_that_the_delivery_removes(self, repository, hub, base, head):
        (repository.root / "src/b.py").write_text("mine\n")
        self.refused(repository, hub, head, "src/b.py")

    def test_a_removed_file(self, repository, hub, base, head):
        (repository.root / "a.txt").unlink()
        self.refused(repository, hub, head, "a.txt")

    def test_a_staged_file(self, repository, hub, base, head):
        (repository.root / "staged.txt").write_text("mine\n")
        git(repository.root, "add", "staged.txt")
        self.refused(repository, hub, head, "staged.txt")

    def test_a_staged_change_that_the_file_itself_has_no_more(self, repository, hub, base, head):
        (repository.root / "a.txt").write_text("mine\n")
        git(repository.root, "add", "a.txt")
        git(repository.root, "show", "HEAD:a.txt")
        (repository.root / "a.txt").write_text("one\ntwo\nthree\n")
        self.refused(repository, hub, head, "a.txt")

    def test_an_untracked_file_in_the_way(self, repository, hub, base, head):
        (repository.root / "new").mkdir()
        (repository.root / "new/c.txt").write_text("mine\n")
        self.refused(repository, hub, head, "new/c.txt")

    def test_an_ignored_file_in_the_way(self, repository, hub, base):
        (repository.root / "secret.log").write_text("mine\n")
        self.refused(repository, hub, grown(hub, base, {"secret.log": "theirs\n"}), "secret.log")

    def test_an_untracked_file_where_a_folder_is_to_be(self, repository, hub, base, head):
        (repository.root / "new").write_text("mine\n")
        self.refused(repository, hub, head, "new/c.txt")

    def test_a_link_that_leads_out_of_the_repository(self, repository, hub, base, head, tmp_path):
        (tmp_path / "outside").mkdir()
        (repository.root / "new").symlink_to(tmp_path / "outside")
        self.refused(repository, hub, head, "new/c.txt")
        assert not any((tmp_path / "outside").iterdir())

    def test_an_untracked_folder_where_a_file_is_to_be(self, repository, hub, base):
        (repository.root / "thing").mkdir()
        (repository.root / "thing/x").write_text("mine\n")
        self.refused(repository, hub, grown(hub, base, {"thing": "a file\n"}), "thing")

    def test_before_the_candidate_is_built_any_change_is_refused(self, repository, hub, base):
        (repository.root / "a.txt").write_text("mine\n")
        with pytest.raises(ConflictError, match=r"a\.txt"):
            check_delivery(find_branch(repository.root, "main"), hub.path, None)

    def test_a_file_only_announced_with_add_n(self, repository, hub, base, head):
        (repository.root / "mine.txt").write_text("mine\n")
        git(repository.root, "add", "-N", "mine.txt")
        self.refused(repository, hub, head, "mine.txt")

    @pytest.mark.parametrize("flag", ["--skip-worktree", "--assume-unchanged"])
    def test_a_changed_file_that_git_was_told_not_to_look_at(self, repository, hub, base, head, flag):
        git(repository.root, "update-index", flag, "a.txt")
        (repository.root / "a.txt").write_text("mine\n")
        self.refused(repository, hub, head, "a.txt")

    def test_a_file_changed_between_the_last_look_and_the_writing(self, repository, hub, base, head, monkeypatch):
        write = delivering._write_files

        def edited_first(*arguments):
            (repository.root / "a.txt").write_text("mine\n")
            write(*arguments)

        monkeypatch.setattr(delivering, "_write_files", edited_first)
        with pytest.raises(ConflictError, match=r"a\.txt"):
            move(repository, hub, head)
        assert (repository.root / "a.txt").read_text() == "mine\n"
        assert at(repository) == base

    def test_a_path_that_is_no_text(self, repository, hub, base, head):
        odd = os.fsencode(repository.root) + b"/b\xff\nad"
        Path(os.fsdecode(odd)).write_text("x\n")
        later = repository.commit({"x": "x\n"})
        hub.import_commit(repository.root, later)
        Path(os.fsdecode(odd)).write_text("mine\n")
        self.refused(repository, hub, grown(hub, later, {"y": "y\n"}), "b\\xff?ad")

    def test_a_file_written_through_a_filter(self, repository, hub, base, canary):
        commit = grown(hub, base, {".gitattributes": "*.bin filter=lfs\n", "x.bin": "pointer\n"})
        git(repository.root, "config", "filter.lfs.smudge", str(canary.script))
        self.refused(repository, hub, commit, "filter lfs", "switch --detach")
        git(repository.root, "switch", "-q", "--detach")
        assert move(repository, hub, commit)
        assert not canary.sang


class TestRefusedPlaces:
    @pytest.mark.parametrize(
        "name",
        ["", "-f", "HEAD", "@", "a..b", "a b", "refs/tags/x", "x.lock", "a\nb", "@{-1}", "a~1", "é\0", "x" * 300],
    )
    def test_what_is_no_branch(self, repository, base, name):
        with pytest.raises(UsageError, match="name"):
            find_branch(repository.root, name)

    @pytest.mark.parametrize("name", ["ünïcode/ブランチ", "a'b\"c$(touch)", "refs/heads/full/name", "100%", "x;y"])
    def test_odd_names_that_git_allows(self, repository, hub, base, head, name):
        assert move(repository, hub, head, name)
        assert at(repository, f"refs/heads/{name.removeprefix('refs/heads/')}") == head

    def test_a_branch_of_a_remote(self, repository, base):
        git(repository.root, "update-ref", "refs/remotes/origin/main", base)
        with pytest.raises(UsageError, match="remote"):
            find_branch(repository.root, "origin/main")

    def test_a_name_that_is_a_folder_of_another(self, repository, base):
        git(repository.root, "branch", "feature/one")
        with pytest.raises(UsageError, match="feature/one"):
            find_branch(repository.root, "feature")
        with pytest.raises(UsageError, match="feature/one"):
            find_branch(repository.root, "feature/one/two")

    def test_an_unborn_branch_that_is_checked_out(self, repository, base):
        git(repository.root, "checkout", "-q", "--orphan", "fresh")
        with pytest.raises(ConflictError, match="no commit yet"):
            find_branch(repository.root, "fresh")

    def test_the_middle_of_a_merge(self, repository, base):
        git(repository.root, "branch", "other")
        repository.commit({"a.txt": "ours\n"})
        git(repository.root, "switch", "-q", "other")
        repository.commit({"a.txt": "theirs\n"})
        git(repository.root, "switch", "-q", "main")
        subprocess.run(["git", "merge", "-q", "other"], cwd=repository.root, check=False, capture_output=True)
        with pytest.raises(ConflictError, match="in the middle of a merge"):
            find_branch(repository.root, "main")

    def test_the_middle_of_a_rebase(self, repository, base):
        git(repository.root, "branch", "other")
        repository.commit({"a.txt": "ours\n"})
        git(repository.root, "switch", "-q", "other")
        repository.commit({"a.txt": "theirs\n"})
        git(repository.root, "switch", "-q", "main")
        subprocess.run(["git", "rebase", "-q", "other"], cwd=repository.root, check=False, capture_output=True)
        with pytest.raises(ConflictError, match="in the middle of a rebase"):
            find_branch(repository.root, "main")

    def test_a_worktree_that_is_gone(self, repository, base, tmp_path):
        git(repository.root, "worktree", "add", "-q", "-b", "away", str(tmp_path / "away"))
        subprocess.run(["rm", "-rf", str(tmp_path / "away")], check=True)
        with pytest.raises(ConflictError, match="not there"):
            find_branch(repository.root, "away")

    def test_a_branch_checked_out_twice(self, repository, base, tmp_path):
        git(repository.root, "worktree", "add", "-q", "--force", str(tmp_path / "two"), "main")
        with pytest.raises(ConflictError, match="more than once"):
            find_branch(repository.root, "main")

    def test_another_git_at_work(self, repository, hub, base, head):
        lock = repository.root / ".git/index.lock"
        lock.write_text("")
        with pytest.raises(ConflictError, match="another git"):
            move(repository, hub, head)
        assert lock.exists()
        assert at(repository) == base


class TestTheBranchMovedMeanwhile:
    def test_it_is_not_moved_and_no_file_is(self, repository, hub, base, head):
        seen = find_branch(repository.root, "main")
        later = repository.commit({"a.txt": "later\n"})
        assert not deliver_commit(repository.root, seen, hub.path, head, NOTE, "p")
        assert at(repository) == later
        assert clean(repository)

    def test_by_a_push_between_the_last_look_and_the_move(self, repository, hub, base, head, monkeypatch):
        elsewhere = repository.commit({"a.txt": "pushed\n"})
        git(repository.root, "reset", "-q", "--hard", base)
        swap = delivering._swap

        def pushed_first(*arguments):
            git(repository.root, "update-ref", "refs/heads/main", elsewhere)
            return swap(*arguments)

        monkeypatch.setattr(delivering, "_swap", pushed_first)
        assert not move(repository, hub, head)
        assert at(repository) == elsewhere
        assert (repository.root / "a.txt").read_text() == "one\ntwo\nthree\n"
        assert not (repository.root / "new").exists()

    def test_a_branch_made_by_somebody_else_in_the_meantime(self, repository, hub, base, head):
        seen = find_branch(repository.root, "fresh")
        git(repository.root, "branch", "fresh")
        assert not deliver_commit(repository.root, seen, hub.path, head, NOTE, "p")
        assert at(repository, "fresh") == base


KILLED = """
import os, signal, sys
from pathlib import Path
from swarmworks.git import delivering
from swarmworks.git.user_branch import find_branch
step, root, hub, commit = sys.argv[1:]
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
real = getattr(delivering, step)
after = {"_write_files": real, "_swap": real}.get(step)
def killed(*arguments):
    if after: after(*arguments)
    die()
setattr(delivering, step, killed)
delivering.deliver_commit(Path(root), find_branch(Path(root), "main"), Path(hub), commit, "swarm deliver: x", "p")
"""


class TestKilledOnTheWay:
    @pytest.mark.chaos
    @pytest.mark.parametrize("step", ["check_delivery", "_write_files", "_swap", "_replace"])
    def test_asked_for_again_it_is_whole(self, repository, hub, base, head, step):
        """Before the first file, after the last one, after the branch, and before the index."""
        arguments = [sys.executable, "-c", KILLED, step, repository.root, hub.path, head]
        environment = {**os.environ, "PYTHONPATH": str(Path(delivering.__file__).parents[2])}
        done = subprocess.run(list(map(str, arguments)), env=environment, check=False)
        assert done.returncode == -9
        assert at(repository) in {base, head}
        if at(repository) == head:
            delivering.drop_left_lock(find_branch(repository.root, "main"))
        else:
            assert move(repository, hub, head)
        assert at(repository) == head
        assert not (repository.root / ".git/index.lock").exists()
        assert clean(repository)
        git(repository.root, "fsck", "--strict")

    def test_half_of_the_files_there_and_one_of_them_changed_by_hand_since(self, repository, hub, base, head):
        (repository.root / "new").mkdir()
        (repository.root / "new/c.txt").write_text("c\n")
        (repository.root / "a.txt").write_text("one\ntwo\nthree\nfour\nand mine\n")
        with pytest.raises(ConflictError, match=r"a\.txt"):
            move(repository, hub, head)
        (repository.root / "a.txt").write_text("one\ntwo\nthree\nfour\n")
        assert move(repository, hub, head)
        assert clean(repository)

    def test_what_cannot_be_written_is_taken_back(self, repository, hub, base, head, monkeypatch):
        def no_room(*_):
            raise GitError("no space left")

        for step in ("_swap", "_replace"):
            with monkeypatch.context() as patched:
                patched.setattr(delivering, step, no_room)
                with pytest.raises(GitError):
                    move(repository, hub, head)
            assert at(repository) == base
            assert (repository.root / "src/b.py").exists()
            assert clean(repository)

    def test_what_has_moved_is_not_taken_back_because_its_folder_cannot_be_synced(
        self, repository, hub, base, head, monkeypatch
    ):
        sync = delivering.sync_directory

        def no_folder(place):
            if place.name == "heads":
                raise NotADirectoryError(20, "Not a directory")
            sync(place)

        monkeypatch.setattr(delivering, "sync_directory", no_folder)
        assert move(repository, hub, head)
        assert at(repository) == head
        assert clean(repository)

    @pytest.mark.parametrize("flag", ["--skip-worktree", "--assume-unchanged"])
    @pytest.mark.parametrize("step", ["_swap", "_write_files"])
    def test_an_edit_that_git_was_told_not_to_see_survives_what_is_taken_back(
        self, repository, hub, base, monkeypatch, flag, step
    ):
        repository.commit({"settings.txt": "as shipped\n", "kept/d.txt": "d\n"})
        tip = at(repository)
        hub.import_commit(repository.root, tip)
        head = grown(hub, tip, {"a.txt": "new\n", "new/c.txt": "c\n", "kept/d.txt": None, "kept": "a file\n"})
        git(repository.root, "update-index", flag, "settings.txt")
        (repository.root / "settings.txt").write_text("my own\n")
        write = delivering._write_files

        def no_room(*arguments):
            if step == "_write_files":
                write(*arguments)
            raise GitError("no space left")

        with monkeypatch.context() as patched:
            patched.setattr(delivering, step, no_room)
            with pytest.raises(GitError):
                move(repository, hub, head)
        assert (repository.root / "settings.txt").read_text() == "my own\n"
        assert at(repository) == tip
        assert clean(repository)
        assert not (repository.root / "new").exists()
        assert (repository.root / "kept/d.txt").read_text() == "d\n"
        assert move(repository, hub, head)
        assert (repository.root / "settings.txt").read_text() == "my own\n"

    @pytest.mark.parametrize("flag", ["--skip-worktree", "--assume-unchanged"])
    def test_an_edit_that_git_was_told_not_to_see_survives_a_delivery_that_was_cut_short(
        self, repository, hub, base, flag
    ):
        repository.commit({"settings.txt": "as shipped\n"})
        hub.import_commit(repository.root, at(repository))
        head = grown(hub, at(repository), {"a.txt": "new\n", "new/c.txt": "c\n"})
        git(repository.root, "update-index", flag, "settings.txt")
        (repository.root / "settings.txt").write_text("my own\n")
        (repository.root / "a.txt").write_text("new\n")
        with pytest.raises(ConflictError, match=r"settings\.txt"):
            move(repository, hub, head)
        assert (repository.root / "settings.txt").read_text() == "my own\n"

    def test_a_disk_that_fills_up_in_the_middle_of_a_file(self, repository, hub, base, head, monkeypatch):
        write = delivering._write_files

        def half(git, branch, index, trees):
            if trees[0] == "--reset":
                return write(git, branch, index, trees)
            (repository.root / "new").mkdir()
            (repository.root / "new/c.txt").write_text("")
            (repository.root / "a.txt").write_text("one\ntw")
            raise GitError("no space left")

        with monkeypatch.context() as patched:
            patched.setattr(delivering, "_write_files", half)
            with pytest.raises(GitError):
                move(repository, hub, head)
        assert clean(repository)
        assert not (repository.root / "new").exists()
        assert move(repository, hub, head)
