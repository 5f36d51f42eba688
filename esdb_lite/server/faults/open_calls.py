"""Calls that stay open, and that the server may want to end: subscriptions and consumers of groups.

Owns: ending them with an answer of their own. Must not know: why they are ended, what they send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from esdb_lite._status import RpcError


class _Open:
    def __init__(self, task: asyncio.Task[object], ending: RpcError) -> None:
        self.ending = ending
        self.ended = False
        self._task = task

    def end(self) -> None:
        self.ended = True
        self._task.cancel()


class LongCalls:
    """The open calls of a server."""

    def __init__(self) -> None:
        self._open: set[_Open] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def until_ended(self, ending: RpcError) -> Iterator[None]:
        """Serve a call, in its own task. `ending`: what it raises when it is ended before it is done."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is served by a task")
        call = _Open(task, ending)
        self._open.add(call)
        self._empty.clear()
        try:
            yield
        except asyncio.CancelledError:
            if not call.ended:
                raise
            raise call.ending from None
        finally:
            self._open.discard(call)
            if not self._open:
                self._empty.set()

    async def wait_ended(self, timeout: float) -> None:
        """Wait until there are none, but not longer than `timeout` seconds."""
        waiter = asyncio.ensure_future(self._empty.wait())
        try:
            await asyncio.wait({waiter}, timeout=timeout)
        finally:
            waiter.cancel()

    def end_all(self) -> None:
        """End all that are open now."""
        for call in list(self._open):
            call.end()
