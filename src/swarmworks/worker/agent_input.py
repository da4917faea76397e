"""The way to a running agent: its first input, a person's words, the platform's, and the runtime's own replies, written in
order.

An agent that reads nothing must not stop the worker: what is to be written waits, bounded, in a task of its own.
"""

from __future__ import annotations

import asyncio
import contextlib

from swarmworks.runtime.protocol import Launch, Runtime
from swarmworks.sandbox.protocol import SandboxedProcess

MOST_WAITING = 100


class AgentInput:
    """What is said before the program runs waits for it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)

    def say(self, text: str) -> bool:
        """Whether the words are on their way; a program that cannot hear, or does not read, gets none."""
        words = self._runtime.says(text)
        return words is not None and self.write(words)

    def tell(self, text: str) -> bool:
        """As `say`, for the platform's own words."""
        words = self._runtime.tells(text)
        return words is not None and self.write(words)

    def ask_to_hand_over(self, text: str) -> bool:
        """As `say`, for the platform's own words."""
        words = self._runtime.asks_to_hand_over(text)
        return words is not None and self.write(words)

    def write(self, data: bytes) -> bool:
        try:
            self._waiting.put_nowait(data)
        except asyncio.QueueFull:
            return False
        return True

    async def feed(self, process: SandboxedProcess, launch: Launch) -> None:
        """Until cancelled. A program that does not read its input, or died at once, is found out by the others."""
        with contextlib.suppress(ConnectionError):
            process.stdin.write(launch.first_input)
            await process.stdin.drain()
            if not launch.input_stays_open:
                process.stdin.close()
                return
            while True:
                process.stdin.write(await self._waiting.get())
                await process.stdin.drain()
