"""Merges in a quarantine: nothing of what was only tried is left, and what counts is whole, durable and in the repository."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from swarmworks.base.errors import GitError
from swarmworks.git import merging, quarantine
from swarmworks.git.hub import BareHub
from swarmworks.git.locking import held
from swarmworks.git.merging import Merging
from swarmworks.git.packwriter import PackWriter
from swarmworks.git.protocol import Candidate, Conflicted
from swarmworks.git.quarantine import Quarantine
from tests.git.conftest import git
from tests.git.test_persistent import brought, children, loose, piece

LINES = "".join(f"line {number}\n" for number in range(400))


def objects(hub):
    return {str(path.relative_to(hub.path)) for path in (hub.path / "objects").rglob("*") if path.is_file()}


def packs(hub):
    return set((hub.path / "objects" / "pack").glob("*.pack"))


@pytest.fixture(autouse=True)
def memory(monkeypatch, tmp_path):
    """A folder of this test's own, in memory where there is such a thing."""
    parent = quarantine.MEMORY if os.access(quarantine.MEMORY, os.W_OK) else tmp_path
    place = Path(tempfile.mkdtemp(prefix="swarm-test-", dir=parent))
    monkeypatch.setattr(quarantine, "MEMORY", place)
    monkeypatch.setattr(quarantine, "LEAST_FREE_BYTES", 0)
    yield place
    gc.collect()
    shutil.rmtree(place)


@pytest.fixture
def base(repository, hub):
    return brought(repository, hub, {"lines.txt": LINES, "src/b.py": "x = 1\n", "log.txt": "one\n"}, on=None)


@pytest.fixture
def heads(repository, hub, base):
    """Sixty changes: each edits a line of the same file, and adds one of its own."""
    return [
        brought(
            repository,
            hub,
            {"lines.txt": LINES.replace(f"line {n * 6}\n", f"LINE {n * 6}\n"), f"n/{n}": f"{n}\n"},
            on=base,
        )
        for n in range(60)
    ]


@pytest.fixture
def expected(repository, hub, base, heads):
    """What merging one after the other gives, by git commands of their own in another repository."""
    other = BareHub.open_or_create(repository.root.parent / "other.git")
    for head in heads:
        other.import_commit(repository.root, head)
    tip, trees = base, []
    for head in heads:
        trees.append(other.merge_alone(tip, head).tree)
        tip = other.commit_tree(trees[-1], [tip], "landed\n", piece(head).author, piece(head).committer, piece(head).at)
    return trees, tip


def assert_as_expected(hub, made, expected):
    trees, tip = expected
    assert all(isinstance(one, Candidate) for one in made)
    assert [one.tree for one in made] == trees
    assert made[-1].commit == tip
    fresh = BareHub.open_or_create(hub.path)
    assert fresh.resolve(tip) == tip
    git(hub.path, "update-ref", "refs/heads/made", tip)
    git(hub.path, "fsck", "--strict", "--full")


def folders():
    return set(quarantine.MEMORY.glob(f"{quarantine.PREFIX}*"))


def test_much_becomes_a_pack_and_is_what_git_makes_one_after_the_other(hub, base, heads, expected):
    before, there = loose(hub), packs(hub)
    made = hub.stack(base, [piece(head) for head in heads])
    assert_as_expected(hub, made, expected)
    (pack,) = packs(hub) - there
    assert loose(hub) == before
    told = git(hub.path, "verify-pack", "-v", str(pack))
    assert len([line for line in told.splitlines() if " commit " in line]) == 60
    assert hub.stack(base, [piece(head) for head in heads]) == made
    assert loose(hub) == before


def test_packing_that_lags_behind_the_merges_leaves_nothing_out(hub, base, heads, expected, monkeypatch):
    gather, into, all_asked, gathered = Quarantine._gather, Quarantine._into, threading.Event(), []

    def gather_and_tell(self):
        gathered.append(self)
        gather(self)
        if len(gathered) == 2:
            all_asked.set()

    def into_late(self, *arguments):
        assert all_asked.wait(60)
        into(self, *arguments)

    monkeypatch.setattr(Quarantine, "_gather", gather_and_tell)
    monkeypatch.setattr(Quarantine, "_into", into_late)
    assert_as_expected(hub, hub.stack(base, [piece(head) for head in heads]), expected)
    assert len(gathered) == 2


def test_little_becomes_loose_objects(hub, base, heads):
    before, there = loose(hub), packs(hub)
    made = hub.stack(base, [piece(head) for head in heads[:3]])
    assert made[-1].commit in loose(hub) - before
    assert packs(hub) == there
    git(hub.path, "fsck", "--strict", made[-1].commit)


def test_what_is_only_tried_leaves_nothing(repository, hub, base, heads):
    first = hub.stack(base, [piece(heads[0])])[0].commit
    clash = brought(repository, hub, {"lines.txt": LINES.replace("line 0\n", "zero\n")}, on=base)
    before = objects(hub)
    for head in heads[1:20]:
        assert hub.footprint(first, head)
        assert hub.conflicts(first, head) == ()
    assert hub.conflicts(first, clash) == ("lines.txt",)
    assert hub.footprint(first, clash) is None
    assert objects(hub) == before
    assert not [path for folder in folders() for path in (folder / "objects").rglob("*")]


@pytest.mark.parametrize("count", [3, 60])
def test_everything_is_on_the_disk_before_it_has_its_name(hub, base, heads, monkeypatch, count):
    synced, folders_synced, real = set(), {}, os.fsync

    def fsync(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.name.startswith("tmp_"):
            synced.add(os.fstat(descriptor).st_ino)
        if path.is_dir():
            folders_synced[path] = set(path.iterdir())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    before = objects(hub)
    hub.stack(base, [piece(head) for head in heads[:count]])
    written = {(hub.path / name).stat().st_ino for name in objects(hub) - before}
    assert len(written) >= 2
    assert written <= synced
    for name in objects(hub) - before:
        assert hub.path / name in folders_synced[(hub.path / name).parent], "its name is not on the disk"
    assert not [name for name in objects(hub) if "tmp_" in name]


@pytest.mark.parametrize("at", [0, 1, 17, 33, 59])
def test_a_merge_process_killed_on_the_way_is_missed_by_nobody(hub, base, heads, expected, monkeypatch, at):
    real, asked = Merging.merge, []

    def merge(self, ours, theirs):
        if len(asked) == at:
            for one in children():
                os.kill(one.pid, signal.SIGKILL)
        asked.append(theirs)
        return real(self, ours, theirs)

    monkeypatch.setattr(Merging, "merge", merge)
    assert_as_expected(hub, hub.stack(base, [piece(head) for head in heads]), expected)


def test_conflicts_and_united_files_among_many(repository, hub, base, heads):
    clash = brought(repository, hub, {"lines.txt": LINES.replace("line 6\n", "six\n")}, on=base)
    added = [brought(repository, hub, {"log.txt": f"one\n{n}\n"}, on=base) for n in (2, 3)]
    pieces = [piece(head) for head in (*heads[:30], clash, added[0], *heads[30:40], added[1], *heads[40:])]
    pieces = [one if one.head not in added else type(one)(**{**_fields(one), "union": ("log.txt",)}) for one in pieces]
    made = hub.stack(base, pieces)
    assert [index for index, one in enumerate(made) if isinstance(one, Conflicted)] == [30]
    assert made[30].paths == ("lines.txt",)
    assert "lines.txt" in made[30].detail
    assert hub.read_file(made[-1].commit, "log.txt") in {b"one\n2\n3\n", b"one\n3\n2\n"}
    git(hub.path, "fsck", "--strict", made[-1].commit)


def _fields(one):
    return {name: getattr(one, name) for name in type(one).__slots__}


def test_more_than_a_quarantine_may_hold_is_kept_on_the_way(hub, base, heads, expected, monkeypatch):
    monkeypatch.setattr(quarantine, "MOST_BYTES", 1 << 16)
    assert_as_expected(hub, hub.stack(base, [piece(head) for head in heads]), expected)


@pytest.fixture
def small_memory(tmp_path, monkeypatch):
    place = tmp_path / "memory"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"a small file system in memory cannot be mounted here: {done.stderr.strip()}")
    monkeypatch.setattr(quarantine, "MEMORY", place)
    monkeypatch.setattr(quarantine, "LEAST_FREE_BYTES", 0)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_memory_that_is_full_costs_time_and_nothing_else(hub, base, heads, expected, small_memory):
    assert_as_expected(hub, hub.stack(base, [piece(head) for head in heads]), expected)
    assert os.listdir(small_memory)  # noqa: PTH208


def test_a_commit_that_does_not_fit_is_written_once_there_is_room(hub, base, heads, expected, monkeypatch):
    real, written = Path.write_bytes, []

    def write_bytes(self, data):
        if quarantine.PREFIX in str(self):
            written.append(self)
            if len(written) == 40:
                real(self, data[:5])
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    assert_as_expected(hub, hub.stack(base, [piece(head) for head in heads]), expected)
    assert len(written) == 61


def test_without_memory_to_spare_it_is_beside_the_repository(hub, base, heads, expected, monkeypatch):
    monkeypatch.setattr(quarantine, "LEAST_FREE_BYTES", 1 << 60)
    assert_as_expected(hub, hub.stack(base, [piece(head) for head in heads]), expected)
    assert not folders()
    (made,) = hub.path.glob(f"{quarantine.PREFIX}*")
    assert not list((made / "objects").iterdir())


@pytest.mark.parametrize("name", ["a:b.git", 'a"b.git', "a\\b:c.git", " .git"])
def test_a_repository_with_an_odd_path(repository, tmp_path, hub, base, heads, name):
    odd = BareHub.open_or_create(tmp_path / name)
    for head in heads[:3]:
        odd.import_commit(repository.root, head)
    made = odd.stack(base, [piece(head) for head in heads[:3]])
    assert made == hub.stack(base, [piece(head) for head in heads[:3]])
    assert odd.resolve(made[-1].commit) == made[-1].commit
    assert odd.footprint(base, heads[0])


def test_what_an_error_left_is_thrown_away(hub, base, heads):
    before = objects(hub)
    with pytest.raises(GitError):
        hub.stack(base, [piece(heads[0]), piece("e" * 40)])
    assert not folders()
    assert hub.stack(base, [piece(heads[0])])
    assert objects(hub) > before


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, hub, base, heads, monkeypatch):
    monkeypatch.setattr(quarantine, "MEMORY", tmp_path)
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom swarmworks.git import quarantine\n"
        "quarantine.MEMORY, quarantine.LEAST_FREE_BYTES = Path(sys.argv[1]), 0\n"
        "made = quarantine.Quarantine(Path(sys.argv[2]))\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path, hub.path], check=False)
    (left,) = tmp_path.glob(f"{quarantine.PREFIX}*")
    young = quarantine.Quarantine(hub.path)
    assert left.exists(), "one that is only just being made is not locked yet"
    os.utime(left, (1, 1))
    with held(left / quarantine.LOCK):
        other = quarantine.Quarantine(hub.path)
        assert left.exists(), "somebody holds it"
    (mine,) = {place for place in tmp_path.glob(f"{quarantine.PREFIX}*") if place != left} - {_root(other)}
    os.utime(mine, (1, 1))
    third = quarantine.Quarantine(hub.path)
    assert not left.exists()
    assert mine.exists(), "one that is old and at work"
    assert len(list(tmp_path.glob(f"{quarantine.PREFIX}*"))) == 3
    for one in (young, other, third):
        one.remove()
    assert not list(tmp_path.glob(f"{quarantine.PREFIX}*"))


def _root(one):
    return one.remove.peek()[2][0]


@pytest.mark.parametrize("beside", [True, False])
def test_what_was_left_is_removed_wherever_the_next_is_made(hub, memory, monkeypatch, beside):
    left = (hub.path if not beside else memory) / f"{quarantine.PREFIX}left"
    left.mkdir()
    (left / quarantine.LOCK).touch()
    os.utime(left, (1, 1))
    monkeypatch.setattr(quarantine, "LEAST_FREE_BYTES", 1 << 60 if beside else 0)
    quarantine.Quarantine(hub.path).remove()
    assert not left.exists()


def test_a_memory_that_cannot_be_used_is_done_without(hub, base, heads, monkeypatch):
    real = quarantine.taken

    def taken(path):
        if path.is_relative_to(quarantine.MEMORY):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path)

    monkeypatch.setattr(quarantine, "taken", taken)
    assert isinstance(hub.stack(base, [piece(heads[0])])[0], Candidate)
    assert not folders()
    assert list(hub.path.glob(f"{quarantine.PREFIX}*"))


def test_one_that_vanished_meanwhile_is_made_anew(hub, base, heads):
    hub.merge(base, heads[0])
    for folder in folders():
        shutil.rmtree(folder)
    assert hub.conflicts(base, heads[1]) == ()
    assert len(folders()) == 1


@pytest.mark.parametrize("count", [1, 60])
@pytest.mark.parametrize("first", [quarantine.LOCK, quarantine.AFTER])
def test_one_that_somebody_began_to_remove_makes_no_candidate(hub, base, heads, monkeypatch, count, first):
    real, asked = Merging.merge, []

    def merge(self, ours, theirs):
        asked.append(theirs)
        if len(asked) == count:
            (folder,) = folders()
            (folder / first).unlink()
            shutil.rmtree(next((folder / quarantine.OBJECTS).iterdir()), ignore_errors=True) if count > 1 else None
        return real(self, ours, theirs)

    before = objects(hub)
    with monkeypatch.context() as patched:
        patched.setattr(Merging, "merge", merge)
        with pytest.raises(GitError, match="removed by somebody else"):
            hub.stack(base, [piece(head) for head in heads[:count]])
    assert objects(hub) == before
    assert isinstance(hub.stack(base, [piece(heads[0])])[0], Candidate)


@pytest.mark.parametrize("at", [1, 33, 60])
def test_one_that_is_gone_on_the_way_is_said_with_its_mend(hub, base, heads, monkeypatch, at):
    asked = []

    def write(self, commit):
        asked.append(commit)
        if len(asked) == at:
            for folder in folders():
                shutil.rmtree(folder)
        real(self, commit)

    real = Quarantine.write
    with monkeypatch.context() as patched:
        patched.setattr(Quarantine, "write", write)
        with pytest.raises(GitError, match="removed by somebody else") as told:
            hub.stack(base, [piece(head) for head in heads])
    assert "enable-linger" in told.value.mend
    assert isinstance(hub.stack(base, [piece(heads[0])])[0], Candidate)


def test_what_others_take_of_the_memory_costs_nothing(hub, base, heads, expected, monkeypatch):
    left, kept = [1 << 40], []

    def free(_folder):
        left[0] -= quarantine.MOST_BYTES
        return left[0]

    real = PackWriter.finish
    monkeypatch.setattr(quarantine, "_free_bytes", free)
    monkeypatch.setattr(PackWriter, "finish", lambda self, folder: (kept.append(folder), real(self, folder)))
    assert_as_expected(hub, hub.stack(base, [piece(head) for head in heads]), expected)
    assert len(kept) == 1


def test_what_was_thrown_away_is_written_again_by_the_same_process(hub, base, heads):
    for head in heads[:5]:
        assert hub.conflicts(base, head) == ()
    (made,) = hub.stack(base, [piece(heads[3])])
    git(hub.path, "fsck", "--strict", "--full", made.commit)
    assert git(hub.path, "show", f"{made.commit}:n/3") == "3"


def test_a_pack_that_was_given_up_is_not_relied_on_for_long(hub, base, heads, expected, monkeypatch):
    monkeypatch.setattr(merging, "MOST_AGE_S", 0.0)
    BareHub.open_or_create(hub.path).stack(base, [piece(head) for head in heads])
    made = hub.stack(base, [piece(head) for head in heads])
    git(hub.path, "update-ref", "refs/heads/base", base)
    for number, head in enumerate(heads):
        git(hub.path, "update-ref", f"refs/heads/h{number}", head)
    git(hub.path, "repack", "-A", "-d", "-q")
    git(hub.path, "prune", "--expire=now")
    assert hub.stack(base, [piece(head) for head in heads]) == made
    assert_as_expected(hub, made, expected)


@pytest.mark.parametrize("failing", range(1, 4))
@pytest.mark.parametrize("count", [1, 60])
def test_what_cannot_be_written_leaves_nothing_half_done(hub, base, heads, monkeypatch, count, failing):
    real, asked = os.fsync, []

    def fsync(descriptor):
        asked.append(descriptor)
        if len(asked) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="No space"):
            hub.stack(base, [piece(head) for head in heads[:count]])
    assert not list((hub.path / "objects").rglob("tmp_*"))
    git(hub.path, "fsck", "--full")
    made = hub.stack(base, [piece(head) for head in heads[:count]])
    git(hub.path, "fsck", "--strict", "--full", made[-1].commit)


def test_a_folder_that_was_split_is_a_conflict(repository, hub):
    base = brought(repository, hub, {f"d/{n}": f"{n}\n" * 9 for n in range(4)}, on=None)
    split = {f"{'x' if n < 2 else 'y'}/{n}": f"{n}\n" * 9 for n in range(4)}
    ours = brought(repository, hub, {**split, **{f"d/{n}": None for n in range(4)}}, on=base)
    theirs = brought(repository, hub, {"d/new": "new\n"}, on=base)
    other = brought(repository, hub, {"z": "z\n"}, on=base)
    clash, fine = hub.stack(ours, [piece(theirs), piece(other)])
    assert isinstance(fine, Candidate)
    assert isinstance(clash, Conflicted)
    assert "d" in clash.paths
    assert "split" in clash.detail
    assert hub.merge(ours, theirs) == clash
    assert hub.conflicts(ours, theirs) == clash.paths
    assert hub.footprint(ours, theirs) is None


def test_a_forked_process_that_ends_does_not_take_it_away(hub):
    mine = quarantine.Quarantine(hub.path)
    root, lock, owner = mine.remove.peek()[2]
    quarantine._remove(root, lock, owner + 1)
    assert root.exists()
    mine.remove()
    assert not root.exists()


def test_a_pack_holds_what_was_put_in(tmp_path):
    git(tmp_path, "init", "-q", "--bare", "r.git")
    repository, writer, contents = tmp_path / "r.git", PackWriter(), {}
    for number, size in enumerate((0, 1, 15, 16, 2047, 2048, 1 << 18, (1 << 18) + 1)):
        content = (b"%d " % number + bytes(range(256)) * (size // 256 + 1))[:size]
        (tmp_path / "f").write_bytes(content)
        name = git(tmp_path, "hash-object", "f")
        contents[name] = content
        writer.add(name, b"blob", content)
        writer.add(name, b"blob", content)
    writer.finish(repository / "objects" / "pack")
    (pack,) = (repository / "objects" / "pack").glob("*.pack")
    git(repository, "verify-pack", str(pack))
    assert not list((repository / "objects" / "pack").glob("tmp_*"))
    for name, content in contents.items():
        done = subprocess.run(["git", "-C", repository, "cat-file", "blob", name], capture_output=True, check=True)
        assert done.stdout == content
