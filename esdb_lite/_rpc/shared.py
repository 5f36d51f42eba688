"""One run of something for all who ask for it meanwhile.

Owns: that no asker can spoil it for the others by being cancelled or late. Must not know: what is run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from copy import copy
from typing import Any, Generic, TypeVar

from esdb_lite._rpc.deadline import Deadline
from esdb_lite.errors import EsdbClientException

T = TypeVar("T")


class Shared(Generic[T]):
    """Runs a coroutine function as a task of its own; those who come while it runs get the same result."""

    def __init__(self, function: Callable[[], Awaitable[T]]) -> None:
        self._function = function
        self._task: asyncio.Future[T] | None = None

    @property
    def running(self) -> bool:
        """Whether somebody could wait for a result."""
        return self._task is not None

    async def get(self, deadline: Deadline) -> T | None:
        """Return the result, or raise the exception, of the run; None when there is none before the deadline."""
        task = self._task
        if task is None:
            task = self._task = asyncio.ensure_future(self._function())
            task.add_done_callback(self._done)
        await asyncio.wait({task}, timeout=deadline.remaining())
        if not task.done() or task.cancelled():
            return None
        if isinstance(error := task.exception(), EsdbClientException):
            raise _own(error)
        return task.result()

    def cancel(self) -> None:
        """Stop the run; those who wait get None."""
        if self._task is not None:
            self._task.cancel()

    async def end(self) -> None:
        """Stop the run, and wait until it has cleared up."""
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def _done(self, task: asyncio.Future[T]) -> None:
        self._task = None
        retrieved(task)


def _own(error: EsdbClientException) -> EsdbClientException:
    """Return the same exception for one asker: as it goes on, its traceback grows, and more may be said in it."""
    own = copy(error).with_traceback(error.__traceback__)
    own.__cause__, own.__context__ = error.__cause__, error.__context__
    own.__suppress_context__ = error.__suppress_context__
    return own


def retrieved(task: asyncio.Future[Any]) -> None:
    """Called with a task that is done: whoever waited for it may be gone, and asyncio would report its exception."""
    if not task.cancelled():
        task.exception()
