"""A way to a server that can be cut: connections through it break, and new ones are refused until it is mended."""

from __future__ import annotations

import contextlib
import socket
import threading

CHUNK = 65_536


class Cable:
    """Listens on loopback and passes everything on to `port`, in both directions."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._whole = threading.Event()
        self._whole.set()
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> int:
        """How many connections it broke. New ones are broken as soon as they are made, until `mend`."""
        self._whole.clear()
        return self.snap()

    def mend(self) -> None:
        self._whole.set()

    def snap(self) -> int:
        """Breaks the connections there are; new ones are welcome."""
        with self._lock:
            ends, self._ends = self._ends, set()
        for end in ends:
            _close(end)
        return len(ends) // 2

    def close(self) -> None:
        self.cut()
        _close(self._listener)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                self._join(near)

    def _join(self, near: socket.socket) -> None:
        try:
            if not self._whole.is_set():
                raise ConnectionError
            far = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            _close(near)
            return
        far.settimeout(None)
        with self._lock:
            self._ends |= {near, far}
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                sink.sendall(data)
        for end in (source, sink):
            _close(end)
        with self._lock:
            self._ends -= {source, sink}


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)  # wakes whoever waits on it
    end.close()
