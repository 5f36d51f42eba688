"""A thread for one script: an engine's script is used in the thread that opened it, and in no other.

Owns: handing work over and results back to the event loop. Must not know: what the work is.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar, cast

from esdb_lite.server.database.threads import call_soon, settle

T = TypeVar("T")

STACK_BYTES = 4 * 1024 * 1024
"""Some systems give threads less than what an engine takes for its own limit of depth."""
_size = threading.Lock()


class ScriptThread:
    """Runs one function after another. Made on the loop that gets the results."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._work: queue.SimpleQueue[tuple[Callable[[], object], asyncio.Future[object]] | None] = queue.SimpleQueue()
        self._ended: asyncio.Future[object] = self._loop.create_future()
        self._thread = _started(self._run, f"esdb-lite projection {name}")

    async def run(self, function: Callable[[], T]) -> T:
        """Run a function; answers what it returns or raises. Cancelled, it comes to its end unheard."""
        answer: asyncio.Future[object] = self._loop.create_future()
        self._work.put((function, answer))
        return cast(T, await answer)

    async def close(self) -> None:
        """End the thread, after what it has been given. Idempotent."""
        self._work.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            self._do(*work)
            del work
        call_soon(self._loop, settle, self._ended, None)

    def _do(self, function: Callable[[], object], answer: asyncio.Future[object]) -> None:
        try:
            result, error = function(), None
        except Exception as raised:
            result, error = None, raised
        call_soon(self._loop, settle, answer, result, error)


def _started(run: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=run, name=name, daemon=True)
    # The size holds for all threads that are started meanwhile: a few get more than they need.
    with _size:
        before = threading.stack_size(STACK_BYTES)
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    return thread
