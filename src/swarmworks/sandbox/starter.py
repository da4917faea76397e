"""The process that launchers are forked from: it has the interpreter and all a launcher needs loaded, which is most of what starting
one would cost.

One for each worker, started at its first sandbox with `python -I -S`. It knows nothing, holds nothing, and ends when the worker's
end of its socket closes, which the kernel does whatever becomes of the worker. A launcher does not depend on it once it is there.
"""

from __future__ import annotations

import _socket
import ctypes
import os
import struct

from swarmworks.sandbox.launcher import main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_SIGCHLD, _SIG_IGN, _SIG_DFL = 17, 1, 0
_MOST_FDS = 16
_FD_BYTES = struct.calcsize("i")
_libc = ctypes.CDLL(None, use_errno=True)


def serve(requests_fd: int, worker_pid: int) -> NoReturn:
    """Each message brings descriptors: a launcher's three streams, its control socket, its order, and what the order calls
    inherited.
    """
    worker_fd = os.pidfd_open(worker_pid)
    if os.getppid() != worker_pid:
        os._exit(1)
    os.set_inheritable(requests_fd, False)
    requests = _socket.socket(fileno=requests_fd)
    _libc.signal(_SIGCHLD, ctypes.c_void_p(_SIG_IGN))  # launchers are waited for by the worker, by descriptor
    while True:
        message, ancillary, _, _ = requests.recvmsg(
            16, _socket.CMSG_SPACE(_MOST_FDS * _FD_BYTES), _socket.MSG_CMSG_CLOEXEC
        )
        if not message:
            os._exit(0)
        given = _descriptors(ancillary)
        if os.fork() == 0:
            requests.close()
            _become_launcher(given, worker_fd)
        for fd in given:
            os.close(fd)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found: list[int] = []
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            found += struct.unpack(f"{len(data) // _FD_BYTES}i", data)
    return found


def _become_launcher(given: list[int], worker_fd: int) -> NoReturn:
    _libc.signal(_SIGCHLD, ctypes.c_void_p(_SIG_DFL))
    os.setsid()
    *streams, control, order = given[:5]
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)
    main(control, order, given[5:], worker_fd)
