"""Making a connection: to whichever address of a name answers first.

Owns: addresses, sockets, the order in which they are tried. Must not know: calls, who wants the connection, what an
error means.

A name may have addresses that drop what is sent to them (IPv6 without a route, a node that is gone): each gets a head
start of a quarter of a second, and the first connection wins (RFC 8305). Loops other than asyncio's own do not offer
that, so it is done here.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any

from esdb_lite._http2.client import ClientProtocol

HEAD_START = 0.25
"""Seconds after which the next address is tried beside those that have not answered."""

HANDSHAKE_TIMEOUT = 10.0
"""Seconds that TLS may take: whoever wants the connection waits no longer than that in any case."""

_SocketAddress = tuple[Any, ...]


async def dial(
    host: str, port: int, make: Callable[[], ClientProtocol], tls: ssl.SSLContext | None, server_name: str | None
) -> ClientProtocol:
    """Return a protocol that is connected, with TLS after the handshake. Raises OSError, ValueError, OverflowError."""
    connected = await open_socket(host, port)
    name = None if tls is None else server_name or host
    protocol = make()
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: protocol,
            sock=connected,
            ssl=tls,
            server_hostname=name,
            # uvloop forgets a handshake that has just begun when it is cancelled: its buffers stay for so long
            ssl_handshake_timeout=None if tls is None else HANDSHAKE_TIMEOUT,
        )
    except BaseException:
        protocol.abort()  # after the handshake, asyncio would wait for what TLS says last
        connected.close()
        raise
    return protocol


async def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that is connected to one of the addresses of a name."""
    addresses = in_turns(await _addresses(host, port))
    if not addresses:
        raise OSError(f"{host} has no address")
    return await first_of([_attempt(family, address) for family, address in addresses], HEAD_START)


def in_turns(addresses: Sequence[tuple[int, _SocketAddress]]) -> list[tuple[int, _SocketAddress]]:
    """Return addresses so that families take turns, beginning with that of the first one."""
    families: dict[int, list[tuple[int, _SocketAddress]]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    return [address for address in chain.from_iterable(zip_longest(*families.values())) if address is not None]


async def first_of(attempts: Sequence[Callable[[], Awaitable[socket.socket]]], head_start: float) -> socket.socket:
    """Begin attempts one after another, each next one when the last has failed or had its head start.

    Returns what the first attempt returns that succeeds; all others have ended then. Raises OSError when all have
    failed, as the only one has or with all their reasons.
    """
    waiting, running = deque(attempts), set[asyncio.Future[socket.socket]]()
    errors: list[OSError] = []
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(waiting.popleft()()))
            timeout = head_start if waiting else None
            done, _ = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                running.discard(task)
                error = task.exception()
                if error is None:
                    running |= done - {task}  # whoever has made it at the same time is closed below
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                errors.append(error)
    finally:
        for task in running:
            task.cancel()
        for other in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(other, socket.socket):
                other.close()
    raise _all_of(errors)


def _attempt(family: int, address: _SocketAddress) -> Callable[[], Awaitable[socket.socket]]:
    async def connect() -> socket.socket:
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            with suppress(OSError):  # where there is no such option
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(made, address)
        except BaseException:
            made.close()
            raise
        return made

    return connect


async def _addresses(host: str, port: int) -> list[tuple[int, _SocketAddress]]:
    for family in (socket.AF_INET, socket.AF_INET6):  # no thread is needed for what is an address
        with suppress(OSError):
            socket.inet_pton(family, host)
            return [(family, (host, port))]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(int(family), address) for family, _, _, _, address in found]


def _all_of(errors: Sequence[OSError]) -> OSError:
    texts = list(dict.fromkeys(str(error) for error in errors))
    return errors[0] if len(texts) == 1 else OSError("; ".join(texts))
