"""A terminal in front of which somebody may sit: rings, and asks the terminal to show a notification of its own.

The line itself is written by whoever draws the screen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TextIO

from swarmworks.notify.protocol import Dispatch, Lack

APP_TITLE = "Swarmworks"
MOST_TEXT = 200
BELL = "\a"
_ESCAPE = "\x1b"


class TerminalChannel:
    """`say` writes a line for the person; `stream` is where the terminal listens, which gets no sequence when it is none."""

    def __init__(self, name: str, stream: TextIO, say: Callable[[str], None]) -> None:
        self.name = name
        self._stream = stream
        self._say = say

    @property
    def address(self) -> str:
        return "terminal"

    def lacks(self) -> Lack | None:
        return None

    async def send(self, dispatch: Dispatch) -> None:
        self.show(dispatch)

    def show(self, dispatch: Dispatch, *, ring: bool = True) -> None:
        self._say(line_of(dispatch))
        if ring:
            self.ring(dispatch)

    def ring(self, dispatch: Dispatch) -> None:
        if not self._stream.isatty():
            return
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone: nobody is there to be told
            self._stream.write(sequences(dispatch))
            self._stream.flush()


def line_of(dispatch: Dispatch) -> str:
    command = dispatch.notices[0].command if len(dispatch.notices) == 1 else "swarm inbox"
    return f"{dispatch.title}. Type: {command}"


def sequences(dispatch: Dispatch) -> str:
    """OSC 9 (iTerm2, WezTerm, kitty and others), OSC 777 (rxvt, VTE, foot) and the bell. Terminals ignore what they do not
    know; no text can end a sequence early, since it holds no control characters.
    """
    title = _bare(dispatch.title.replace(";", ","))
    body = _bare(" ".join(dispatch.text.split()))[:MOST_TEXT]
    both = f"{APP_TITLE}: {title}"
    return f"{_ESCAPE}]9;{both}{BELL}{_ESCAPE}]777;notify;{both};{body}{BELL}{BELL}"


def _bare(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())
