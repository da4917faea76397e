"""The way out of a sandbox for a role that may reach hosts: an HTTP proxy at its only listener, with an allowlist.

Requests for a tunnel (CONNECT) and for an absolute address are a proxy's; every other one is for the gateway. The name is
resolved here, never inside, and a name that leads to this machine itself is refused, unless the address was allowed as such.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from contextlib import suppress
from dataclasses import dataclass

log = logging.getLogger(__name__)

MOST_HEAD_BYTES = 32 << 10
HEAD_S = 30.0
CONNECT_S = 20.0
_HTTP, _HTTPS = 80, 443


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a proxy request asks for. `head` is what the host itself is to be sent first."""

    host: str
    port: int
    head: bytes
    tunnel: bool


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """The head of the first request, or what came of it when the connection ended, is no HTTP or takes too long."""
    head = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(HEAD_S):
            while b"\r\n\r\n" not in head and len(head) < MOST_HEAD_BYTES:
                chunk = await reader.read(MOST_HEAD_BYTES - len(head))
                if not chunk:
                    break
                head += chunk
    return head


def wanted(head: bytes) -> Wanted | None:
    """None when the request is not for a proxy."""
    line, _, rest = head.partition(b"\r\n")
    words = line.decode("latin-1").split(" ")
    if len(words) != 3:
        return None
    method, target, version = words
    if method == "CONNECT":
        host, port = _host_and_port(target, _HTTPS)
        return Wanted(host, port, head.partition(b"\r\n\r\n")[2], tunnel=True)
    if not target.lower().startswith("http://"):
        return None
    authority, slash, path = target[len("http://") :].partition("/")
    host, port = _host_and_port(authority.rpartition("@")[2], _HTTP)
    kept = [each for each in rest.split(b"\r\n") if not each.lower().startswith((b"proxy-", b"connection:"))]
    first = f"{method} {slash or '/'}{path} {version}\r\nConnection: close\r\n".encode("latin-1")
    return Wanted(host, port, first + b"\r\n".join(kept), tunnel=False)


def _host_and_port(authority: str, default: int) -> tuple[str, int]:
    if authority.startswith("["):
        host, _, rest = authority[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = authority.partition(":")
    return host.rstrip(".").lower(), int(port) if port.isdecimal() and len(port) < 6 else default


def allows(allowed: tuple[str, ...], host: str, port: int) -> bool:
    """An entry without a port allows 80 and 443; `*.` stands for any names below a domain, not for the domain itself."""
    for entry in allowed:
        name, _, number = entry.lower().partition(":")
        if (port != int(number)) if number else (port not in {_HTTP, _HTTPS}):
            continue
        if host == name or (name.startswith("*.") and host.endswith(name[1:]) and host != name[2:]):
            return True
    return False


async def open_way(asked: Wanted, allowed: tuple[str, ...]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """A connection to the host; None when it may not be reached. Raises OSError when it cannot be."""
    if not allows(allowed, asked.host, asked.port):
        log.warning("a sandbox was refused %s:%d, which its role may not reach", asked.host, asked.port)
        return None
    async with asyncio.timeout(CONNECT_S):
        found = await asyncio.get_running_loop().getaddrinfo(asked.host, asked.port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        reachable = [one for one in addresses if one == asked.host or not _is_of_this_machine(one)]
        if not reachable:
            log.warning("a sandbox was refused %s: the name leads to this machine", asked.host)
            return None
        return await asyncio.open_connection(reachable[0], asked.port)


def _is_of_this_machine(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    return mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified or mapped.is_multicast
