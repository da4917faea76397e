from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from swarmworks.sandbox import seccomp
from swarmworks.sandbox.protocol import SandboxSpec
from swarmworks.sandbox.seccomp import MemoryFiles
from swarmworks.sandbox.syscalls import AARCH64, X86_64

HEADERS = {
    "x86_64": (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), X86_64),
    "aarch64": (Path("/usr/include/asm-generic/unistd.h"), AARCH64),
}
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x50001, 0x50026


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_are_those_of_the_kernels_headers(machine):
    header, table = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"{header} is not installed")
    known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
    assert {name: number for name, number in table.items() if int(known.get(name, number)) != number} == {}


def _answer(machine, number, *arguments, architecture=None, **options):
    """Runs the filter as the kernel would."""
    default, _ = seccomp._MACHINES[machine]
    data = struct.pack("<IIQ6Q", number, architecture or default, 0, *arguments, *[0] * (6 - len(arguments)))
    program = list(struct.iter_unpack("=HBBI", seccomp.filter_program(machine, **options)))
    position, accumulator = 0, 0
    while True:
        code, if_true, if_false, constant = program[position]
        position += 1
        match code:
            case 0x20:
                accumulator = struct.unpack_from("<I", data, constant)[0]
            case 0x54:
                accumulator &= constant
            case 0x06:
                return constant
            case _:
                holds = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: accumulator & constant}
                position += if_true if holds[code] else if_false


@pytest.mark.parametrize("machine", HEADERS)
def test_the_filter_answers_on_every_machine(machine):
    _, table = HEADERS[machine]
    special = {"clone", "clone3", "unshare", "socket", "socketpair", "listen", "ioctl", "memfd_create"}
    special |= {*seccomp._SENDING, *seccomp._OF_IPC, *seccomp._OF_PROCESSES, *seccomp._OF_USERS}
    assert {name for name in table if _answer(machine, table[name]) != EPERM} == special
    assert {_answer(machine, table[name]) for name in ("listen", *seccomp._OF_IPC)} == {ALLOW}
    assert _answer(machine, table["clone3"]) == ENOSYS
    assert _answer(machine, table["clone"], 0x11) == ALLOW
    assert _answer(machine, table["clone"], 0x10000011) == EPERM
    assert _answer(machine, table["unshare"], 0x400) == ALLOW
    assert _answer(machine, table["unshare"], 0x80) == EPERM
    assert _answer(machine, table["socket"], 2, 0x80801, 6) == ALLOW
    assert _answer(machine, table["socket"], 40, 1, 0) == 0x50061
    assert _answer(machine, table["socket"], 2, 3, 1) == EPERM
    assert _answer(machine, 9999) == ALLOW
    assert _answer(machine, 1, architecture=0x40000003) == ENOSYS


def test_the_x32_table_is_closed():
    assert _answer("x86_64", 0x40000000 + 165) == ENOSYS


def test_other_machines_have_no_filter():
    assert not seccomp.supported("riscv64")


@pytest.mark.parametrize("machine", HEADERS)
def test_memory_files_must_be_sealed_where_they_must_not_run(machine):
    number = HEADERS[machine][1]["memfd_create"]
    assert _answer(machine, number, 0, 0) == ALLOW
    for flags, answer in ((0, EPERM), (0x1, EPERM), (0x10, EPERM), (0x8, ALLOW), (0x9, ALLOW)):
        assert _answer(machine, number, 0, flags, memory_files=MemoryFiles.SEALED) == answer
        assert _answer(machine, number, 0, flags, memory_files=MemoryFiles.NONE) == EPERM


def test_where_nothing_written_may_run_there_are_no_memory_files():
    spec = SandboxSpec(argv=("true",), workdir="/")
    assert seccomp.memory_files_of(spec) is MemoryFiles.ANY
    assert seccomp.memory_files_of(replace(spec, programs=("sh",))) is MemoryFiles.SEALED
    for programs in (None, ("sh",)):
        assert seccomp.memory_files_of(replace(spec, programs=programs, noexec=True)) is MemoryFiles.NONE


@pytest.mark.parametrize("machine", HEADERS)
def test_without_a_network_namespace_only_tcp_is_left(machine):
    table = HEADERS[machine][1]

    def answer(name, *arguments):
        return _answer(machine, table[name], *arguments, only_tcp=True)

    for family in (2, 10):
        assert answer("socket", family, 1 | 0o2000000, 6) == answer("socket", family, 1, 0) == ALLOW
        assert ALLOW not in {answer("socket", family, kind, 0) for kind in (2, 3, 5)}
        assert answer("socket", family, 1, 262) != ALLOW  # MPTCP, which Landlock does not see
    assert answer("socket", 1, 1, 0) != ALLOW
    assert answer("socketpair", 1, 1, 0) == answer("socketpair", 1, 5 | 0o2000000, 0) == ALLOW
    assert {answer("socketpair", 1, kind | flags, 0) for kind in (2, 3) for flags in (0, 0o2004000)} == {EPERM}
    assert answer("socketpair", 2, 1, 0) != ALLOW
    assert _answer(machine, table["socketpair"], 1, 2, 0) == ALLOW
    assert answer("listen", 3, 1) == EPERM
    for name, index in seccomp._SENDING.items():
        assert answer(name, *[0] * index, 0x4000) == ALLOW
        assert answer(name, *[0] * index, 0x20004000) != ALLOW
        assert _answer(machine, table[name], *[0] * index, 0x20004000) == ALLOW


@pytest.mark.parametrize("machine", HEADERS)
def test_the_hosts_shared_memory_and_queues_are_refused_where_there_is_no_ipc_namespace(machine):
    table = HEADERS[machine][1]
    assert {_answer(machine, table[name], own_ipc=False) for name in seccomp._OF_IPC} == {EPERM}


@pytest.mark.parametrize("machine", HEADERS)
def test_limits_and_priorities_are_ones_own_only_where_there_is_no_process_namespace(machine):
    table = HEADERS[machine][1]

    def answer(name, *arguments):
        assert _answer(machine, table[name], *arguments) == ALLOW
        return _answer(machine, table[name], *arguments, own_processes=False)

    for name in ("prlimit64", "sched_setscheduler", "sched_setparam", "sched_setattr"):
        assert answer(name, 0, 7) == answer(name, 7 << 32, 7) == ALLOW
        assert answer(name, 4711, 7) == answer(name, 0xFFFFFFFF) == EPERM
    for name, own, user in (("setpriority", 0, 2), ("ioprio_set", 1, 3)):
        assert answer(name, own, 0, 7) == ALLOW
        assert answer(name, own, 4711, 7) == EPERM
        assert answer(name, user, 0, 7) == answer(name, user, 4711, 7) == EPERM  # all that the user has
