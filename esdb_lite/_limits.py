"""Room by number and by bytes: how much may be under way at a time, first come, first served.

Owns: who gets in, and in which order. Must not know: what it is that gets in.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque


class Oversized(enum.Enum):
    """How something gets in that is larger than all the room."""

    ALONE = "when nobody else is in"
    OVERDRAWS = "as soon as there is any room; then nobody gets in until it has left"


class Room:
    """Limits how much is under way; those who wait get in in the order in which they came."""

    def __init__(self, count: int, size: int, *, oversized: Oversized = Oversized.ALONE) -> None:
        self._most = count, size
        self._count = count
        self._size = size
        self._caps = oversized is Oversized.ALONE
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def taken(self) -> int:
        """How many are in or wait."""
        return self._most[0] - self._count + len(self._waiting)

    def enter_at_once(self, size: int) -> bool:
        """Take room if there is some and nobody waits for it."""
        size = self._counted(size)
        if self._waiting or not self._fits(size):
            return False
        self._count -= 1
        self._size -= size
        return True

    async def enter(self, size: int, timeout: float | None = None) -> bool:
        """Wait for room; False when there is none within so many seconds (None: without end)."""
        if self.enter_at_once(size):
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = self._counted(size), turn
        self._waiting.append(entry)
        try:
            if timeout is None:
                await turn
            else:
                await asyncio.wait({turn}, timeout=timeout)
        except asyncio.CancelledError:
            self._give_up(entry)
            raise
        return turn.done() or self._give_up(entry)

    def leave(self, size: int) -> None:
        """Make room for others."""
        self._count += 1
        self._size += self._counted(size)
        if self._waiting:
            self._admit()

    def _counted(self, size: int) -> int:
        """Whatever is larger than all room takes all of it, and is then alone."""
        return self._most[1] if self._caps and size > self._most[1] else size

    def _fits(self, size: int) -> bool:
        return self._count > 0 and (self._size >= size or (size > self._most[1] and self._size > 0))

    def _admit(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if turn.cancelled():  # it gives up as soon as it runs
                self._waiting.popleft()
                continue
            if not self._fits(size):
                return
            self._waiting.popleft()
            self._count -= 1
            self._size -= size
            turn.set_result(None)

    def _give_up(self, entry: tuple[int, asyncio.Future[None]]) -> bool:
        size, turn = entry
        if turn.done() and not turn.cancelled():  # it has got in just now
            self.leave(size)
        else:
            if entry in self._waiting:
                self._waiting.remove(entry)
            self._admit()
        return False
