"""What addresses mean: who reaches a server there, and how, and which callers may be one.

Owns: these rules. Must not know: sockets, servers.
"""

from __future__ import annotations

import ipaddress


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
