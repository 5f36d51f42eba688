"""The listening sockets, and what happens to new connections.

Owns: accepting, leaving connections waiting in the system's queue, closing them on arrival. Must not know: what a
connection is for.
"""

from __future__ import annotations

import asyncio
import enum
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from esdb_lite._loop_thread import serve_no_more, serve_on

_HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a client gets for the TLS handshake."""
_PATIENCE = 1.0
_BACKLOG = 1024
_TRIES = 20
"""How often a free port is looked for that all addresses of a host have in common."""
_TURNS = 3
"""Turns that the event loop takes from accepting a socket to its connection."""


class DoorState(enum.Enum):
    """What becomes of those who knock."""

    OPEN = enum.auto()
    WAITING = enum.auto()
    """The system accepts them, and nobody looks after them: what a frozen process does."""
    TURNED_AWAY = enum.auto()
    """They are accepted, and closed at once."""


class _TurnedAway(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()


class Door:
    """The sockets of one address."""

    def __init__(self, accept: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None) -> None:
        self._accept = accept
        self._tls = tls
        self._servers: list[asyncio.Server] = []
        self._kept: list[socket.socket] = []
        """The sockets once more, so that they go on listening when nobody accepts."""
        self._state = self._wanted = DoorState.OPEN
        self._changing: asyncio.Task[None] | None = None
        self._closed = False
        self._place: tuple[str, int] | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen; returns the port (a free one for port 0). Raises OSError."""
        wanted = port
        for _ in range(_TRIES):
            try:
                server = await self._listen(host, wanted)
            except OSError:
                if wanted == port:
                    raise
                wanted = port  # somebody else has taken it meanwhile
                continue
            bound: list[int] = [listening.getsockname()[1] for listening in server.sockets]
            if len(set(bound)) == 1:
                self._servers = [server]
                self._place = host, bound[0]
                serve_on(asyncio.get_running_loop(), *self._place)
                return bound[0]
            # A host with several addresses got a free port for each: they are to have the same.
            server.close()
            await server.wait_closed()
            wanted = bound[0]
        raise OSError(errno.EADDRINUSE, f"no port is free on all addresses of {host}")

    async def _listen(self, host: str, port: int) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            self._accept, host, port, ssl=self._tls, ssl_handshake_timeout=self._handshake, backlog=_BACKLOG
        )

    @property
    def _handshake(self) -> float | None:
        return None if self._tls is None else _HANDSHAKE_TIMEOUT

    def set(self, state: DoorState) -> None:
        """Treat those who knock from now on like this."""
        self._wanted = state
        if self._state is not state and not self._closed and self._changing is None:
            self._changing = asyncio.ensure_future(self._change())

    async def _change(self) -> None:
        try:
            while self._state is not self._wanted and not self._closed:
                self._state = self._wanted
                await self._reopen(self._state)
        finally:
            self._changing = None

    async def _reopen(self, state: DoorState) -> None:
        if not self._kept:
            self._kept = [listening.dup() for server in self._servers for listening in server.sockets]
        servers, self._servers = self._servers, []
        await _close(servers)
        if state is DoorState.WAITING:
            return
        accept, tls = (self._accept, self._tls) if state is DoorState.OPEN else (_TurnedAway, None)
        for kept in self._kept:
            server = await asyncio.get_running_loop().create_server(
                accept, sock=kept.dup(), ssl=tls, ssl_handshake_timeout=None if tls is None else _HANDSHAKE_TIMEOUT
            )
            self._servers.append(server)

    async def close(self) -> None:
        """Stop listening; accepted sockets still become connections. Idempotent."""
        self._closed = True
        if self._place is not None:
            serve_no_more(asyncio.get_running_loop(), *self._place)
        if self._changing is not None:
            await asyncio.wait({self._changing})
        await _close(self._servers)
        for kept in self._kept:
            kept.close()

    async def wait_closed(self) -> None:
        """Wait until everything about it has ended. Connections must have ended before."""
        for server in self._servers:
            # Where a client has not got beyond the handshake there is nothing to wait for.
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(server.wait_closed(), _PATIENCE)


async def _close(servers: list[asyncio.Server]) -> None:
    """Stop accepting, and close. asyncio forgets sockets that were accepted just before their server was closed."""
    loop = asyncio.get_running_loop()
    for server in servers:
        for listening in server.sockets:
            with suppress(NotImplementedError):  # not all loops have readers
                loop.remove_reader(listening)
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    for server in servers:
        server.close()
