"""What a program prints, as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


async def lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines without their ends. One longer than the reader's limit is given out in pieces: garbage to the parser."""
    while True:
        try:
            line = await stream.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                yield error.partial
            return
        except asyncio.LimitOverrunError as error:
            yield await stream.readexactly(error.consumed)
            continue
        yield line.rstrip(b"\n")


async def tail(stream: asyncio.StreamReader) -> str:
    """The last 4 KiB of a stream, read to its end so that the writer never blocks."""
    kept = b""
    while chunk := await stream.read(65536):
        kept = (kept + chunk)[-4096:]
    return kept.decode("utf-8", errors="replace").strip()
