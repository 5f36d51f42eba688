"""Whose cancellation it is: that of a piece of work, or of something that it awaits.

Owns: `Cancellation`. Must not know: what the work is.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

R = TypeVar("R")

TASKS_COUNT = sys.version_info >= (3, 11)
"""Whether a task knows that it is being cancelled (`task.cancelling()`); before, it needs another one around it."""


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
