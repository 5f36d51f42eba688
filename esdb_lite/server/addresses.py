"""What addresses mean: who reaches a server there, and how, and which callers may be one.

Owns: these rules. Must not know: sockets, servers.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from esdb_lite._checks import checked_text
from esdb_lite.errors import InvalidArgument

_PLACE = r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@?#\[\]]+)(?::(\d{1,5}))?"


class Advertised(NamedTuple):
    """Where a server says that it is, in gossip."""

    host: str
    port: int
    """0: the port on which it listens."""


def advertised(argument: str, place: str | None) -> Advertised | None:
    """Read HOST or HOST:PORT. Raises InvalidArgument."""
    if place is None:
        return None
    found = re.fullmatch(_PLACE, checked_text(argument, place))
    if found is None or int(found[2] or 1) not in range(1, 2**16):
        raise InvalidArgument(argument, place, "must be a host, or a host and a port, such as db.example.org:2113")
    return Advertised(found[1].strip("[]"), int(found[2] or 0))


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach a server that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def network_of(address: str) -> str:
    """Return what one machine can have such addresses from at will: all of loopback, a /64 of IPv6, itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found
    if found.is_loopback:
        return "loopback"
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


def reachable(host: str) -> str:
    """Return a host at which clients of this machine reach a server that listens on `host`."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def with_port(host: str, port: int) -> str:
    """Return an address as it stands in connection strings: `127.0.0.1:2113`, `[::1]:2113`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
