"""What overlays promise beyond what every way of making working copies does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from swarmworks.base.errors import GitError
from swarmworks.git import overlays
from swarmworks.git.best import best_copies, probe_copies
from swarmworks.git.clones import SharedClones
from swarmworks.git.mounting import mounted, sync_file_system, unmount, why_not
from swarmworks.git.overlays import OverlayCopies
from tests.git.conftest import AGENT, AT, git
from tests.git.test_clones import BASE_FILES, REF


@pytest.fixture
def copies(hub, tmp_path):
    if (reason := why_not(tmp_path)) is not None:
        pytest.skip(reason)
    yield OverlayCopies(hub.path, tmp_path / "copies", None)
    for place in (tmp_path / "copies").iterdir():
        unmount(place)


def files_of(hub, commit):
    return {path: hub.read_file(commit, path) for path in hub.list_files(commit)}


def taken(copies, copy, hub):
    return files_of(hub, copies.snapshot(copy, REF, "m", AGENT, AT))


def used_bytes(folder):
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_copy_takes_what_is_changed_in_it_and_the_others_see_nothing_of_it(copies, base, hub, tmp_path, repository):
    commit = repository.commit({"large.bin": b"x" * 1_000_000})
    hub.import_commit(repository.root, commit)
    first, second = copies.create("first", commit), copies.create("second", commit)
    assert used_bytes(tmp_path / "copies/.state") < 10_000
    (first.path / "a.txt").write_text("mine\n")
    (first.path / "src/b.py").unlink()
    assert (second.path / "a.txt").read_bytes() == BASE_FILES["a.txt"]
    assert git(second.path, "status", "--porcelain") == ""
    assert used_bytes(tmp_path / "copies/.state") < 10_000
    assert set(taken(copies, first, hub)) == {*BASE_FILES, "large.bin"} - {"src/b.py"}


def test_what_copies_stand_on_is_on_the_disk_before_they_do(copies, base, monkeypatch):
    synced = []

    def sync(folder):
        synced.append({path.name for path in folder.rglob("*")})
        sync_file_system(folder)

    monkeypatch.setattr(overlays, "sync_file_system", sync)
    copies.create("t-1", base)
    (names,) = synced
    assert {"a.txt", "b.py", "index"} <= names


def test_a_base_that_differs_a_little_needs_no_template_of_its_own(copies, base, hub, tmp_path, repository):
    copies.create("before", base)
    later = repository.commit({"a.txt": None, "src/b.py": "x = 2\n", "new/deep/c.py": "y = 1\n"})
    hub.import_commit(repository.root, later)
    copy = copies.create("after", later)
    assert len([one for one in (tmp_path / "copies/.templates").iterdir() if one.is_dir()]) == 1
    assert git(copy.path, "status", "--porcelain") == ""
    assert git(copy.path, "rev-parse", "HEAD") == later
    assert not (copy.path / "a.txt").exists()
    assert copies.snapshot(copy, REF, "m", AGENT, AT) == later
    (copy.path / "new/deep/c.py").write_text("y = 2\n")
    expected = {".gitignore": BASE_FILES[".gitignore"], "src/b.py": b"x = 2\n", "new/deep/c.py": b"y = 2\n"}
    assert taken(copies, copy, hub) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_what_differs_from_the_template_belongs_to_the_owner_too(hub, tmp_path, base, repository, copies):
    owned = OverlayCopies(hub.path, tmp_path / "copies", 54321)
    owned.create("before", base)
    later = repository.commit({"a.txt": None, "new/deep/c.py": "y = 1\n"})
    hub.import_commit(repository.root, later)
    copy = owned.create("after", later)
    assert {path.lstat().st_uid for path in [copy.path, *copy.path.rglob("*")]} == {54321}


def test_what_a_machine_that_went_down_left_is_mounted_again_and_found(copies, base, hub, tmp_path):
    copy = copies.create("t-1", base, REF)
    (copy.path / "a.txt").write_text("unsaved\n")
    (copy.path / "src/b.py").unlink()
    unmount(copy.path)  # as after a restart of the machine
    assert not (copy.path / "a.txt").exists()
    later = OverlayCopies(hub.path, tmp_path / "copies", None)
    assert later.existing() == [copy]
    commit = later.snapshot(copy, copy.ref, "rescued", AGENT, AT)
    expected = {".gitignore": BASE_FILES[".gitignore"], "a.txt": b"unsaved\n"}
    assert files_of(hub, commit) == expected


def test_who_cannot_mount_leaves_overlays_alone_and_never_takes_them_for_empty(copies, base, hub, tmp_path):
    copy = copies.create("t-1", base, REF)
    (copy.path / "a.txt").write_text("unsaved\n")
    unmount(copy.path)
    plain = SharedClones(hub.path, tmp_path / "copies", None)
    assert plain.existing() == []
    with pytest.raises(GitError, match="overlay"):
        plain.snapshot(copy, REF, "m", AGENT, AT)
    assert hub.resolve(REF) is None
    assert taken(copies, copy, hub)["a.txt"] == b"unsaved\n"


def test_a_retired_copy_is_not_mounted_and_keeps_what_was_written(copies, base, tmp_path):
    copy = copies.create("t-1", base, REF)
    (copy.path / "build").mkdir()
    (copy.path / "build/log").write_text("ignored by git, and nowhere else\n")
    copies.retire(copy)
    assert not mounted(copy.path)
    assert copies.existing() == []
    assert copies.retired() == [copy]
    [place] = copies.places(copy)
    assert (place / "build/log").read_text() == "ignored by git, and nowhere else\n"
    copies.destroy(copy)
    assert copies.retired() == []
    assert not place.exists()


def test_a_template_stays_as_long_as_a_copy_stands_on_it(copies, hub, tmp_path, repository, monkeypatch):
    monkeypatch.setattr("swarmworks.git.overlays.MOST_DIFFERING", -1)
    made = []
    for number in range(5):
        commit = repository.commit({"a.txt": f"{number}\n"})
        hub.import_commit(repository.root, commit)
        copy = copies.create(f"t-{number}", commit)
        made.append(copy)
        if number:
            copies.destroy(copy)
    names = {one.name for one in (tmp_path / "copies/.templates").iterdir() if one.is_dir()}
    assert hub.tree_of(made[0].commit) in names
    assert len(names) == 3
    unmount(made[0].path)
    assert taken(copies, made[0], hub) == {"a.txt": b"0\n"}


def test_the_choice_is_probed_and_its_reason_said(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    probe = probe_copies(tmp_path)
    assert (probe.way, probe.why) == ("clone", "only root can mount overlays, and the worker runs as an ordinary user")
    assert best_copies(hub.path, tmp_path / "chosen", None).way == "clone"


def test_where_mounting_is_refused_the_reason_is_the_kernels(tmp_path, monkeypatch):
    def refused(*_parts):
        raise GitError("an overlay could not be mounted: Operation not permitted")

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("swarmworks.git.mounting.mount_overlay", refused)
    assert probe_copies(tmp_path).why == "an overlay could not be mounted: Operation not permitted"
    assert list(tmp_path.iterdir()) == []


def test_a_template_whose_tree_the_hub_has_given_up_is_in_nobodys_way(copies, base, hub, tmp_path):
    copies.destroy(copies.create("first", base))
    [template] = [one for one in (tmp_path / "copies/.templates").iterdir() if one.is_dir()]
    template.rename(template.with_name("f" * 40))  # as of a tree that nothing led to any more
    assert taken(copies, copies.create("second", base), hub) == BASE_FILES


PRIVATE = """
import sys
from pathlib import Path
from swarmworks.git.mounting import keep_mounts_private
from swarmworks.git.overlays import OverlayCopies
keep_mounts_private()
hub, root, base = sys.argv[1:]
copy = OverlayCopies(Path(hub), Path(root), None).create("t-1", base, "refs/swarm/work/s/t/1")
(copy.path / "a.txt").write_text("unsaved\\n")
print(flush=True)
sys.stdin.read()
"""


def test_a_worker_that_is_killed_leaves_no_mount_and_all_of_its_work(copies, base, hub, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    worker = subprocess.Popen(
        [sys.executable, "-c", PRIVATE, str(hub.path), str(tmp_path / "copies"), base],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with worker:
        worker.stdout.readline()
        worker.kill()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    [copy] = copies.existing()
    assert not mounted(copy.path)
    assert taken(copies, copy, hub) == BASE_FILES | {"a.txt": b"unsaved\n"}
