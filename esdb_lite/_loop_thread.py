"""Event loops on threads, and the way for other threads to have something run on one.

Owns: crossing from one thread to a loop and back, whatever becomes of loop and thread meanwhile; starting a thread
with a loop of its own; which loops must not be blocked by who waits for a server. Must not know: what runs there.

No lock is held while anything else is called: a signal handler or a `__del__` may come in between at any place, on the
same thread, and do the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import copy_context
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_PATIENCE = 30.0
# On Windows waiting for a lock cannot be interrupted, so that Ctrl-C would have to wait for the answer.
_WAIT_SECONDS = 0.1 if sys.platform == "win32" else -1.0


class LoopEnded(RuntimeError):
    """The event loop has ended, before it could do what it was asked for or in the middle of it."""


class QuickRun(Protocol[T_co]):
    """Something that needs no task up to its first answer, in the usual case. May be made on any thread.

    All else is called on the loop.
    """

    def begin(self, settled: Callable[[], None]) -> bool:
        """Begin it, if nothing has to be waited for before; then `settled` is called with the first answer."""
        ...

    def result(self) -> T_co | None:
        """Return what the answer was; None where that is not all, so that it has to `go_on`."""
        ...

    def give_up(self) -> None:
        """Nobody waits for it any more; in place of `result` or `go_on`, also before it has begun."""
        ...

    async def go_on(self) -> T_co:
        """Bring it to its end, whatever it takes."""
        ...


class _LoopCall(Generic[T]):
    """One call of an asynchronous function, from the thread that wants it to the loop and back."""

    def __init__(self, function: Callable[[], Coroutine[Any, Any, T]], calls: LoopCalls) -> None:
        self._function = function  # its coroutine is made on the loop: until then there is nothing to close
        self._calls = calls
        self._task: asyncio.Task[None] | None = None
        self._finished = threading.Lock()
        self._finished.acquire()
        self._given_up = False
        self._begun = False
        self._result: list[T] = []
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin, on the loop."""
        if not self._given_up:
            self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        if self._given_up:
            return
        self._begun = True
        # It says itself that it is done: what a task calls when it is done comes a turn of the loop later.
        try:
            self._result.append(await self._function())
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # it is for the waiter, and must not end the loop
            self._error = error
        finally:
            self._end()

    def cancel(self) -> None:
        """Give it up, on the loop."""
        # A task that is cancelled before its first step would never come to the coroutine, nor to its own end.
        if self._begun and self._task is not None:
            self._task.cancel()
        else:
            self.abandon()

    def abandon(self) -> None:
        """Let the thread go on that wants it, although there will be no result."""
        self._given_up = True
        self._end()

    def _end(self) -> None:
        self._calls.under_way.discard(self)
        if self._calls.silent:
            return
        try:  # noqa: SIM105 - quicker
            self._finished.release()
        except RuntimeError:  # it was done before
            pass

    def wait(self, patience: float | None) -> bool:
        """Wait for the end, in the thread that wants it; False when it does not come within so many seconds."""
        if patience is not None:
            return self._finished.acquire(timeout=patience)
        while not self._finished.acquire(timeout=_WAIT_SECONDS):
            pass
        return True

    def result(self) -> T:
        """Return what has come of it."""
        if self._result:
            return self._result[0]
        error, self._error = self._error, None
        if error is None:
            raise LoopEnded("the event loop has ended")
        try:
            raise error
        finally:
            del error  # it knows this frame


class _QuickLoopCall(_LoopCall[T]):
    """One that needs no task up to its first answer, in the usual case."""

    def __init__(self, quick: QuickRun[T], calls: LoopCalls) -> None:
        super().__init__(quick.go_on, calls)
        self._quick = quick
        self._context = copy_context()  # an answer comes in that of the connection

    def start(self) -> None:
        """Begin, on the loop."""
        if self._given_up:
            return
        try:
            if not self._quick.begin(self._settled):
                super().start()
        except BaseException as error:  # it is for the waiter, and must not end the loop
            self._error = error
            self._end()

    def _settled(self) -> None:
        result = self._quick.result()
        if result is None:
            self._context.run(super().start)
        else:
            self._result.append(result)
            self._end()

    def cancel(self) -> None:
        """Give it up, on the loop."""
        if not self._begun and not self._result:
            self._quick.give_up()
        super().cancel()


class LoopCalls:
    """Calls asynchronous functions on one event loop for other threads, which wait for the results."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = 0
        self._ended = False
        self.under_way: set[_LoopCall[Any]] = set()
        """The calls that have begun or are about to."""
        self.silent = False
        """Whether nobody is told any more: the program ends, and threads that wait still are to end with it."""

    def here(self) -> LoopCalls:
        """Say that the loop runs on the thread that calls this. Returns the object itself."""
        self._thread = threading.get_ident()
        return self

    @property
    def inside(self) -> bool:
        """True on the thread of the loop."""
        return threading.get_ident() == self._thread

    def run(self, function: Callable[[], Coroutine[Any, Any, T]], *, patience: float | None = None) -> T:
        """Call a function on the loop, and return its result. Ctrl-C, and the end of patience, cancel it.

        Raises LoopEnded, TimeoutError when there is no result within `patience` seconds, RuntimeError on the thread of
        the loop.
        """
        return self._result_of(_LoopCall(function, self), patience)

    def run_quick(self, quick: QuickRun[T], *, patience: float | None = None) -> T:
        """Run something on the loop, and return its result. Ctrl-C, and the end of patience, give it up.

        Raises what `run` raises.
        """
        return self._result_of(_QuickLoopCall(quick, self), patience)

    def _result_of(self, call: _LoopCall[T], patience: float | None) -> T:
        try:
            self._submit(call)
            in_time = call.wait(patience)
        except BaseException:
            self._cancel(call)
            raise
        if not in_time:
            self._cancel(call)
            raise TimeoutError(f"the event loop has not answered within {patience:g} seconds")
        return call.result()

    def post(self, callback: Callable[[], object]) -> None:
        """Have something called on the loop soon, without waiting for it; nothing happens where the loop has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)

    def end(self) -> None:
        """Let go all who wait. On the thread of the loop, when nothing runs there any more."""
        self._ended = True
        for call in list(self.under_way):
            call.abandon()

    def _submit(self, call: _LoopCall[Any]) -> None:
        if self.inside:
            raise RuntimeError("this thread runs the event loop that would have to be waited for")
        self.under_way.add(call)
        try:
            self._loop.call_soon_threadsafe(call.start)
        except RuntimeError:
            raise LoopEnded("the event loop has ended") from None
        # `end` sets the mark before it looks for waiters, and this one waits before it looks at the mark
        if self._ended:
            call.abandon()

    def _cancel(self, call: _LoopCall[Any]) -> None:
        try:
            self._loop.call_soon_threadsafe(call.cancel)
        except RuntimeError:
            call.abandon()


_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_EVERYWHERE = frozenset(("0.0.0.0", "::", ""))

_served: WeakKeyDictionary[asyncio.AbstractEventLoop, set[tuple[str, int]]] = WeakKeyDictionary()


def serve_on(loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
    """Take note that a server answers on this loop: a thread that blocks it must not wait for the server."""
    with contextlib.suppress(TypeError):  # a loop that cannot be referred to weakly
        _served.setdefault(loop, set()).add((host, port))


def serve_no_more(loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
    """Take note that the server has stopped. Idempotent."""
    with contextlib.suppress(TypeError):
        _served.get(loop, set()).discard((host, port))


def serves(loop: asyncio.AbstractEventLoop, addresses: Iterable[tuple[str, int]]) -> bool:
    """Return whether a server at one of these addresses answers on this loop."""
    try:
        served = _served.get(loop, ())
    except TypeError:
        return False
    return any(
        port == its_port and (host == its_host or (host in _LOOPBACK and its_host in _LOOPBACK | _EVERYWHERE))
        for host, port in addresses
        for its_host, its_port in served
    )


class LoopThread:
    """Runs `begin`, then waits for `ended`; both on a new event loop in a new thread."""

    def __init__(self, name: str, begin: Callable[[], Awaitable[None]], ended: Callable[[], Awaitable[None]]) -> None:
        self._begin = begin
        self._ended = ended
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._calls: LoopCalls | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start_and_wait(self) -> LoopThread:
        """Start; returns the object itself when `begin` is done. Raises what that raises."""
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self

    def stop_and_wait(self, stop: Callable[[], None]) -> None:
        """Call a function on the loop that makes `ended` return, and wait for the end of the thread."""
        if self._calls is not None:
            self._calls.post(stop)
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        calls = self._calls = LoopCalls(asyncio.get_running_loop()).here()
        try:
            await self._begin()
            self._ready.set()
            await self._ended()
        finally:
            calls.end()
