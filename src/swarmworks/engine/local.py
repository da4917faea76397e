"""The local engine: the worker as a child process on this machine, started again when it dies.

It dies with its parent: the worker notices within a lease's time that nobody answers, keeps the work and leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

MOST_RESTARTS = 5
RESTART_PAUSE_S = 1.0
STOP_S = 20.0
LAST_WORDS_BYTES = 2000
FULL_DISK_BYTES = 8 << 20


class LocalProcess:
    """Keeps one program running. `on_given_up` is called with the last words when it died too often in a row."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log_path: Path,
        on_given_up: Callable[[str], None],
        *,
        environment: Mapping[str, str] | None = None,
        calm_s: float = 30.0,
    ) -> None:
        self.name = name
        self.pid: int | None = None
        self._argv = tuple(argv)
        self._log_path = log_path
        self._on_given_up = on_given_up
        self._environment = environment
        self._calm_s = calm_s
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    async def run(self) -> None:
        """Until cancelled or given up. A run of `calm_s` seconds forgives the deaths before it."""
        deaths = 0
        loop = asyncio.get_running_loop()
        while not self._stopping:
            started = loop.time()
            try:
                status: int | str = await self._once()
            except OSError as error:
                status = str(error)
            if self._stopping:
                return
            deaths = 1 if loop.time() - started > self._calm_s else deaths + 1
            log.warning("%s ended with status %s (%d in a row)", self.name, status, deaths)
            if deaths >= MOST_RESTARTS:
                self._on_given_up(
                    f"{self.name} died {deaths} times in a row: {self._full_disk() or self._last_words()}"
                )
                return
            await asyncio.sleep(RESTART_PAUSE_S)

    async def _once(self) -> int:
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        with self._log_path.open("ab") as sink:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=self._environment,
                start_new_session=True,  # Ctrl-C in the terminal is for the control plane, which stops it in order
            )
        self.pid = self._process.pid
        return await self._process.wait()

    async def stop(self) -> None:
        """Asks it to end, waits, and only then kills."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _full_disk(self) -> str:
        """A full disk keeps a process even from saying why it died."""
        free = shutil.disk_usage(self._log_path.parent).free
        if free >= FULL_DISK_BYTES:
            return ""
        return f"the disk of {self._log_path.parent} is full, {free >> 10} KiB are free: make room"

    def _last_words(self) -> str:
        try:
            with self._log_path.open("rb") as log_file:
                log_file.seek(max(0, self._log_path.stat().st_size - LAST_WORDS_BYTES))
                text = log_file.read(LAST_WORDS_BYTES).decode("utf-8", errors="replace")
        except OSError:
            return "it left no log"
        lines = [line for line in text.splitlines() if line.strip()]
        return lines[-1][:500] if lines else "it said nothing"
