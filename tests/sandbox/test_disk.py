"""What counts as a sandbox's disk, however it is hidden."""

from __future__ import annotations

import os

import pytest

from swarmworks.sandbox.disk import disk_usage, free_bytes

MIB = 1 << 20


def write(path, size=MIB):
    path.write_bytes(os.urandom(size))


def used(tmp_path, pid=None):
    return disk_usage([tmp_path], pid or os.getpid())


def test_files_count_by_what_they_take_and_links_not_at_all(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    write(outside / "large", 4 * MIB)
    inside = tmp_path / "inside"
    (inside / "a" / "b").mkdir(parents=True)
    write(inside / "a" / "b" / "file")
    os.link(inside / "a" / "b" / "file", inside / "again")
    (inside / "way").symlink_to(outside)
    with (inside / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    usage = disk_usage([inside], os.getpid())
    assert MIB <= usage.disk_bytes < 2 * MIB
    assert usage.unseen == ""


def test_a_file_without_a_name_counts_while_it_is_open(tmp_path):
    with (tmp_path / "hidden").open("wb", buffering=0) as file:
        file.write(os.urandom(2 * MIB))
        (tmp_path / "hidden").unlink()
        assert used(tmp_path).disk_bytes >= 2 * MIB
    assert used(tmp_path).disk_bytes < MIB


def test_a_path_longer_than_the_kernel_takes_is_counted(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(60):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    with os.fdopen(os.open("deep", os.O_CREAT | os.O_WRONLY, dir_fd=here), "wb") as file:
        file.write(os.urandom(MIB))
    os.close(here)
    assert used(tmp_path).disk_bytes >= MIB


def test_what_is_too_deep_is_said_to_be_unseen(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert "too many folders" in used(tmp_path).unseen


@pytest.mark.skipif(os.geteuid() == 0, reason="root looks everywhere: test_started_as_a_user runs this as a user")
def test_a_closed_folder_is_said_to_be_unseen(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o000)
    assert "closed" in used(tmp_path).unseen
    (tmp_path / "closed").chmod(0o700)


def test_the_room_of_one_disk_counts_once_however_many_places_lie_on_it(tmp_path):
    places = [tmp_path / name for name in "abc"]
    for place in places:
        place.mkdir()
    assert 0 < free_bytes([*places, tmp_path / "missing"]) < 2 * free_bytes(places[:1])
