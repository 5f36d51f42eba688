"""Where clients come in: the listening sockets, and what happens to those who knock.

Owns: accepting, leaving connections waiting in the system's queue, closing them on arrival. Must not know: what a
connection is for.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

_HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a client gets for the TLS handshake."""
_PATIENCE = 1.0
_BACKLOG = 1024
_TURNS = 3
"""Turns of the loop from accepting a connection to its first call."""


class DoorState(enum.Enum):
    """What becomes of those who knock."""

    OPEN = enum.auto()
    WAITING = enum.auto()
    """The system accepts them, and nobody looks after them: what a frozen process does."""
    TURNED_AWAY = enum.auto()
    """They are accepted, and closed at once."""


class _TurnedAway(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


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

    async def open(self, host: str, port: int) -> int:
        """Listen; returns the port (a free one for port 0). Raises OSError."""
        server = await asyncio.get_running_loop().create_server(
            self._accept, host, port, ssl=self._tls, ssl_handshake_timeout=self._handshake, backlog=_BACKLOG
        )
        self._servers = [server]
        bound: int = server.sockets[0].getsockname()[1]
        return bound

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
        for server in servers:
            server.close()
        if state is DoorState.WAITING:
            return
        accept, tls = (self._accept, self._tls) if state is DoorState.OPEN else (_TurnedAway, None)
        for kept in self._kept:
            server = await asyncio.get_running_loop().create_server(
                accept, sock=kept.dup(), ssl=tls, ssl_handshake_timeout=None if tls is None else _HANDSHAKE_TIMEOUT
            )
            self._servers.append(server)

    async def settle(self) -> None:
        """Take nobody in any more, and let those become connections who have been.

        Before Python 3.12 a server that is closed in between loses their sockets (CPython issue 109564).
        """
        loop = asyncio.get_running_loop()
        for server in self._servers:
            for listening in server.sockets:
                with suppress(NotImplementedError):  # loops of Windows do without readers
                    loop.remove_reader(listening.fileno())
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def close(self) -> None:
        """Stop listening."""
        self._closed = True
        for server in self._servers:
            server.close()
        for kept in self._kept:
            kept.close()

    async def wait_closed(self) -> None:
        """Wait until everything about it has ended. Connections must have ended before."""
        if self._changing is not None:
            await asyncio.wait({self._changing})
            self.close()
        for server in self._servers:
            # Where a client has not got beyond the handshake there is nothing to wait for.
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(server.wait_closed(), _PATIENCE)
