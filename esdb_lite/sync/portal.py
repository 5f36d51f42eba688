"""An event loop on a thread of its own, and the way for other threads to have coroutines run there.

Owns: starting and ending that thread, waiting for results so that Ctrl-C works, and refusing what would never end.
Must not know: what is run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

from esdb_lite.errors import ClientClosed, WrongContext

T = TypeVar("T")

_log = logging.getLogger("esdb_lite.client")

_JOIN_SECONDS = 5.0
# On Windows waiting for a lock cannot be interrupted, so that Ctrl-C would have to wait for the answer.
_WAIT_SECONDS = 0.1 if sys.platform == "win32" else -1


class _PortalCall(Generic[T]):
    """One coroutine, from the thread that wants it to the loop and back."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], running: set[_PortalCall[Any]]) -> None:
        """It is in `running` from its beginning on the loop to its end."""
        self._coroutine = coroutine
        self._running = running
        self._task: asyncio.Task[None] | None = None
        self._finished = threading.Lock()
        self._finished.acquire()
        self._cancelled = False
        self._result: list[T] = []
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin, on the loop."""
        self._running.add(self)
        self._task = asyncio.ensure_future(self._run())
        if self._cancelled:
            self._task.cancel()

    async def _run(self) -> None:
        # It says itself that it is done: what a task calls when it is done comes a turn of the loop later.
        try:
            self._result.append(await self._coroutine)
        except Exception as error:
            self._error = error  # whoever waits raises it; after Ctrl-C nobody waits
        finally:
            self._running.discard(self)
            self._finished.release()

    def abandon(self) -> None:
        """Let the thread that wants it go on, although it has never run: it was cancelled before it could."""
        self._coroutine.close()
        self._finished.release()

    def cancel(self) -> None:
        """Give it up, on the loop."""
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    def wait(self) -> None:
        """Wait for the end, in the thread that wants it."""
        while not self._finished.acquire(timeout=_WAIT_SECONDS):
            pass

    def result(self) -> T:
        """Return what has come of it."""
        if self._result:
            return self._result[0]
        error, self._error = self._error, None
        if error is None:
            raise ClientClosed("the client was closed")
        try:
            raise error
        finally:
            del error  # it knows this frame


class Portal:
    """A running event loop on a thread of its own. Belongs to the process that has made it."""

    def __init__(self, name: str, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """`last` is run when the loop is to end."""
        self.pid = os.getpid()
        self._last = last
        self._ended = False
        self._running: set[_PortalCall[Any]] = set()
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        # A daemon, so that a program that has forgotten to close its client can end; `close` is called at its exit.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Have a coroutine run on the loop, and return its result. Ctrl-C cancels it."""
        job = _PortalCall(coroutine, self._running)
        try:
            self._submit(job)
        except BaseException:
            coroutine.close()
            raise
        try:
            job.wait()
        except BaseException:
            with suppress(RuntimeError):  # the loop is closed by now
                self._loop.call_soon_threadsafe(job.cancel)
            raise
        return job.result()

    def post(self, callback: Callable[[], object]) -> None:
        """Have something called on the loop soon, without waiting for it. Does nothing when the loop has ended."""
        if self.pid == os.getpid():
            with self._lock:
                if not self._ended:
                    self._loop.call_soon_threadsafe(callback)

    def close(self) -> None:
        """Run what is last, end the loop, wait for its thread. May be repeated; does nothing in a forked process."""
        if self.pid != os.getpid():
            return
        with self._lock:
            if not self._ended:
                self._ended = True
                self._loop.call_soon_threadsafe(self._loop.stop)
        if not self.inside:
            self._thread.join(_JOIN_SECONDS)

    @property
    def inside(self) -> bool:
        """True on the thread of the loop."""
        return threading.current_thread() is self._thread

    def _submit(self, job: _PortalCall[Any]) -> None:
        if self.pid != os.getpid():
            raise WrongContext("it belongs to the process from which this one was forked")
        if self.inside:
            raise WrongContext(
                "the client cannot be used on the thread of its own event loop, which would wait for itself"
            )
        with self._lock:
            if self._ended:
                raise ClientClosed("the client is closed")
            self._loop.call_soon_threadsafe(job.start)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._finish()

    def _finish(self) -> None:
        """Run what is last, cancel what still runs, let it end, and close the loop."""
        loop = self._loop
        try:
            loop.run_until_complete(asyncio.wait_for(self._last(), _JOIN_SECONDS))
        except Exception:
            _log.exception("closing failed")
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=_JOIN_SECONDS))
        for job in [*self._running]:
            job.abandon()
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()
