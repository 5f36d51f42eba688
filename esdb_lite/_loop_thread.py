"""A thread with an event loop of its own, on which something runs until it is stopped.

Owns: starting the thread, bringing errors to the caller, running coroutines on it. Must not know: what runs there.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")

_PATIENCE = 30.0
_LOOK_AGAIN = 1.0


class LoopThread:
    """Runs `begin`, then waits for `ended`; both on a new event loop in a new thread."""

    def __init__(self, name: str, begin: Callable[[], Awaitable[None]], ended: Callable[[], Awaitable[None]]) -> None:
        self._begin = begin
        self._ended = ended
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start_and_wait(self) -> None:
        """Start; returns when `begin` is done. Raises what it raises."""
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def stop_and_wait(self, stop: Callable[[], None]) -> None:
        """Call a function on the loop that makes `ended` return, and wait for the end of the thread."""
        loop = self._loop
        if loop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop has been closed just now
                loop.call_soon_threadsafe(stop)
        self._thread.join(_PATIENCE)

    def call(self, function: Callable[[], Coroutine[object, object, T]]) -> T:
        """Run a coroutine function on the loop; return its result. Raises RuntimeError when the loop has ended."""
        if self._thread is threading.current_thread():
            raise RuntimeError("this thread runs the event loop that would have to be waited for")
        if self._loop is None or not self._thread.is_alive():
            raise RuntimeError("it has been stopped")
        result: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._loop.call_soon_threadsafe(self._begin_call, function, result)
        while True:
            with contextlib.suppress(concurrent.futures.TimeoutError):
                return result.result(_LOOK_AGAIN)
            if not self._thread.is_alive():
                raise RuntimeError("it has been stopped")

    @staticmethod
    def _begin_call(function: Callable[[], Coroutine[object, object, T]], result: concurrent.futures.Future[T]) -> None:
        async def run() -> None:
            try:
                result.set_result(await function())
            except BaseException as error:
                result.set_exception(error)

        task = asyncio.ensure_future(run())
        task.add_done_callback(lambda _: None)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._begin()
        self._ready.set()
        await self._ended()
