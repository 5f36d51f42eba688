"""Figures of a node that are asked for again and again.

Owns: when they are asked for, and the iterator. Must not know: how they are asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from esdb_lite._rpc.deadline import Deadline
from esdb_lite.administration import Statistics
from esdb_lite.client.read.iterators import AsyncEventIterator
from esdb_lite.errors import DeadlineExceeded


class StatisticsReading:
    """Asks once more whenever the time has come."""

    only_events = True
    complete = False

    def __init__(self, ask: Callable[[], Awaitable[Statistics]], interval: float, deadline: Deadline) -> None:
        self._ask = ask
        self._interval = interval
        self._deadline = deadline
        self._next = asyncio.get_running_loop().time() + interval
        self._closed = asyncio.Event()

    def __str__(self) -> str:
        return f"every {self._interval:g} seconds"

    async def batch(self) -> Sequence[Statistics]:
        """Return the figures of the next time; none after `close`."""
        now = asyncio.get_running_loop().time()
        left = self._deadline.remaining()
        pause = max(0.0, self._next - now)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._closed.wait(), pause if left is None else min(pause, left))
        if self._closed.is_set():
            return ()
        if left is not None and left <= pause:
            raise DeadlineExceeded(f"the statistics did not end within {self._deadline.timeout:g} seconds")
        self._next = max(self._next, now) + self._interval
        return [await self._ask()]

    def close(self) -> None:
        """Wake the one who waits, and ask no more. Idempotent."""
        self._closed.set()

    def abandon(self) -> None:
        """Do nothing: nothing is open between two times."""


class AsyncStatisticsFeed(AsyncEventIterator[Statistics]):
    """The statistics of a node, by name, at regular intervals."""
