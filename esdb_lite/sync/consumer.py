"""Consumers that remember where they are, for code without asyncio.

Owns: `Consumer`, which calls handler and store on the thread that runs it.
Must not know: in which order things are done (`client.consumers.steps`), how events come.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from esdb_lite import observing
from esdb_lite._checks import Seconds, checked_bool
from esdb_lite._stepping import drive, make
from esdb_lite.client.consumers.awaiting import Awaited
from esdb_lite.client.consumers.consumer import ConsumerFeed
from esdb_lite.client.consumers.face import ConsumerFace
from esdb_lite.client.consumers.routing import EventRoutes, checked_routed, checked_routes
from esdb_lite.client.consumers.settings import ConsumerSettings, checked_forgetting
from esdb_lite.client.consumers.steps import Store, not_let_go
from esdb_lite.client.face import shortening
from esdb_lite.consumers import BatchHandler, EventHandler, WrittenLike
from esdb_lite.errors import ClientClosed, EsdbClientException

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
        run: Callable[..., Any] = portal.run
        self.open = partial(run, feed.open)
        """Subscribe after a position."""
        self.next = partial(run, feed.next)
        """Return what has arrived; [] after so many seconds, and when the consumer is to end."""
        self.known_end = partial(run, feed.known_end)
        """Return the last position of the stream, as far as it is known."""
        self.pause = partial(run, feed.pause)
        """Wait, unless the consumer is to end."""
        self.last_selected = partial(run, feed.last_selected)
        """Return where the last event is that is consumed, up to a place in all events."""

    @property
    def stopping(self) -> bool:
        """Whether the consumer is to end."""
        return self._feed.stopping

    def close(self) -> None:
        """End the subscription."""
        with suppress(ClientClosed):
            self._portal.run(self._feed.close)


class Consumer(ConsumerFace):
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
        super().__init__(feed, settings, store, EventRoutes(handler, feed.types, _nothing))
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0
        """Of the process in which it runs."""
        self._ended = threading.Event()
        self._change = threading.Condition()

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
        consumer leaves out the event there, the last one before it counts. A consumer of one stream has nothing to wait
        for where another one was written; but of links that a system projection writes (`$ce-`, `$et-` ...) it waits
        for the projection, and then for its links: that needs the right to ask for projections. With `resolve_links`,
        results of other streams than the consumer's are refused otherwise: pass the position of a link. The consumer
        must run in another thread. Raises DeadlineExceeded after `timeout` seconds (default: none), what the consumer
        has ended with, and ProjectionNotFound or ProjectionFailed where links will not come.
        """
        awaited = self._awaited(result, timeout)
        while not self._came_to(awaited):
            self._check_in_time(awaited)
            if awaited.due:
                self._look_for(awaited)

    def _came_to(self, awaited: Awaited) -> bool:
        """Wait until the consumer has come to a place; False where it has not in time."""
        with self._change:
            return self._change.wait_for(lambda: self._reached(awaited), awaited.patience())

    def _look_for(self, awaited: Awaited) -> None:
        assert awaited.place is not None
        try:
            awaited.found(self._feed.last_selected(awaited.place, awaited.deadline.remaining()))
        except EsdbClientException as error:  # the consumer comes there, or will say what is wrong
            awaited.not_found(error)

    @property
    def _has_ended(self) -> bool:
        return self._ended.is_set()

    def _tell(self) -> None:
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
