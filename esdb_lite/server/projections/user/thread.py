"""A thread for one script: an engine's script is used in the thread that opened it, and in no other.

Owns: handing work over and results back to the event loop. Must not know: what the work is.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import TypeVar, cast

from esdb_lite._texts import printable
from esdb_lite.server.database.threads import call_soon, settle

T = TypeVar("T")

log = logging.getLogger("esdb_lite.server")
_PATIENCE = 5.0
"""Seconds for a script to come to its end. An engine looks at the time now and then only: where each step of a script
takes all the memory that it may have, that can be minutes."""

STACK_BYTES = 4 * 1024 * 1024
"""Some systems give threads less than what an engine takes for its own limit of depth."""
_size = threading.Lock()


class ScriptAbandoned(Exception):
    """Nobody waits for the script any more."""


class ScriptThread:
    """Runs one function after another. Made on the loop that gets the results."""

    patience = _PATIENCE
    """Seconds that others wait before they abandon it."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._work: queue.SimpleQueue[tuple[Callable[[], object], asyncio.Future[object]] | None] = queue.SimpleQueue()
        self._ended: asyncio.Future[object] = self._loop.create_future()
        self._abandoned = False
        self._waiting: set[asyncio.Future[object]] = set()
        self._thread = _started(self._run, f"esdb-lite projection {name}")

    async def run(self, function: Callable[[], T]) -> T:
        """Run a function; answers what it returns or raises. Cancelled, it comes to its end unheard."""
        if self._abandoned:
            raise ScriptAbandoned
        answer: asyncio.Future[object] = self._loop.create_future()
        self._waiting.add(answer)
        self._work.put((function, answer))
        try:
            return cast(T, await answer)
        finally:
            self._waiting.discard(answer)

    async def close(self) -> None:
        """End the thread, after what it has been given; or leave it to itself, if that does not end. Idempotent."""
        if self._abandoned:
            return
        self._work.put(None)
        await asyncio.wait({self._ended}, timeout=_PATIENCE)
        if self._ended.done():
            self._thread.join()
        else:
            self.abandon()

    def abandon(self) -> None:
        """Wait no more for what it does: who does gets ScriptAbandoned. Its thread ends with that. Idempotent."""
        if not self._abandoned:
            self._abandoned = True
            self._work.put(None)
            log.warning("%s: a script does not come to its end, and is left to itself", printable(self._thread.name))
            for answer in list(self._waiting):
                settle(answer, None, ScriptAbandoned())

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
