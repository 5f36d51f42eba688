"""What an address to listen on means: whether others reach it, and how programs of this machine do.

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


def reachable(host: str) -> str:
    """Return a host at which clients of this machine reach a server that listens on `host`."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def with_port(host: str, port: int) -> str:
    """Return an address as it stands in connection strings: `127.0.0.1:2113`, `[::1]:2113`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
