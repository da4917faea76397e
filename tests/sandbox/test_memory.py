"""What counts as a sandbox's memory, however it is held."""

from __future__ import annotations

import contextlib
import subprocess
import sys

from swarmworks.sandbox.memory import exceeds, tree_memory_bytes

MIB = 1 << 20
MANY = 64 * MIB
MAKING = f"import mmap, os; fd = os.memfd_create('x'); os.ftruncate(fd, {MANY})\n"
FILLING = f"for _ in range({MANY // MIB}): os.write(fd, bytes({MIB}))\n"
MAPPING = f"held = mmap.mmap(fd, {MANY})\nfor page in range(0, {MANY}, 4096): held[page] = 1\n"


@contextlib.contextmanager
def holding(script, processes=1):
    command = [sys.executable, "-ISc", f"{script}print(flush=True)\ninput()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert [process.stdout.readline() for _ in range(processes)] == [b"\n"] * processes
        yield process.pid
        process.stdin.close()


def test_a_file_of_memory_counts_though_nobody_maps_it():
    with holding(MAKING + FILLING) as pid:
        assert tree_memory_bytes(pid) > MANY
        assert exceeds(pid, MANY)
        assert not exceeds(pid, 2 * MANY)


def test_a_file_of_memory_that_is_mapped_too_counts_once():
    with holding(MAKING + MAPPING) as pid:
        assert MANY < tree_memory_bytes(pid) < 2 * MANY


def test_a_file_of_memory_that_was_closed_counts_while_it_is_mapped():
    with holding(f"{MAKING}{MAPPING}os.close(fd)\n") as pid:
        assert MANY < tree_memory_bytes(pid) < 2 * MANY


def test_a_file_of_memory_that_two_have_open_counts_once():
    with holding(f"{MAKING}{FILLING}os.fork()\n", processes=2) as pid:
        assert MANY < tree_memory_bytes(pid) < 2 * MANY
