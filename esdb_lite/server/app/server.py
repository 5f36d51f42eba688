"""Listening, and stopping.

Owns: the socket, the set of connections, and the order in which everything ends. Must not know: services.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Mapping
from contextlib import suppress

from esdb_lite.server.app.calls import Calls, Route
from esdb_lite.server.app.connection import ServerConnection

_HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a client gets for the TLS handshake."""

_TRIES = 20
"""How often a free port is looked for that all addresses of a host have in common."""

_PATIENCE = 1.0
"""Seconds that calls, and then connections, get to end before they are cut off: only who does not read needs them."""


class RpcServer:
    """Serves routes (path -> `Route`) on one port."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes
        self._services = frozenset(path.rpartition("/")[0] for path in routes)
        self._connections: set[ServerConnection] = set()
        self._server: asyncio.Server | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen; returns the port (a free one for port 0). Raises OSError."""
        wanted = port
        for _ in range(_TRIES):
            try:
                self._server = await self._listen(host, wanted, tls)
            except OSError:
                if wanted == port:
                    raise
                wanted = port  # somebody else has taken it meanwhile
                continue
            bound: list[int] = [socket.getsockname()[1] for socket in self._server.sockets]
            if len(set(bound)) == 1:
                return bound[0]
            # A host with several addresses got a free port for each: they are to have the same.
            self._server.close()
            await self._server.wait_closed()
            wanted = bound[0]
        raise OSError(errno.EADDRINUSE, f"no port is free on all addresses of {host}")

    async def _listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            self._accept,
            host,
            port,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else _HANDSHAKE_TIMEOUT,
            backlog=1024,
        )

    def _accept(self) -> ServerConnection:
        return ServerConnection(Calls(self._routes, self._services), self._made, self._lost)

    def _made(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        self._empty.clear()

    def _lost(self, connection: ServerConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    async def stop(self) -> None:
        """Stop listening, end open calls with UNAVAILABLE, say goodbye, close. Takes a few seconds at most."""
        if self._server is None:
            return
        self._server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.calls.stop()
        tasks = [task for connection in connections for task in connection.calls.tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=_PATIENCE)
        for connection in list(self._connections):
            connection.say_goodbye()
        await self._wait_until_empty()
        for connection in list(self._connections):
            connection.abort()
        await self._wait_until_empty()
        # Where a client has not got beyond the handshake there is nothing to wait for.
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._server.wait_closed(), _PATIENCE)
        unfinished = [task for task in tasks if not task.done()]
        if unfinished:
            await asyncio.wait(unfinished, timeout=_PATIENCE)
        self._server = None

    async def _wait_until_empty(self) -> None:
        if self._connections:
            waiter = asyncio.ensure_future(self._empty.wait())
            await asyncio.wait([waiter], timeout=_PATIENCE)
            waiter.cancel()
