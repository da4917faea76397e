from __future__ import annotations

import os
import shutil
import socket
import threading
from pathlib import Path

import pytest

from swarmworks.base.errors import ConflictError, GitError, NotFoundError, RejectedError
from swarmworks.git.clones import SharedClones
from swarmworks.git.hub import BareHub
from swarmworks.git.snapshot import HANDOFF_FILE, Snapshot
from tests.git.conftest import AGENT, AT, git
from tests.git.test_hub import ODD_NAMES

REF = "refs/swarm/work/t/1"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")


@pytest.fixture
def copy(copies, base):
    return copies.create("t-1", base)


@pytest.fixture
def taken(copies, copy, hub):
    """Take a snapshot; the files of the commit and what they hold."""

    def take():
        commit = copies.snapshot(copy, REF, "work\n", AGENT, AT)
        assert hub.resolve(REF) == commit
        return {path: hub.read_file(commit, path) for path in hub.list_files(commit)}

    return take


BASE_FILES = {".gitignore": b"*.log\nbuild/\n", "a.txt": b"one\ntwo\nthree\n", "src/b.py": b"x = 1\n"}


class TestCreate:
    def test_a_private_detached_checkout_in_which_an_agent_can_work(self, copy, base, hub):
        assert git(copy.path, "status", "--porcelain") == ""
        assert git(copy.path, "rev-parse", "HEAD") == base
        assert git(copy.path, "remote") == ""
        assert git(copy.path, "branch", "--show-current") == ""
        (copy.path / "a.txt").write_text("changed\n")
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
        command = ["git", "-c", "safe.directory=*", "commit", "-qam", "by the agent"]
        assert (
            os.spawnve(os.P_WAIT, shutil.which("git"), [command[0], "-C", str(copy.path), *command[1:]], environment)
            == 0
        )
        mine = git(copy.path, "rev-parse", "HEAD")
        assert hub.resolve(mine) is None
        assert hub.resolve(base) == base

    def test_names(self, copies, copy, base):
        with pytest.raises(ConflictError):
            copies.create("t-1", base)
        for bad in ("", "..", ".state", "a/b", "-x", "a\n"):
            with pytest.raises(RejectedError):
                copies.create(bad, base)
        with pytest.raises(NotFoundError):
            copies.create("t-2", "f" * 40)

    def test_many_at_once(self, copies, base):
        made, failures = [], []

        def make(number):
            try:
                made.append(copies.create(f"t-{number}", base))
            except GitError as error:
                failures.append(error)

        threads = [threading.Thread(target=make, args=(number,)) for number in range(12)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert not failures
        assert len(copies.existing()) == len(made) == 12

    @as_root
    def test_the_tree_belongs_to_the_owner_and_links_are_not_followed(self, hub, repository, tmp_path, base, way):
        outside = tmp_path / "outside"
        outside.write_text("mine")
        (repository.root / "link").symlink_to(outside)
        commit = repository.commit({})
        hub.import_commit(repository.root, commit)
        copies = way(hub.path, tmp_path / "owned", 54321)
        copy = copies.create("t-1", commit)
        assert {path.lstat().st_uid for path in [copy.path, *copy.path.rglob("*")]} == {54321}
        assert outside.stat().st_uid == 0
        assert copies.snapshot(copy, REF, "m", AGENT, AT) == commit
        copies.destroy(copy)
        assert not copy.path.exists()


class TestSnapshot:
    def test_nothing_changed(self, copies, copy, base):
        (copy.path / "x.log").write_text("ignored")
        (copy.path / "build").mkdir()
        (copy.path / "build/out").write_text("ignored")
        (copy.path / "a.txt").touch()
        assert copies.snapshot(copy, REF, "m", AGENT, AT) == base

    def test_caches_of_tools_are_nobodys_work_even_where_gitignore_forgot_them(self, copies, copy, base):
        for name in ("src/__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"):
            (copy.path / name).mkdir()
            (copy.path / name / "x").write_text("left by a tool")
        (copy.path / "node_modules").symlink_to("/somewhere")
        assert copies.snapshot(copy, REF, "m", AGENT, AT) == base

    def test_what_an_agents_program_hands_in_as_a_file_is_no_part_of_its_work(self, copies, copy, base, taken):
        (copy.path / HANDOFF_FILE).write_text("{}")
        assert copies.snapshot(copy, REF, "m", AGENT, AT) == base
        (copy.path / "src" / HANDOFF_FILE).write_text("anywhere else it is a file like any other")
        assert set(taken()) == {*BASE_FILES, f"src/{HANDOFF_FILE}"}

    def test_everything_is_committed_onto_the_base(self, copies, copy, hub, base):
        (copy.path / "a.txt").write_text("new\n")
        (copy.path / "src/b.py").unlink()
        (copy.path / "run.sh").write_text("#!/bin/sh\n")
        (copy.path / "run.sh").chmod(0o4755)
        commit = copies.snapshot(copy, REF, "subject\n\nbody\n", AGENT, AT)
        assert {(c.path, c.status, c.mode) for c in hub.changes(base, commit)} == {
            ("a.txt", "M", "100644"),
            ("src/b.py", "D", "000000"),
            ("run.sh", "A", "100755"),
        }
        raw = git(hub.path, "cat-file", "commit", commit)
        assert f"parent {base}\nauthor Ada <ada@swarm.invalid>" in raw
        assert "committer Swarmworks <swarm@swarmworks.invalid>" in raw
        assert raw.endswith("\n\nsubject\n\nbody")

    def test_again_and_again(self, taken, copy, base, hub):
        (copy.path / "new").write_text("1")
        assert taken() == BASE_FILES | {"new": b"1"}
        (copy.path / "new").write_text("2")
        (copy.path / "a.txt").unlink()
        assert taken() == {path: content for path, content in BASE_FILES.items() if path != "a.txt"} | {"new": b"2"}
        (copy.path / "a.txt").mkdir()
        (copy.path / "a.txt/inner").write_text("now a directory")
        files = taken()
        assert files == {k: v for k, v in BASE_FILES.items() if k != "a.txt"} | {
            "new": b"2",
            "a.txt/inner": b"now a directory",
        }
        shutil.rmtree(copy.path / "a.txt")
        (copy.path / "a.txt").write_bytes(BASE_FILES["a.txt"])
        (copy.path / "new").unlink()
        assert taken() == BASE_FILES
        assert hub.resolve(REF) == base

    def test_odd_names(self, taken, copy):
        for name in ODD_NAMES:
            (copy.path / name).write_text(name)
        assert taken() == BASE_FILES | {name: name.encode() for name in ODD_NAMES}

    def test_what_the_agent_committed_or_staged_does_not_matter(self, taken, copy):
        (copy.path / "a.txt").write_text("committed\n")
        git(copy.path, "commit", "-qam", "mine")
        git(copy.path, "rm", "-q", "--cached", "src/b.py")
        assert taken() == BASE_FILES | {"a.txt": b"committed\n"}
        shutil.rmtree(copy.path / ".git")
        assert taken() == BASE_FILES | {"a.txt": b"committed\n"}

    def test_nothing_in_the_copy_is_run(self, taken, copy, canary):
        canary.infest(copy.path, copy.path / ".git")
        (copy.path / "a.txt").write_text("changed\n")
        nested = copy.path / "nested"
        nested.mkdir()
        git(nested, "init", "-q")
        (nested / "n.txt").write_text("n\n")
        git(nested, "add", ".")
        git(nested, "commit", "-qm", "n")
        canary.infest(nested, nested / ".git")
        files = taken()
        assert files["a.txt"] == b"changed\n"
        assert files["nested/n.txt"] == b"n\n"
        assert not any(".git/" in path for path in files)
        assert not canary.sang
        git(copy.path, "status")
        assert canary.sang, "the canary itself must work"

    def test_embedded_repositories_become_plain_files(self, taken, copy, hub, base):
        outer, inner = copy.path / "lib", copy.path / "lib/deep/er"
        for directory in (outer, inner):
            directory.mkdir(parents=True)
            git(directory, "init", "-q")
            (directory / "f").write_text("f")
            (directory / "skip.tmp").write_text("t")
            (directory / ".gitignore").write_text("*.tmp\n")
            git(directory, "add", "f")
            git(directory, "commit", "-qm", "x")
        files = taken()
        assert {"lib/f", "lib/deep/er/f"} < set(files)
        assert not any(path.endswith("skip.tmp") for path in files)
        assert "160000" not in {change.mode for change in hub.changes(base, hub.resolve(REF))}
        (outer / "f").write_text("again")
        assert taken()["lib/f"] == b"again"

    def test_a_submodule_of_the_base_stays(self, hub, repository, copies, base):
        git(repository.root, "update-index", "--add", "--cacheinfo", f"160000,{base},sub")
        git(repository.root, "commit", "-qm", "submodule")
        commit = git(repository.root, "rev-parse", "HEAD")
        hub.import_commit(repository.root, commit)
        copy = copies.create("t-9", commit)
        (copy.path / "sub/evil").write_text("x")
        git(copy.path / "sub", "init", "-q")
        assert copies.snapshot(copy, REF, "m", AGENT, AT) == commit

    def test_links_are_kept_as_links_and_lead_nowhere(self, taken, copy, tmp_path, hub, base):
        secret = tmp_path / "secrets"
        secret.mkdir()
        (secret / "b.py").write_text("SECRET")
        (copy.path / "passwd").symlink_to("/etc/passwd")
        (copy.path / "loop").symlink_to("loop")
        shutil.rmtree(copy.path / "src")
        (copy.path / "src").symlink_to(secret)
        files = taken()
        assert files["passwd"] == b"/etc/passwd"
        assert files["loop"] == b"loop"
        assert files["src"] == str(secret).encode()
        assert "src/b.py" not in files
        assert {c.mode for c in hub.changes(base, hub.resolve(REF)) if c.status == "A"} == {"120000"}

    def test_fifos_and_sockets_are_passed_over(self, taken, copy, monkeypatch):
        os.mkfifo(copy.path / "fifo")
        (copy.path / "a.txt").unlink()
        os.mkfifo(copy.path / "a.txt")
        monkeypatch.chdir(copy.path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("sock")
            files = taken()
        assert files == {path: content for path, content in BASE_FILES.items() if path != "a.txt"}

    def test_line_endings_follow_the_attributes(self, taken, copy):
        (copy.path / ".gitattributes").write_text("*.txt text\n")
        (copy.path / "a.txt").write_bytes(b"one\r\ntwo\r\n")
        assert taken()["a.txt"] == b"one\ntwo\n"

    def test_an_encoding_that_does_not_fit_loses_nothing(self, taken, copy):
        (copy.path / ".gitattributes").write_text("*.txt working-tree-encoding=UTF-16\n")
        for number in range(5):
            (copy.path / f"{number}.txt").write_bytes(b"odd")
        (copy.path / "plain").write_text("plain")
        files = taken()
        assert files["3.txt"] == b"odd"
        assert files["plain"] == b"plain"

    def test_what_cannot_be_taken_is_named_in_the_message(self, hub, tmp_path, base, way):
        copies = way(hub.path, tmp_path / "small", None, file_limit_bytes=100)
        copy = copies.create("t-1", base)
        (copy.path / "large").write_bytes(b"x" * 101)
        (copy.path / "GIT~1").write_text("refused by git")
        (copy.path / "fine").write_text("fine")
        commit = copies.snapshot(copy, REF, "work\n", AGENT, AT)
        assert hub.list_files(commit) == sorted([*BASE_FILES, "fine"])
        message = git(hub.path, "log", "-1", "--format=%B", commit)
        assert message.startswith("work\n\nLeft-Out: ")
        assert "Left-Out: 'large' (too large)" in message
        assert "Left-Out: 'GIT~1' (a name git refuses)" in message

    @as_root
    def test_a_hard_link_to_somebody_elses_file_is_not_read(self, hub, tmp_path, base):
        copies = SharedClones(hub.path, tmp_path / "owned", 54321)
        copy = copies.create("t-1", base)
        (tmp_path / "secret").write_text("SECRET")
        os.link(tmp_path / "secret", copy.path / "stolen")
        commit = copies.snapshot(copy, REF, "work", AGENT, AT)
        assert "stolen" not in hub.list_files(commit)
        assert "'stolen' (a hard link" in git(hub.path, "log", "-1", "--format=%B", commit)

    def test_while_the_agent_is_writing(self, copies, copy, hub):
        stop, failures = threading.Event(), []

        def scribble():
            number = 0
            while not stop.is_set():
                number += 1
                name = copy.path / f"dir{number % 7}" / f"f{number % 5}"
                try:
                    name.parent.mkdir(exist_ok=True)
                    name.write_text("x" * (number % 4000))
                    if number % 11 == 0:
                        shutil.rmtree(name.parent)
                    if number % 13 == 0:
                        shutil.rmtree(name.parent, ignore_errors=True)
                        name.parent.symlink_to("/etc")
                        name.parent.unlink()
                except OSError as error:
                    failures.append(error)
                    return

        thread = threading.Thread(target=scribble)
        thread.start()
        try:
            commits = [copies.snapshot(copy, REF, "m", AGENT, AT) for _ in range(6)]
        finally:
            stop.set()
            thread.join()
        assert not failures
        for commit in commits:
            assert set(BASE_FILES) <= set(hub.list_files(commit))
        git(hub.path, "fsck", "--connectivity-only")

    def test_a_directory_swapped_for_a_link_in_mid_read_leaks_nothing(self, copies, copy, hub, tmp_path):
        """The race itself: names are listed while `d` is a directory, and read when it is a link to somewhere else."""
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside/f").write_text("SECRET")
        (copy.path / "d").mkdir()
        (copy.path / "d/f").write_text("mine")
        listed = Snapshot._differing

        def swap(self):
            answer = listed(self)
            shutil.rmtree(copy.path / "d")
            (copy.path / "d").symlink_to(tmp_path / "outside")
            return answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Snapshot, "_differing", swap)
            commit = copies.snapshot(copy, REF, "m", AGENT, AT)
        assert "d/f" not in hub.list_files(commit)
        assert hub.read_file(copies.snapshot(copy, REF, "m", AGENT, AT), "d") == str(tmp_path / "outside").encode()

    def test_a_broken_or_locked_index_is_made_anew(self, taken, copy, tmp_path):
        state = tmp_path / "copies/.state/t-1"
        (copy.path / "a.txt").write_text("changed\n")
        (state / "index").write_bytes(b"garbage")
        (state / "index.lock").write_bytes(b"")
        (state / "stage-old").mkdir()
        assert taken() == BASE_FILES | {"a.txt": b"changed\n"}
        assert not (state / "stage-old").exists()
        (state / "index").unlink()
        assert taken() == BASE_FILES | {"a.txt": b"changed\n"}

    def test_a_copy_that_is_no_more(self, copies, copy):
        copies.destroy(copy)
        with pytest.raises(NotFoundError):
            copies.snapshot(copy, REF, "m", AGENT, AT)


class TestLeftovers:
    def test_what_an_earlier_process_left_is_listed_and_can_be_snapshotted(self, copies, copy, hub, tmp_path, way):
        (copy.path / "a.txt").write_text("unsaved\n")
        later = way(hub.path, tmp_path / "copies", None)
        assert later.existing() == [copy]
        commit = later.snapshot(copy, REF, "rescued", AGENT, AT)
        assert hub.read_file(commit, "a.txt") == b"unsaved\n"

    def test_half_made_and_half_destroyed_ones_are_cleared_and_never_listed(self, copies, copy, tmp_path):
        (tmp_path / "copies/.state/t-1/copy.json").unlink()
        (copy.path / "a.txt").unlink()
        assert copies.existing() == []
        assert not copy.path.exists()
        assert copies.create("t-1", copy.commit) == copy

    def test_destroy_takes_read_only_directories_and_leaves_what_links_lead_to(self, copies, copy, tmp_path):
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "keep").write_text("keep")
        (copy.path / "locked/in").mkdir(parents=True)
        (copy.path / "locked/in/f").write_text("x")
        (copy.path / "locked/out").symlink_to(outside)
        (copy.path / "locked/in").chmod(0o000)
        (copy.path / "locked").chmod(0o555)
        copies.destroy(copy)
        copies.destroy(copy)
        assert not copy.path.exists()
        assert (outside / "keep").read_text() == "keep"
        assert copies.existing() == []
        assert BareHub.open_or_create(tmp_path / "hub.git").resolve(copy.commit) == copy.commit


@pytest.fixture
def abyss(copy):
    """Directories nested deeper than any path may be long, with a file at the bottom, as an agent could make them."""
    here = os.open(copy.path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("dd", dir_fd=here)
        deeper = os.open("dd", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_nesting_without_end_stops_neither_snapshot_nor_destroy(copies, copy, abyss, hub):
    (copy.path / "a.txt").write_text("changed\n")
    (copy.path / Path(*["dd"] * 1200) / "halfway").write_text("x")
    commit = copies.snapshot(copy, REF, "m", AGENT, AT)
    assert hub.read_file(commit, "a.txt") == b"changed\n"
    assert "halfway' (nested too deep)" in git(hub.path, "log", "-1", "--format=%B", commit)
    copies.destroy(copy)
    assert not copy.path.exists()
