"""An event loop on a thread of its own for a client without asyncio.

Owns: starting and ending that thread, and what a call hears that comes from where it would never end.
Must not know: what is run; how calls cross the threads (`esdb_lite._loop_thread`).

No lock is held anywhere: a signal handler, or the `__del__` of somebody's object, may come in between at any place.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from asyncio import _get_running_loop  # documented, and quicker than an exception with each call
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from esdb_lite._loop_thread import LoopCalls, LoopEnded, QuickRun, serves
from esdb_lite.client.face import short
from esdb_lite.errors import ClientClosed, EsdbClientException, WrongContext

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("esdb_lite.client")

_JOIN_SECONDS = 5.0


class Portal:
    """An event loop on a thread of its own. Belongs to the process that has made it."""

    def __init__(
        self, name: str, last: Callable[[], Coroutine[Any, Any, None]], addresses: Iterable[tuple[str, int]] = ()
    ) -> None:
        """`last` is run when the loop is to end. The thread begins with the first call.

        `addresses` are where servers are that calls wait for.
        """
        self.pid = os.getpid()
        self._addresses = tuple(addresses)
        self._name = name
        self._last = last
        self._ended = False
        self._stopping = False
        self._failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._calls = LoopCalls(self._loop)
        self._claims = [True]  # the one who takes it runs the loop, or makes sure that nobody does
        self._thread: threading.Thread | None = None

    def run(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Have an asynchronous function called on the loop, and return its result. Ctrl-C cancels it."""
        calls = self._running()
        try:
            return calls.run(lambda: function(*args, **kwargs))
        except LoopEnded:
            raise self._closed() from None
        except EsdbClientException as error:
            raise short(error)  # noqa: B904 - it is the same exception

    def run_quick(self, quick: QuickRun[T]) -> T:
        """Have something run on the loop, and return its result. Ctrl-C gives it up."""
        calls = self._running()
        try:
            return calls.run_quick(quick)
        except LoopEnded:
            raise self._closed() from None
        except EsdbClientException as error:
            raise short(error)  # noqa: B904 - it is the same exception

    def _running(self) -> LoopCalls:
        self._check()
        if self._thread is None:
            self._start()
        return self._calls

    def post(self, callback: Callable[[], object]) -> None:
        """Have something called on the loop soon, without waiting for it. Does nothing when the loop has ended."""
        if self.pid == os.getpid():
            self._calls.post(callback)

    def close(self, *, silent: bool = False) -> None:
        """Run what is last, end the loop, wait for its thread. Idempotent; does nothing in a forked process.

        `silent`: threads that wait are not woken, because the program ends.
        """
        if self.pid != os.getpid():
            return
        self._calls.silent = silent
        self._ended = True
        if self._claim():
            self._end()
            return
        self._calls.post(self._stop)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_SECONDS)

    def _start(self) -> None:
        """See to it that the loop runs. May be called again, also in the middle of itself."""
        if self._claims:
            # A daemon, so that a program that has forgotten to close its client can end; `close` is called at its exit.
            threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _claim(self) -> bool:
        try:
            return self._claims.pop()
        except IndexError:
            return False

    def _check(self) -> None:
        if self.pid != os.getpid():
            raise WrongContext("it was made in the process from which this one was forked: make another one here")
        if self._thread is threading.current_thread():
            raise WrongContext(
                "the client cannot be used on the thread of its own event loop: that thread would wait for itself"
            )
        if self._ended:
            raise self._closed()
        running = _get_running_loop()
        if running is not None and serves(running, self._addresses):
            raise WrongContext(
                "this thread runs the event loop on which the server answers, and would wait for itself: "
                "use AsyncEsdbClient, or start the server with `with` instead of `async with`"
            )

    def _closed(self) -> ClientClosed | WrongContext:
        if self._failure is None:
            return ClientClosed("the client is closed")
        return WrongContext(f"the event loop of the client cannot run: {self._failure}")

    # --- on the thread ---

    def _run(self) -> None:
        if not self._claim():
            return
        self._thread = threading.current_thread()
        self._calls.here()
        try:
            asyncio.set_event_loop(self._loop)
            self._run_loop()
            self._finish()
            asyncio.set_event_loop(None)
        except BaseException as error:
            self._failure = error
            _log.error("the event loop of the client has ended: %s", error)
        finally:
            self._end()

    def _run_loop(self) -> None:
        """Run the loop until it is stopped: what somebody else's code raises in it is no reason to end."""
        while not self._stopping:
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                _log.warning("%s was raised on the event loop of the client, which goes on", type(error).__name__)

    def _stop(self) -> None:
        self._stopping = True
        self._loop.stop()

    def _finish(self) -> None:
        """Run what is last, cancel what still runs, and let it end."""
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
        loop.run_until_complete(loop.shutdown_asyncgens())

    def _end(self) -> None:
        self._ended = True
        self._calls.end()
        self._loop.close()


class SharedPortal:
    """One client's part of a portal that all clients of the process share.

    For programs whose threads are greenlets (gevent, eventlet): these are all one thread to asyncio, on which only one
    loop can run.
    """

    _host: Portal | None = None

    def __init__(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """`last` is run when the client is to end."""
        self.pid = os.getpid()
        self._last = last
        self._ended = False

    def run(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Have an asynchronous function called on the loop, and return its result."""
        return self._open_portal().run(function, *args, **kwargs)

    def run_quick(self, quick: QuickRun[T]) -> T:
        """Have something run on the loop, and return its result."""
        return self._open_portal().run_quick(quick)

    def post(self, callback: Callable[[], object]) -> None:
        """Have something called on the loop soon, without waiting for it."""
        self._portal().post(callback)

    def close(self, *, silent: bool = False) -> None:
        """Run what is last; the loop goes on for others. Idempotent; does nothing in a forked process."""
        if self.pid == os.getpid() and not self._ended:
            self._ended = True
            with suppress(ClientClosed, WrongContext):
                self._portal().run(self._last)

    def _open_portal(self) -> Portal:
        if self._ended:
            raise ClientClosed("the client is closed")
        return self._portal()

    def _portal(self) -> Portal:
        host = SharedPortal._host
        if host is None or host.pid != os.getpid():
            host = SharedPortal._host = Portal("esdb-lite", _nothing)
        return host


async def _nothing() -> None:
    pass


def threads_are_greenlets() -> bool:
    """Return whether this program has made greenlets of its threads."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if gevent is not None and gevent.is_module_patched("threading"):
        return True
    return eventlet is not None and bool(eventlet.is_monkey_patched("thread"))
