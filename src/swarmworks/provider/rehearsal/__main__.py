"""`python -m swarmworks.provider.rehearsal --port 0`: serve the rehearsal model on loopback.

Prints one JSON line with the port once it accepts connections; the process that started it reads that line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from swarmworks.provider.rehearsal.coder import Coder
from swarmworks.provider.rehearsal.erring import Strikes
from swarmworks.provider.rehearsal.faults import MODEL, Level, Temper
from swarmworks.provider.rehearsal.server import NOTICE, RehearsalApp

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST = "127.0.0.1"
BACKLOG = 128
PARENT_CHECK_S = 1.0


class AnnouncingServer(uvicorn.Server):
    """Tells the parent the port after the socket is listening, not before: nobody has to poll."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        port = sockets[0].getsockname()[1] if sockets else self.config.port
        announcement: dict[str, Any] = {"model": MODEL, "host": HOST, "port": port, "notice": NOTICE}
        sys.stdout.write(json.dumps(announcement) + "\n")
        sys.stdout.flush()


def listen(port: int) -> socket.socket:
    """A listening socket that says it is TCP: asyncio turns off Nagle's algorithm only then, and with it an answer in
    two parts waits 40 ms for the other side's delayed acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    listener.listen(BACKLOG)
    return listener


def end_with(parent: int) -> None:
    """A parent that was killed asks nobody to stop: whoever is left without it is given to another."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m swarmworks.provider.rehearsal", description=NOTICE)
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--faults", choices=[*Level], default=Level.NONE, help="how often it errs, on purpose")
    parser.add_argument("--seed", type=int, default=0, help="chooses which sessions err, and how")
    parser.add_argument("--fault-log", type=Path, help="a file that gets one line of JSON for each fault")
    parser.add_argument("--latency-ms", type=int, default=0, help="waited before each answer")
    parser.add_argument("--parent", type=int, help="the process it ends with, however that one ends")
    options = parser.parse_args(arguments)
    if options.parent is not None:
        threading.Thread(target=end_with, args=(options.parent,), daemon=True).start()
    temper = Temper(Level(options.faults), options.seed)
    strikes = Strikes(options.fault_log)
    app = RehearsalApp(Coder(), temper=temper, strikes=strikes, latency_ms=max(0, options.latency_ms))
    listener = listen(options.port)
    config = uvicorn.Config(app, log_level="warning", lifespan="off", access_log=False)
    asyncio.run(AnnouncingServer(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
