"""A terminal that keeps nobody waiting: the control plane may live in this process, and must not stand still because a
connection stalls or a window was closed.

Output goes through a thread of its own. What a stalled terminal has not taken is dropped, and the whole screen is drawn anew
once it takes output again; a terminal that is gone takes everything, in silence.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from textual.drivers.linux_driver import LinuxDriver

MOST_WAITING = 1 << 18
"""Characters, some ten full screens: a terminal that is further behind is drawn anew instead."""

LAST_WORDS_S = 1.0


class Outlet:
    """The part of a text file that textual writes to. On the outlet's thread, `caught_up` is called once everything has been
    taken after something was dropped, and `gone` when the terminal takes nothing any more.
    """

    def __init__(self, descriptor: int, caught_up: Callable[[], None], gone: Callable[[], object]) -> None:
        self._descriptor = descriptor
        self._caught_up = caught_up
        self._gone = gone
        self._waiting: deque[str] = deque()
        self._size = 0
        self._behind = False
        self._writing = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="terminal", daemon=True).start()

    def write(self, text: str) -> int:
        with self._changed:
            if self._size + len(text) > MOST_WAITING:
                self._waiting.clear()
                self._size = 0
                self._behind = True
            self._waiting.append(text)
            self._size += len(text)
            self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """The thread writes at once."""

    def fileno(self) -> int:
        return self._descriptor

    def finish(self, timeout_s: float = LAST_WORDS_S) -> bool:
        """Wait until everything was taken, at most so long; whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._writing, timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._waiting))
                text = self._waiting.popleft()
                self._size -= len(text)
                self._writing = True
            self._put(text.encode("utf-8", errors="replace"))
            with self._changed:
                recovered = self._behind and not self._waiting
                self._behind = self._behind and not recovered
            if recovered:
                self._caught_up()

    def _put(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:  # the terminal is gone, and nobody is there to be told
            self._gone()


class PatientDriver(LinuxDriver):
    """textual's driver on an `Outlet`."""

    def __init__(self, app: Any, **options: Any) -> None:
        cast("Any", super()).__init__(app, **options)

        def draw_anew() -> None:
            app.call_later(app.refresh)

        # What is gone would be read for ever by textual's own thread: it has nothing to say, at once, each time.
        self._outlet = Outlet(cast("Any", sys.__stderr__).fileno(), draw_anew, self.exit_event.set)
        self._file = cast("Any", self._outlet)

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except OSError:
            return  # the terminal is gone: the signal of it ends the dashboard

    def close(self) -> None:
        super().close()
        self._outlet.finish()
