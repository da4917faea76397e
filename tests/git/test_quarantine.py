"""Merges in a quarantine: nothing of what was only tried is left, and what counts is whole, durable and in the repository."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swarmworks.base.errors import GitError
from swarmworks.git import quarantine
from swarmworks.git.hub import BareHub
from swarmworks.git.locking import held
from swarmworks.git.merging import Merging
from swarmworks.git.packwriter import PackWriter
from swarmworks.git.protocol import Candidate, Conflicted
from tests.git.conftest import git
from tests.git.test_persistent import brought, children, loose, piece

LINES = "".join(f"line {number}\n" for number in range(400))


def objects(hub):
    return {str(path.relative_to(hub.path)) for path in (hub.path / "objects").rglob("*") if path.is_file()}


def packs(hub):
    return set((hub.path / "objects" / "pack").glob("*.pack"))


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
    synced, real = set(), os.fsync

    def fsync(descriptor):
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if name.startswith("tmp_"):
            synced.add(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    before = objects(hub)
    hub.stack(base, [piece(head) for head in heads[:count]])
    written = {(hub.path / name).stat().st_ino for name in objects(hub) - before}
    assert len(written) >= 2
    assert written <= synced
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
    before = folders()
    assert_as_expected(hub, hub.stack(base, [piece(head) for head in heads]), expected)
    assert folders() == before
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
    before, there = objects(hub), folders()
    with pytest.raises(GitError):
        hub.stack(base, [piece(heads[0]), piece("e" * 40)])
    assert folders() <= there
    assert hub.stack(base, [piece(heads[0])])
    assert objects(hub) > before


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, hub, base, heads, monkeypatch):
    monkeypatch.setattr(quarantine, "MEMORY", tmp_path)
    monkeypatch.setattr(quarantine, "LEAST_FREE_BYTES", 0)
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
    third = quarantine.Quarantine(hub.path)
    assert not left.exists()
    assert len(list(tmp_path.glob(f"{quarantine.PREFIX}*"))) == 3
    for one in (young, other, third):
        one.remove()
    assert not list(tmp_path.glob(f"{quarantine.PREFIX}*"))


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
    assert len(writer) == len(contents)
    writer.finish(repository / "objects" / "pack")
    (pack,) = (repository / "objects" / "pack").glob("*.pack")
    git(repository, "verify-pack", str(pack))
    assert not list((repository / "objects" / "pack").glob("tmp_*"))
    for name, content in contents.items():
        done = subprocess.run(["git", "-C", repository, "cat-file", "blob", name], capture_output=True, check=True)
        assert done.stdout == content
