"""A time within which something has to come, or a call ends.

Owns: ending it. Must not know: what is waited for.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from esdb_lite._status import RpcError


class TimeLimit:
    """Ends the call that enters it, in its own task, when `extend` has not been called for so long."""

    def __init__(self, seconds: float, ending: RpcError) -> None:
        self._seconds = seconds
        self._ending = ending
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._until = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._until, self._look)
        self._over = False

    def extend(self) -> None:
        """Something has come."""
        self._until = self._loop.time() + self._seconds

    def _look(self) -> None:
        if self._loop.time() < self._until:
            self._timer = self._loop.call_at(self._until, self._look)
        elif self._task is not None:
            self._over = True
            self._task.cancel()

    def __enter__(self) -> TimeLimit:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._timer.cancel()
        if self._over and isinstance(error, asyncio.CancelledError):
            raise self._ending from None
