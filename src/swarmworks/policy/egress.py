"""Which hosts a sandbox may reach: the rules of its role, and addresses that no rule can open. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

WITHOUT_A_PORT = frozenset({80, 443})
"""The ports of a rule that names none."""

_OF_CLOUDS = frozenset(
    ipaddress.ip_address(text) for text in ("168.63.129.16", "169.254.169.254", "100.100.100.200", "fd00:ec2::254")
)
"""Where clouds answer their own machines; the first is a public address (Azure's)."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_PLACE = re.compile(
    r"(?:(?P<v4>[0-9.]+)|\[(?P<bracketed>[0-9a-fA-F:.]+)\])(?::(?P<port>[0-9]{1,5}))?|(?P<bare>[0-9a-fA-F:.]+)"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """`below`: any host below `host`, and not `host` itself."""

    host: str
    below: bool = False
    port: int | None = None

    def allows(self, host: str, port: int) -> bool:
        fits = host.endswith(f".{self.host}") if self.below else host == self.host
        return fits and (port in WITHOUT_A_PORT if self.port is None else port == self.port)


def rules_of(entries: Iterable[str]) -> tuple[Rule, ...]:
    """From `host`, `host:port` or `*.domain`."""
    found: list[Rule] = []
    for entry in entries:
        host, _, port = entry.partition(":")
        found.append(Rule(normal_host(host.removeprefix("*.")), host.startswith("*."), int(port) if port else None))
    return tuple(found)


def normal_host(host: str) -> str:
    return host.strip().lower().removesuffix(".").removeprefix("[").removesuffix("]")


def named(rules: Iterable[Rule], host: str, port: int) -> bool:
    """`host` in its normal form."""
    return any(rule.allows(host, port) for rule in rules)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a host is, as whoever runs the worker says. `port`: None for the one that is asked for."""

    address: str
    port: int | None = None

    def __str__(self) -> str:
        return self.address if self.port is None else f"{self.address} port {self.port}"


def places_of(text: str) -> Mapping[str, Place]:
    """By host, from `host=address` or `host=address:port` with commas between; an IPv6 address with a port in brackets.
    ValueError, in words for a person, for anything else, and for an address that is never reached all the same.
    """
    found: dict[str, Place] = {}
    for row in filter(None, (row.strip() for row in text.split(","))):
        host, _, where = row.partition("=")
        match = _PLACE.fullmatch(where.strip())
        try:
            address = ipaddress.ip_address((match["bare"] or match["bracketed"] or match["v4"]) if match else "")
        except ValueError:
            raise ValueError(f"{row[:100]!r} is not host=address or host=address:port") from None
        port = int(match["port"]) if match and match["port"] else None
        if not host.strip() or (port is not None and not 0 < port < 65_536):
            raise ValueError(f"{row[:100]!r} names no host, or no port between 1 and 65535")
        if why := _never(str(address), address):
            raise ValueError(f"{row[:100]!r}: {why}")
        found[normal_host(host)] = Place(str(address), port)
    return found


def _never(text: str, address: Address) -> str | None:
    """Why an address is not reached even when it is named: where machines are told secrets, and what is no host."""
    for each in _meant(address):
        if each in _OF_CLOUDS:
            return f"{text} is an address of a cloud's own services"
        if each.is_link_local or each.is_multicast or each.is_unspecified:
            return f"{text} is no host's address"
    return None


def forbidden(addresses: Sequence[str]) -> str | None:
    """Why none of what a name resolves to is connected to, whatever the rules say; None when there is nothing against it.
    One bad address is enough: who names both a public and a private one is playing for time.
    """
    if not addresses:
        return "the name has no address"
    for text in addresses:
        for each in _meant(ipaddress.ip_address(text.partition("%")[0])):
            if each in _OF_CLOUDS:
                return f"{text} is an address of a cloud's own services"
            if not each.is_global or each.is_multicast or each.is_reserved or _is_local(each):
                return f"{text} is no public address"
    return None


def _is_local(address: Address) -> bool:
    """What Python takes for global and no network does: site-local addresses, and those of a translator in the own network,
    which may mean any of its IPv4 addresses, in places of its own choice.
    """
    return isinstance(address, ipaddress.IPv6Address) and (address.is_site_local or address in _LOCAL_NAT64)


def _meant(address: Address) -> list[Address]:
    """Where a connection to `address` may end up: translators on the way turn some IPv6 addresses into IPv4 ones."""
    if not isinstance(address, ipaddress.IPv6Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)]
    if address in _LOCAL_NAT64:
        return [address, ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)]
    embedded = [address.sixtofour, address.teredo[1] if address.teredo is not None else None]
    return [address, *(each for each in embedded if each is not None)]
