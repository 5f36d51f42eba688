"""Whose cancellation it is: that of a piece of work, or of something that it awaits; and what must not be cut short.

Owns: `Cancellation`, `to_its_end`. Must not know: what the work is.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from esdb_lite._rpc.shared import retrieved

R = TypeVar("R")

TASKS_COUNT = sys.version_info >= (3, 11)
"""Whether a task knows that it is being cancelled (`task.cancelling()`); before, it needs another one around it."""

PATIENCE = 5.0
"""Seconds that work gets to come to its end when whoever awaits it is cancelled."""


async def to_its_end(work: Awaitable[R]) -> R:
    """Await work that must not be left half done: a cancellation, or many of them, waits for its end for a while.

    Drivers of databases lose count of a transaction that is cancelled while it begins or ends.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    task.add_done_callback(retrieved)
    cancelled: asyncio.CancelledError | None = None
    end: float | None = None
    while not task.done() and (end is None or loop.time() < end):
        try:
            await asyncio.wait({task}, timeout=None if end is None else end - loop.time())
        except asyncio.CancelledError as error:
            cancelled, end = error, end or loop.time() + PATIENCE
    if cancelled is None:
        return task.result()
    task.cancel()
    raise cancelled from None if not task.done() or task.cancelled() else task.exception()


class Cancellation:
    """Tells whether a piece of work is being cancelled. Handlers await other tasks, which somebody may cancel."""

    def __init__(self) -> None:
        self.asked = False
        """Whether somebody is known to have cancelled it."""
        self.task: asyncio.Task[Any] | None = None
        """The task that the work is done in."""
        self._before = 0

    async def watch(self, work: Coroutine[Any, Any, R]) -> R:
        """Do the work, and take note when the task that does this is cancelled."""
        if TASKS_COUNT:
            self.task = asyncio.current_task()
            self._before = self._count()
            return await work
        self.task = task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            self.asked = True
            task.cancel()
        return await task

    def judged(self, error: BaseException) -> BaseException:
        """Return what an error of the work means: a cancellation that nobody asked for is a failure like others."""
        if not isinstance(error, asyncio.CancelledError) or self.asked or self._count() > self._before:
            return error
        failure = RuntimeError("a task was cancelled that the handler, or the checkpoint, waited for")
        failure.__cause__ = error
        return failure

    def _count(self) -> int:
        return self.task.cancelling() if TASKS_COUNT and self.task is not None else 0  # type: ignore[attr-defined,unused-ignore]
