"""A provider that answers with the bytes it is told to, HTTP or not, and a client that sends whatever it likes."""

import asyncio
import contextlib


class RawUpstream:
    """`answers`: the bytes sent for each request in turn, the last one again and again; then those of `pieces`, each in a
    write of its own; then `endless`, until nobody reads.
    """

    def __init__(self, *answers, pieces=b"", endless=b"", keep=False):
        self._answers, self._pieces, self._endless, self._keep = answers, pieces, endless, keep
        self._open = set()
        self.requests = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc):
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._open.add(asyncio.current_task())
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    await self._answer(reader, writer)
                    if not self._keep:
                        return
        finally:
            self._open.discard(asyncio.current_task())
            writer.close()

    async def _answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        self.requests.append(head)
        writer.write(self._answers[min(len(self.requests), len(self._answers)) - 1])
        await writer.drain()
        for at in range(len(self._pieces)):
            writer.write(self._pieces[at : at + 1])
            await asyncio.sleep(0)
        while self._endless:
            writer.write(self._endless)
            await writer.drain()


def http(body, *headers, status="200 OK", content_type="application/json", length=True):
    lines = [f"HTTP/1.1 {status}".encode(), f"content-type: {content_type}".encode(), *headers]
    if length:
        lines.append(f"content-length: {len(body)}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


FIRST_S, QUIET_S = 10.0, 0.5
"""A loaded machine answers late, but once it has begun it goes on."""


async def exchange(url, data):
    """Everything the server says to these bytes until it closes or has said nothing for a while."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    told = bytearray()
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(FIRST_S) as patience:
            while chunk := await reader.read(65_536):
                told += chunk
                patience.reschedule(asyncio.get_running_loop().time() + QUIET_S)
    writer.close()
    return bytes(told)
