from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from swarmworks.sandbox import seccomp
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


def _answer(machine, number, *arguments, architecture=None):
    """Runs the filter as the kernel would."""
    default, _ = seccomp._MACHINES[machine]
    data = struct.pack("<IIQ6Q", number, architecture or default, 0, *arguments, *[0] * (6 - len(arguments)))
    program = list(struct.iter_unpack("=HBBI", seccomp.filter_program(machine)))
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
    special = {"clone", "clone3", "unshare", "socket", "socketpair", "ioctl"}
    assert {name for name in table if _answer(machine, table[name]) != EPERM} == special
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
