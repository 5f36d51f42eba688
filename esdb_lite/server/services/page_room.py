"""How much a server holds of answers that clients have not taken.

Owns: how many pages of one connection are read and encoded before it has taken those before, and who has to go when
all connections together hold too much. Must not know: what is read, how it is sent.

A client may open many reads and take nothing. Each holds a page; so those of one connection wait for each other, but
not for one that nobody takes: after PATIENCE seconds it is *stuck*, and counts for its connection no longer. It counts
for the server. Above IN_ALL bytes, those that are stuck are sent away, the oldest first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from types import TracebackType

from esdb_lite._status import refusals

PAGE = 256 * 1024
"""Bytes that a page is taken to have before it has been read."""
PER_CONNECTION = 2 * 1024 * 1024
IN_ALL = 24 * 1024 * 1024
PATIENCE = 2.0


class _Connection:
    def __init__(self, peer: Hashable) -> None:
        self.peer = peer
        self.held = 0
        """Bytes of its pages that are not stuck."""
        self.pages = 0
        """How many it has."""
        self.waiting: deque[tuple[HeldPage, asyncio.Future[None]]] = deque()


class PageRoom:
    """The room of one server."""

    def __init__(self) -> None:
        self.held = 0
        """Bytes of all pages."""
        self._connections: dict[Hashable, _Connection] = {}
        self._sending: dict[HeldPage, None] = {}
        """The pages that are being sent; what has taken nothing for the longest comes first."""
        self._timer: asyncio.TimerHandle | None = None

    def page(self, peer: Hashable) -> HeldPage:
        """Return a page to be held by `async with`, which waits for room among those of the same connection."""
        connection = self._connections.get(peer)
        if connection is None:
            connection = self._connections[peer] = _Connection(peer)
        return HeldPage(self, connection)

    def is_full(self, peer: Hashable) -> bool:
        """Whether a connection would have to wait for room."""
        connection = self._connections.get(peer)
        return connection is not None and connection.held >= PER_CONNECTION

    def enter(self, page: HeldPage) -> asyncio.Future[None] | None:
        """Let a page in; return what it has to wait for, if anything."""
        connection = page.connection
        connection.pages += 1
        self._connections[connection.peer] = connection
        if connection.held < PER_CONNECTION:
            self._count(page, PAGE)
            return None
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        connection.waiting.append((page, turn))
        self._look_later()
        return turn

    def weigh(self, page: HeldPage, size: int) -> None:
        """Something of a page has been taken, or it has been read: now it has so many bytes."""
        self._sending.pop(page, None)
        self._sending[page] = None
        page.since = asyncio.get_running_loop().time()
        if page.stuck:
            page.stuck = False
            page.connection.held += page.size
        self._count(page, size)
        if self.held > IN_ALL:
            self._look_later()

    def leave(self, page: HeldPage) -> None:
        """A page is held no longer."""
        self._sending.pop(page, None)
        self._count(page, 0)
        connection = page.connection
        connection.pages -= 1
        self._let_in(connection)
        if not connection.pages:
            self._connections.pop(connection.peer, None)

    def _count(self, page: HeldPage, size: int) -> None:
        more = size - page.size
        page.size = size
        self.held += more
        if not page.stuck:
            page.connection.held += more

    def _let_in(self, connection: _Connection) -> None:
        while connection.waiting and connection.held < PER_CONNECTION:
            page, turn = connection.waiting.popleft()
            if not turn.done():
                self._count(page, PAGE)
                turn.set_result(None)

    def _look_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE / 4, self._look)

    def _look(self) -> None:
        """Look for pages that are stuck: nobody waits for them; if too much is held, they have to go."""
        self._timer = None
        latest = asyncio.get_running_loop().time() - PATIENCE
        excess = self.held - IN_ALL
        for page in list(self._sending):
            if page.since > latest:
                break
            if not page.stuck:
                page.stuck = True
                page.connection.held -= page.size
                self._let_in(page.connection)
            if excess > 0:
                excess -= page.size
                page.send_away()
        if self.held > IN_ALL or any(connection.waiting for connection in self._connections.values()):
            self._look_later()


class HeldPage:
    """One page of one call, from before it is read until it has been taken."""

    def __init__(self, room: PageRoom, connection: _Connection) -> None:
        self.connection = connection
        self.size = 0
        self.since = 0.0
        """When something of it was taken."""
        self.stuck = False
        self._room = room
        self._task: asyncio.Task[object] | None = None
        self._goes = False

    def weigh(self, size: int) -> None:
        """Something of it has been taken, or it has been read: now it has so many bytes."""
        self._room.weigh(self, size)

    def send_away(self) -> None:
        """End the call."""
        if self._task is not None and not self._goes:
            self._goes = True
            self._task.cancel()

    async def __aenter__(self) -> HeldPage:
        self._task = asyncio.current_task()
        turn = self._room.enter(self)
        if turn is not None:
            try:
                await turn
            except asyncio.CancelledError:
                self._room.leave(self)
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._room.leave(self)
        if self._goes and isinstance(error, asyncio.CancelledError):
            raise refusals.too_busy() from None
