"""Turns of the event loop: how much is read and sent in one of them, so that appends do not wait for all readers.

Owns: the order of those who wait (first come, first served). Must not know: what they do when it is their turn.
"""

from __future__ import annotations

import asyncio
from collections import deque

ROOM = 64
"""Units that fit into one turn."""
PAGE = 16
"""Units of a page that is read from storage and sent: some milliseconds."""
UNITS_PER_SECOND = 8_000
BATCH = 1
"""Units of a few live events that are sent to one subscriber."""


class LoopShare:
    """Lets in what fits into this turn of the loop; the others wait for the next ones."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = ROOM
        self._counting = False
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, units: int) -> None:
        """Return when there is room, at once if there is any now."""
        if not self._counting:
            self._counting = True
            self._loop.call_soon(self._next)
        if self._left > 0 and not self._waiting:
            self._left -= units
            return
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((units, turn))
        await turn

    def charge(self, seconds: float, units: int) -> None:
        """Count what took long for more than the units that it entered with: others come later for it."""
        spent = int(seconds * UNITS_PER_SECOND)
        if spent > units:
            self._left -= spent - units

    def _next(self) -> None:
        self._left = ROOM + min(self._left, 0)
        self._counting = bool(self._waiting)
        while self._waiting and self._left > 0:
            units, turn = self._waiting.popleft()
            if not turn.done():
                self._left -= units
                turn.set_result(None)
        if self._counting:
            self._loop.call_soon(self._next)
