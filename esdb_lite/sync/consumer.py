"""Consumers that remember where they are, for code without asyncio.

Owns: `Consumer`, which calls handler and store on the thread that runs it.
Must not know: in which order things are done (`client.consumers.steps`), how events come.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from esdb_lite import observing
from esdb_lite._checks import Seconds, checked_bool
from esdb_lite._stepping import drive, make
from esdb_lite.client.arguments import checked_timeout
from esdb_lite.client.consumers.awaiting import Awaited
from esdb_lite.client.consumers.consumer import ConsumerFeed
from esdb_lite.client.consumers.routing import EventRoutes, checked_routed, checked_routes
from esdb_lite.client.consumers.settings import ConsumerSettings, checked_forgetting, checked_place
from esdb_lite.client.consumers.steps import Consumption, Store, not_let_go
from esdb_lite.client.face import shortening
from esdb_lite.consumers import BatchHandler, ConsumerPosition, ConsumerProgress, EventHandler, WrittenLike
from esdb_lite.errors import ClientClosed, DeadlineExceeded, EsdbClientException

if TYPE_CHECKING:
    from typing_extensions import Self

    from esdb_lite.sync.portal import Portal, SharedPortal


H = TypeVar("H", bound=Callable[..., object])


class BlockingFeed:
    """A feed for the thread of a consumer."""

    def __init__(self, portal: Portal | SharedPortal, feed: ConsumerFeed) -> None:
        self._portal = portal
        self._feed = feed
        self.types = feed.types
        self.stop = feed.stop

    @property
    def stopping(self) -> bool:
        """Whether the consumer is to end."""
        return self._feed.stopping

    def open(self, position: ConsumerPosition | None) -> object:
        """Subscribe after a position."""
        return self._portal.run(self._feed.open, position)

    def next(self, timeout: float | None) -> object:
        """Return what has arrived; [] after so many seconds, and when the consumer is to end."""
        return self._portal.run(self._feed.next, timeout)

    def known_end(self) -> object:
        """Return the last position of the stream, as far as it is known."""
        return self._portal.run(self._feed.known_end)

    def pause(self, seconds: float) -> object:
        """Wait, unless the consumer is to end."""
        return self._portal.run(self._feed.pause, seconds)

    def last_selected(self, place: int, timeout: float | None) -> int | None:
        """Return where the last event is that is consumed, up to a place in all events."""
        return self._portal.run(self._feed.last_selected, place, timeout)

    def close(self) -> None:
        """End the subscription."""
        with suppress(ClientClosed):
            self._portal.run(self._feed.close)


class Consumer:
    """Runs a handler over all events, or those of a stream, from where the checkpoint says. See `client.consumer()`.

    It runs once, by `run()`, and ends with `stop()`, with Ctrl-C, or with an error. Leaving `with` stops it, and
    waits until it has ended; in a process that was forked while it ran, that does nothing.
    """

    def __init__(
        self,
        owner: object,
        feed: BlockingFeed,
        settings: ConsumerSettings,
        store: Store,
        handler: EventHandler | BatchHandler | None,
    ) -> None:
        self._owner = owner  # the client must not be dropped, which would close it, while it is used
        self._feed = feed
        self._settings = settings
        self._store = store
        self._routes = EventRoutes(handler, feed.types, _nothing)
        self._consumption = Consumption(settings.options, store, self._handle, feed)
        self._consumption.moved = self._tell
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0
        """Of the process in which it runs."""
        self._ended = threading.Event()
        self._change = threading.Condition()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._consumption}>"

    @property
    def progress(self) -> ConsumerProgress:
        """How far the consumer has come: positions, rate, lag."""
        return self._consumption.tracker.progress(time.monotonic(), datetime.now(timezone.utc))

    def on(self, what: str | type) -> Callable[[H], H]:
        """Decorator: the function handles events of a type; or, for a class, the objects of that class.

        `what` is a type of events, or a class that the client's `event_types` have: its function gets `event.value`.
        Events that no function is for go to the consumer's `handler`, or are left out where there is none. For
        consumers with a `batch_size` of 1. Raises InvalidArgument, WrongArgumentType.
        """
        checked_routes(self._settings)
        return partial(self._routes.add, what)

    @shortening
    def run(self, *, until_caught_up: bool = False) -> None:
        """Handle events until `stop()`; raises the handler's exception unchanged.

        With `until_caught_up` it ends when everything that was stored is handled (servers before 23.10: streams only).
        Handler and store are called on the thread that calls this. Ctrl-C ends it at once, as a crash would: only what
        is stored counts. Raises CheckpointError if the position cannot be loaded or stored, ClientClosed if it ran
        before, and what a subscription raises.
        """
        self._consumption.until_caught_up = checked_bool("until_caught_up", until_caught_up)
        checked_routed(self._routes)
        with self._lock:
            self._check_unused()
            self._thread, self._pid = threading.current_thread(), os.getpid()
        try:
            drive(self._consumption.steps(), make)
        finally:
            try:
                self._feed.close()
            finally:
                try:
                    self._let_go()
                finally:
                    self._ended.set()
                    self._tell()
        if self._consumption.failure is not None:
            raise self._consumption.failure

    def rebuild(self, clear: Callable[[], object] | None = None) -> None:
        """Forget how far the consumer has come, so that `run()` begins anew.

        `clear` empties what its handler has made. With a store that has transactions both are one. Raises
        InvalidArgument for a store without `forget()`, ClientClosed when the consumer runs or has run,
        CheckpointError.
        """
        checked_forgetting(self._store, clear)
        with self._lock:
            self._check_unused()
            try:
                drive(self._consumption.rebuilding(clear), make)
            finally:
                self._let_go()

    def wait_for(self, result: WrittenLike, *, timeout: Seconds | None = None) -> None:
        """Wait until the consumer has handled what was written, so that it can be seen.

        `result` is what an append or a decision has returned, or a position of what the consumer consumes. Where the
        consumer leaves out the event there, the last one before it counts. A consumer of one stream takes it for one in
        that stream: it does not notice the result of another stream. The consumer must run in another thread. Raises
        DeadlineExceeded after `timeout` seconds (default: none), and what the consumer has ended with.
        """
        place, seconds = checked_place(result, self._settings.stream_name), checked_timeout(timeout)
        awaited = Awaited(place, seconds, of_stream=self._settings.stream_name is not None)
        while awaited.place is not None and not self._came_to(awaited.place, awaited.patience()):
            if awaited.deadline.passed:
                raise DeadlineExceeded(f"the consumer did not come to {place} within {seconds:g} seconds", sent=False)
            if awaited.due:
                self._look_for(awaited)

    def _came_to(self, place: int, timeout: float | None) -> bool:
        """Wait until the consumer has come to a place; False where it has not in time."""
        with self._change:
            return self._change.wait_for(lambda: self._reached(place), timeout)

    def _look_for(self, awaited: Awaited) -> None:
        assert awaited.place is not None
        try:
            awaited.found(self._feed.last_selected(awaited.place, awaited.deadline.remaining()))
        except EsdbClientException:  # the consumer comes there, or will say what is wrong
            awaited.not_found()

    def _reached(self, place: int) -> bool:
        if self._consumption.tracker.reached(place, in_all=self._settings.stream_name is None):
            return True
        if self._ended.is_set():
            raise self._consumption.failure or ClientClosed(f"the consumer ended before it came to {place}")
        return False

    def _tell(self) -> None:
        """Wake those who wait for the consumer."""
        with self._change:
            self._change.notify_all()

    def _check_unused(self) -> None:
        if self._thread is not None:
            raise ClientClosed("a consumer runs once; make another one")

    def _handle(self, events: Any) -> object:
        with observing.handling(self._settings.options.source, events):
            return self._routes(events)

    def _let_go(self) -> None:
        for step in self._consumption.end():
            try:
                step()
            except Exception as error:
                not_let_go(error)

    def stop(self) -> None:
        """End gracefully: the running handler finishes, the position is stored, and `run()` returns.

        May be called from the handler, from other threads, and in the handler of a signal.
        """
        self._feed.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid not in (0, os.getpid()):
            return  # the thread that runs it is in the process from which this one was forked
        self.stop()
        if self._thread not in (None, threading.current_thread()):
            self._ended.wait()


def _nothing() -> None:
    """What is done with an event that nobody wants."""
