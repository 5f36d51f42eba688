"""Serving a port, and stopping.

Owns: the set of connections, what is done to all of them, and the order in which everything ends. Must not know:
services.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping

from esdb_lite._http2.server import Crowd
from esdb_lite.server.app.call import GrpcCall
from esdb_lite.server.app.calls import ALWAYS_IDLE, CallAdmission, CallCounts, ConnectionCalls
from esdb_lite.server.app.connection import ServerConnection
from esdb_lite.server.app.limits import connection_limit
from esdb_lite.server.app.listening import Door, DoorState
from esdb_lite.server.app.plain import PlainHttp
from esdb_lite.server.app.quick import Route

_PATIENCE = 1.0
"""Seconds that calls, and then connections, get to end before they are cut off: only who does not read needs them."""


class RpcServer:
    """Serves routes (path -> `Route`) on one port."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        admission: CallAdmission = ALWAYS_IDLE,
        plain: PlainHttp = PlainHttp(),  # noqa: B008 - it cannot be changed
    ) -> None:
        """While the admission is not idle, new calls go to the handlers that their routes have for faults."""
        self.counts = CallCounts()
        self._routes = routes
        self._services = frozenset(path.rpartition("/")[0] for path in routes)
        self._admission = admission
        self._plain = plain
        self._connections: dict[ServerConnection, None] = {}
        """The oldest first."""
        self._limit = connection_limit()
        self._crowd = Crowd()
        self._door: Door | None = None
        self._frozen = False
        self._ending = False
        self._empty = asyncio.Event()
        self._empty.set()

    def use_tls(self, tls: ssl.SSLContext) -> None:
        """Meet those who come from now on with another context."""
        if self._door is not None:
            self._door.use_tls(tls)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen; returns the port (a free one for port 0). Raises OSError."""
        self._ending = False
        self._door = Door(self._accept, tls, self._has_room)
        return await self._door.open(host, port)

    def _accept(self) -> ServerConnection:
        calls = ConnectionCalls(self._routes, self._services, self._admission, self._plain, self.counts)
        return ServerConnection(calls, self._made, self._lost, self._plain, self._crowd)

    def _has_room(self, arriving: int) -> bool:
        """Say whether one more may come in; somebody for whom nothing is done has to go for it, if need be.

        Those who have not even greeted go first. A client that is told goodbye comes back when it has something to do.
        """
        if len(self._connections) + arriving < self._limit:
            return True
        here = [each for each in self._connections if not each.is_closing]
        leaving = next((each for each in here if not each.has_greeted), None)
        if leaving is None:
            leaving = next((each for each in here if each.is_idle), None)
        if leaving is not None:
            leaving.leave()
            leaving.cut()
        return leaving is not None

    def _made(self, connection: ServerConnection) -> None:
        self._connections[connection] = None
        self._empty.clear()
        if self._ending:  # it was accepted before the door was closed, and nobody will look after it
            connection.abort()
        elif self._frozen:
            connection.freeze()

    def _lost(self, connection: ServerConnection) -> None:
        self._connections.pop(connection, None)
        if not self._connections:
            self._empty.set()

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    # --- faults ---

    def open_calls(self) -> Iterator[GrpcCall]:
        """The calls that are being served."""
        for connection in list(self._connections):
            yield from connection.calls.open

    def set_faults(self, *, frozen: bool, turning_away: bool) -> None:
        """Stand still, as a process that has been stopped, or go on; close connections on arrival, or take them."""
        if self._door is not None:
            self._door.set(DoorState.WAITING if frozen else DoorState.TURNED_AWAY if turning_away else DoorState.OPEN)
        if frozen is not self._frozen:
            self._frozen = frozen
            for connection in list(self._connections):
                connection.freeze() if frozen else connection.thaw()

    def break_connections(self) -> None:
        """End all connections at once, without a word."""
        for connection in list(self._connections):
            connection.break_off()

    def go_away(self, code: int, reset_after: float | None = None) -> None:
        """Tell all clients to leave; calls go on, new ones on these connections are not answered.

        `reset_after`: seconds after which the connections are reset, where they are.
        """
        for connection in list(self._connections):
            connection.go_away(code, reset_after)

    async def leave(self) -> None:
        """Tell all clients to leave, answer nothing any more, and take no new connections."""
        if self._door is not None:
            await self._door.close()
        self.go_away(0)
        for connection in list(self._connections):
            connection.calls.forsake()

    async def kill(self) -> None:
        """Stop listening and end everything at once, as the end of the process would."""
        door = self._door
        if door is None:
            return
        self._ending = True
        await door.close()
        tasks = [task for connection in self._connections for task in connection.calls.tasks]
        self.break_connections()
        await self._ended(tasks)

    # --- stopping ---

    async def stop(self) -> None:
        """Stop listening, end open calls with UNAVAILABLE, say goodbye, close. Takes a few seconds at most."""
        door = self._door
        if door is None:
            return
        await door.close()
        for connection in list(self._connections):
            connection.thaw()
        connections = list(self._connections)
        for connection in connections:
            connection.calls.stop()
        tasks = [task for connection in connections for task in connection.calls.tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=_PATIENCE)
        self._ending = True
        for connection in list(self._connections):
            connection.leave()
        await self._wait_until_empty()
        for connection in list(self._connections):
            connection.abort()
        await self._ended(tasks)

    async def _ended(self, tasks: list[asyncio.Task[None]]) -> None:
        """Everything has been told to end: wait until it has."""
        door, self._door = self._door, None
        await self._wait_until_empty()
        if door is not None:
            await door.wait_closed()
        unfinished = [task for task in tasks if not task.done()]
        if unfinished:
            await asyncio.wait(unfinished, timeout=_PATIENCE)

    async def _wait_until_empty(self) -> None:
        if self._connections:
            waiter = asyncio.ensure_future(self._empty.wait())
            await asyncio.wait([waiter], timeout=_PATIENCE)
            waiter.cancel()
