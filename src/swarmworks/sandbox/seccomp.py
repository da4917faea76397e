"""The system-call filter, assembled here as classic BPF so that nothing compiled is needed.

It takes away what no build, test or agent needs and what kernel escapes are made of: new namespaces, mounts, foreign
sockets, io_uring, bpf, keyrings, tracing. What is refused answers EPERM; what programs have a fallback for answers ENOSYS
(clone3, whose flags lie in memory a filter cannot read; the x32 and 32-bit tables, which would need lists of their own).
"""

from __future__ import annotations

import errno
import struct
from enum import Enum
from typing import TYPE_CHECKING, Final

from swarmworks.sandbox.syscalls import AARCH64, X86_64

if TYPE_CHECKING:
    from swarmworks.sandbox.protocol import SandboxSpec

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_IF_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000

_NUMBER_OFFSET: Final = 0  # of struct seccomp_data
_ARCHITECTURE_OFFSET: Final = 4
_ARGUMENTS_OFFSET: Final = 16

_X32_BIT: Final = 0x40000000
_NAMESPACE_FLAGS: Final = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_CLONE_NEWTIME: Final = 0x80  # in unshare only: clone reads these bits as a signal number
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_SEQPACKET, _SOCK_TYPE_MASK = 1, 2, 5, 0xF
_NETLINK_ROUTE: Final = 0  # getifaddrs, which Node's dev servers call; needs no capability to read
_PROTOCOLS: Final = (0, 6, 17)  # chosen by the type, TCP, UDP
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # push input into a terminal

_MFD_NOEXEC_SEAL: Final = 0x8

_MACHINES: Final = {"x86_64": (0xC000003E, X86_64), "aarch64": (0xC00000B7, AARCH64)}
_MSG_FASTOPEN: Final = 0x20000000  # connects without the call that Landlock looks at
_SENDING: Final = {"sendto": 3, "sendmsg": 2, "sendmmsg": 3}  # which argument holds the flags
_OF_IPC: Final = frozenset(
    {"shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl"}
) | {"mq_open", "mq_unlink"}
"""What reaches the whole IPC namespace: shared memory, semaphores and queues that have numbers or names of their own."""
_OF_PROCESSES: Final = dict.fromkeys(("prlimit64", "sched_setscheduler", "sched_setparam", "sched_setattr"), 0)
"""Which argument says whose limits or turn they set, as far as the caller's user has the say; 0 is the caller itself."""
_OF_USERS: Final = {"setpriority": 2, "ioprio_set": 3}
"""The first argument with which they set it for all processes of a user; whose it is, the second says as above."""
_SPECIAL: Final = (
    frozenset({"clone3", "clone", "unshare", "socket", "socketpair", "listen", "ioctl", "memfd_create"})
    | frozenset(_SENDING)
    | _OF_IPC
    | frozenset(_OF_PROCESSES)
    | frozenset(_OF_USERS)
)


class MemoryFiles(Enum):
    """What memfd_create may make. The loader runs, and programs load as a library, a file that is sealed against being run."""

    ANY = "any"
    SEALED = "sealed"
    NONE = "none"


_Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant


def supported(machine: str) -> bool:
    """Whether there is a filter for this machine (`platform.machine()`)."""
    return machine in _MACHINES


def memory_files_of(spec: SandboxSpec) -> MemoryFiles:
    """None at all where nothing that the program wrote may run."""
    if spec.noexec:
        return MemoryFiles.NONE
    return MemoryFiles.ANY if spec.programs is None else MemoryFiles.SEALED


def filter_program(
    machine: str,
    *,
    memory_files: MemoryFiles = MemoryFiles.ANY,
    only_tcp: bool = False,
    own_ipc: bool = True,
    own_processes: bool = True,
) -> bytes:
    """The filter as an array of `struct sock_filter`, the form `bwrap --seccomp` reads. `memory_files` may be made.
    `only_tcp`, for where there is no network namespace, refuses datagrams, listening,
    and unix sockets that are not a pair from the start. Unless there is an IPC namespace of its `own_ipc`, what reaches the host's
    is refused; unless there is a process namespace of its `own_processes`, setting limits and priorities of others is. Raises KeyError
    when not `supported`.
    """
    audit_architecture, numbers = _MACHINES[machine]
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_IF_EQUAL, 1, 0, audit_architecture),
        _refuse(errno.ENOSYS),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        (_IF_AT_LEAST, 0, 1, _X32_BIT),
        _refuse(errno.ENOSYS),
        *_when(numbers["clone3"], [_refuse(errno.ENOSYS)]),
        *_when(numbers["clone"], _refuse_flags(_NAMESPACE_FLAGS)),
        *_when(numbers["unshare"], _refuse_flags(_NAMESPACE_FLAGS | _CLONE_NEWTIME)),
        *_when(numbers["socket"], _only_tcp() if only_tcp else _sockets()),
        *_when(numbers["socketpair"], _connected_pairs() if only_tcp else _pairs()),
        *_when(numbers["ioctl"], _terminal_ioctls()),
    ]
    if memory_files is MemoryFiles.SEALED:
        sealed = [_argument(1), (_IF_ANY_BIT, 1, 0, _MFD_NOEXEC_SEAL), _refuse(errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
        program += _when(numbers["memfd_create"], sealed)
    for name, index in _SENDING.items() if only_tcp else ():
        plain = [
            _argument(index),
            (_IF_ANY_BIT, 0, 1, _MSG_FASTOPEN),
            _refuse(errno.EOPNOTSUPP),
            (_RETURN, 0, 0, _ALLOW),
        ]
        program += _when(numbers[name], plain)
    for name, index in _OF_PROCESSES.items() if not own_processes else ():
        program += _when(numbers[name], _only_own(index))
    for name, of_user in _OF_USERS.items() if not own_processes else ():
        program += _when(numbers[name], [_argument(0), (_IF_EQUAL, 0, 1, of_user), _refuse(errno.EPERM), *_only_own(1)])
    refused = set(numbers) - _SPECIAL
    refused |= {"memfd_create"} if memory_files is MemoryFiles.NONE else set[str]()
    refused |= {"listen"} if only_tcp else set[str]()
    refused |= set[str]() if own_ipc else _OF_IPC
    for name, number in sorted(numbers.items(), key=lambda entry: entry[1]):
        if name in refused:
            program += _when(number, [_refuse(errno.EPERM)])
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _when(number: int, body: list[_Instruction]) -> list[_Instruction]:
    """`body` must return on every path; it may overwrite the accumulator, which holds the call's number otherwise."""
    return [(_IF_EQUAL, 0, len(body), number), *body]


def _refuse(error: int) -> _Instruction:
    return (_RETURN, 0, 0, _ERRNO | error)


def _argument(index: int) -> _Instruction:
    """The low half of an argument: all the kernel looks at for an int, and where every namespace flag lies."""
    return (_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * index)


def _allow_if(value: int) -> list[_Instruction]:
    return [(_IF_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]


def _refuse_flags(flags: int) -> list[_Instruction]:
    return [_argument(0), (_IF_ANY_BIT, 0, 1, flags), _refuse(errno.EPERM), (_RETURN, 0, 0, _ALLOW)]


def _only_own(index: int) -> list[_Instruction]:
    return [_argument(index), *_allow_if(0), _refuse(errno.EPERM)]


def _sockets() -> list[_Instruction]:
    internet = [
        _argument(1),
        (_AND, 0, 0, _SOCK_TYPE_MASK),
        (_IF_EQUAL, 2, 0, _SOCK_STREAM),
        (_IF_EQUAL, 1, 0, _SOCK_DGRAM),
        _refuse(errno.EPERM),
        _argument(2),
        *(instruction for protocol in _PROTOCOLS for instruction in _allow_if(protocol)),
        _refuse(errno.EPROTONOSUPPORT),
    ]
    netlink = [_argument(2), *_allow_if(_NETLINK_ROUTE), _refuse(errno.EPROTONOSUPPORT)]
    return [
        _argument(0),
        *_allow_if(_AF_UNIX),
        (_IF_EQUAL, 0, len(netlink), _AF_NETLINK),
        *netlink,
        (_IF_EQUAL, 2, 0, _AF_INET),
        (_IF_EQUAL, 1, 0, _AF_INET6),
        _refuse(errno.EAFNOSUPPORT),
        *internet,
    ]


def _pairs() -> list[_Instruction]:
    return [_argument(0), *_allow_if(_AF_UNIX), _refuse(errno.EAFNOSUPPORT)]


def _connected_pairs() -> list[_Instruction]:
    """Not of datagrams: an end of such a pair sends to whatever address it likes."""
    return [
        _argument(0),
        (_IF_EQUAL, 1, 0, _AF_UNIX),
        _refuse(errno.EAFNOSUPPORT),
        _argument(1),
        (_AND, 0, 0, _SOCK_TYPE_MASK),
        *(instruction for kind in (_SOCK_STREAM, _SOCK_SEQPACKET) for instruction in _allow_if(kind)),
        _refuse(errno.EPERM),
    ]


def _only_tcp() -> list[_Instruction]:
    return [
        _argument(0),
        (_IF_EQUAL, 2, 0, _AF_INET),
        (_IF_EQUAL, 1, 0, _AF_INET6),
        _refuse(errno.EAFNOSUPPORT),
        _argument(1),
        (_AND, 0, 0, _SOCK_TYPE_MASK),
        (_IF_EQUAL, 1, 0, _SOCK_STREAM),
        _refuse(errno.EPERM),
        _argument(2),
        *(instruction for protocol in _PROTOCOLS[:2] for instruction in _allow_if(protocol)),
        _refuse(errno.EPROTONOSUPPORT),
    ]


def _terminal_ioctls() -> list[_Instruction]:
    return [
        _argument(1),
        (_IF_EQUAL, 1, 0, _TIOCSTI),
        (_IF_EQUAL, 0, 1, _TIOCLINUX),
        _refuse(errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
