"""What counts as a sandbox's memory, however it is held."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys

import pytest

from swarmworks.sandbox import memory
from swarmworks.sandbox.memory import exceeds, machine_shared_bytes, tree_memory_bytes
from swarmworks.sandbox.protocol import ProcessLimits
from swarmworks.sandbox.watchdog import Watchdog

MIB = 1 << 20
MANY = 64 * MIB
MAKING = f"import mmap, os; fd = os.memfd_create('x'); os.ftruncate(fd, {MANY})\n"
FILLING = f"for _ in range({MANY // MIB}): os.write(fd, bytes({MIB}))\n"
HIDING = "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n"
MAPPING = f"held = mmap.mmap(fd, {MANY})\nfor page in range(0, {MANY}, 4096): held[page] = 1\n"


ENDING_FIRST = f"""
import ctypes, os, threading
def go():
    file = os.fdopen(os.memfd_create("x"), "wb")
    file.write(bytes({MANY})), file.flush()
    held = bytearray(os.urandom({MIB}) * {MANY // MIB})
    print(flush=True)
    input()
threading.Thread(target=go).start()
ctypes.CDLL(None).syscall({93 if platform.machine() == "aarch64" else 60}, 0)
"""


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
        now = machine_shared_bytes()
        assert exceeds(pid, MANY, now)
        assert not exceeds(pid, 2 * MANY, now)


def test_a_file_of_memory_that_is_mapped_too_counts_once():
    with holding(MAKING + MAPPING) as pid:
        assert MANY < tree_memory_bytes(pid) < 2 * MANY


def test_a_file_of_memory_that_was_closed_counts_while_it_is_mapped():
    with holding(f"{MAKING}{MAPPING}os.close(fd)\n") as pid:
        assert MANY < tree_memory_bytes(pid) < 2 * MANY


def test_a_file_of_memory_that_two_have_open_counts_once():
    with holding(f"{MAKING}{FILLING}os.fork()\n", processes=2) as pid:
        assert MANY < tree_memory_bytes(pid) < 2 * MANY


def test_what_a_process_has_counts_though_its_first_thread_has_ended():
    with holding(ENDING_FIRST) as pid:
        assert tree_memory_bytes(pid) > 2 * MANY
        assert exceeds(pid, 2 * MANY, machine_shared_bytes())


@pytest.mark.skipif(os.geteuid() == 0, reason="root looks everywhere: test_started_as_a_user runs this as a user")
def test_files_of_memory_of_a_process_that_hides_what_it_has_open_count():
    limits = ProcessLimits(tree_memory_bytes=MANY // 2)
    with holding("") as pid:
        watchdog = Watchdog(pid, limits, [])
        with holding(HIDING + MAKING + FILLING) as hidden:
            watchdog.pid = hidden
            assert "memory limit" in watchdog._memory()


def test_where_a_process_hides_what_it_has_open_the_growth_of_the_whole_machine_counts(monkeypatch):
    def refused(pid):
        raise PermissionError

    with holding("") as pid:
        monkeypatch.setattr(memory, "machine_shared_bytes", lambda: 5 * MANY)
        assert not exceeds(pid, MANY, 3 * MANY), "nothing is hidden"
        monkeypatch.setattr(memory, "open_files", refused)
        assert exceeds(pid, 2 * MANY, 3 * MANY)
        assert not exceeds(pid, 3 * MANY, 3 * MANY)
        assert not exceeds(pid, MANY, 7 * MANY), "what others gave back is no debt"


@pytest.mark.skipif(os.geteuid() == 0, reason="root looks everywhere: test_started_as_a_user runs this as a user")
def test_a_file_of_memory_that_a_hidden_process_maps_counts_once(monkeypatch):
    with holding(HIDING + MAKING + MAPPING) as pid:
        monkeypatch.setattr(memory, "machine_shared_bytes", lambda: 5 * MANY)
        assert MANY < tree_memory_bytes(pid) < 2 * MANY
        assert not exceeds(pid, 2 * MANY, 4 * MANY)
