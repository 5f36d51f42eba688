"""Consumers that remember where they are, for code without asyncio.

Owns: `Consumer`, which calls handler and store on the thread that runs it, and `ConsumeCalls`, the part of the client
that makes consumers. Must not know: in which order things are done (`client.consumption`), how events come.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timezone
from types import TracebackType
from typing import TYPE_CHECKING

from typing_extensions import Self

from esdb_lite.client.arguments import ResumeFrom, checked_filter, checked_source
from esdb_lite.client.consumer_settings import CheckpointLike, ConsumerSettings, checked_settings, checked_store
from esdb_lite.client.consuming import Feed
from esdb_lite.client.consumption import Consumption, Steps, Store
from esdb_lite.consumers import ConsumerPosition, ConsumerProgress, EventHandler, HandlerError
from esdb_lite.errors import ClientClosed, WrongArgumentType
from esdb_lite.filters import DEFAULT_EXCLUDE, Filter
from esdb_lite.settings import CredentialsLike

if TYPE_CHECKING:
    from esdb_lite.sync._client import _Live
    from esdb_lite.sync.portal import Portal


class _BlockingFeed:
    """A feed for the thread of a consumer."""

    def __init__(self, portal: Portal, feed: Feed) -> None:
        self._portal = portal
        self._feed = feed
        self.stop = feed.stop

    @property
    def stopping(self) -> bool:
        """True when the consumer is to end."""
        return self._feed.stopping

    def open(self, position: ConsumerPosition | None) -> object:
        """Subscribe after a position."""
        return self._portal.run(self._feed.open(position))

    def next(self, timeout: float | None) -> object:
        """Return what has arrived; [] after so many seconds, and when the consumer is to end."""
        return self._portal.run(self._feed.next(timeout))

    def known_end(self) -> object:
        """Return the last position of the stream, as far as it is known."""
        return self._portal.run(self._feed.known_end())

    def pause(self, seconds: float) -> object:
        """Wait, unless the consumer is to end."""
        return self._portal.run(self._feed.pause(seconds))

    def close(self) -> None:
        """End the subscription."""
        with suppress(ClientClosed):
            self._portal.run(self._feed.close())


class Consumer:
    """A handler at work on all events, or those of a stream, from where the checkpoint says.

    Made by `client.consumer()`. It runs once, by `run()`, and ends with `stop()`, with Ctrl-C, or with an error.
    Leaving `with` stops it, too, and waits until it has ended.
    """

    def __init__(
        self, owner: object, feed: _BlockingFeed, settings: ConsumerSettings, store: Store, handler: EventHandler
    ) -> None:
        self._owner = owner  # the client must not be dropped, which would close it, while it is used
        self._feed = feed
        self._consumption = Consumption(settings.options, store, handler, feed)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    @property
    def progress(self) -> ConsumerProgress:
        """How far it has come: positions, rate, lag."""
        return self._consumption.tracker.progress(time.monotonic(), datetime.now(timezone.utc))

    def run(self) -> None:
        """Handle events until `stop()`; raises what the handler has raised, as it is.

        Handler and store are called on the thread that calls this. Ctrl-C ends it at once, as a crash would: only what
        is stored already counts. Raises CheckpointError where the position cannot be loaded or stored, and what a
        subscription raises.
        """
        with self._lock:
            if self._thread is not None:
                raise ClientClosed("a consumer runs once; make another one")
            self._thread = threading.current_thread()
        try:
            _drive(self._consumption.steps())
        finally:
            try:
                self._feed.close()
            finally:
                try:
                    for step in self._consumption.end():
                        step()
                finally:
                    self._ended.set()
        if self._consumption.failure is not None:
            raise self._consumption.failure

    def stop(self) -> None:
        """End gracefully: the handler that runs comes to its end, the position is stored, and `run()` returns.

        May be called from the handler, from other threads, and in the handler of a signal.
        """
        self._feed.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._thread not in (None, threading.current_thread()):
            self._ended.wait()


def _drive(steps: Steps) -> None:
    """Make the calls that a consumption consists of."""
    with suppress(StopIteration):
        step = next(steps)
        while True:
            try:
                result = step()
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(result)


class ConsumeCalls:
    """Consumers that remember where they are."""

    def _live(self) -> _Live:
        raise AssertionError("the client says where it lives")

    def consumer(
        self,
        handler: EventHandler,
        *,
        checkpoint: CheckpointLike,
        stream_name: str | None = None,
        filter_exclude: Iterable[str] = DEFAULT_EXCLUDE,
        filter_include: Iterable[str] = (),
        filter: Filter | None = None,
        position: ResumeFrom = None,
        from_end: bool = False,
        resolve_links: bool = False,
        batch_size: int = 1,
        checkpoint_every: int | None = None,
        checkpoint_interval: float | None = None,
        on_error: HandlerError | None = None,
        retry_pause: float = 1.0,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> Consumer:
        """Make a consumer: an object to run, to stop and to look at, which does what `consume` does.

        The arguments are those of `consume`. Nothing happens before `run()`.
        """
        live = self._live()
        settings = checked_settings(
            stream_name=stream_name,
            chosen=checked_filter(checked_source(stream_name), filter_exclude, filter_include, filter),
            position=position,
            from_end=from_end,
            resolve_links=resolve_links,
            batch_size=batch_size,
            checkpoint_every=checkpoint_every,
            checkpoint_interval=checkpoint_interval,
            on_error=on_error,
            retry_pause=retry_pause,
            timeout=timeout,
            credentials=credentials,
        )
        store = checked_store(checkpoint, settings.options, blocking=True)
        if not callable(handler) or inspect.iscoroutinefunction(handler):
            raise WrongArgumentType("handler", handler, "must be a function, and no coroutine function")
        return Consumer(self, _BlockingFeed(live.portal, Feed(live.client, settings)), settings, store, handler)

    def consume(
        self,
        handler: EventHandler,
        *,
        checkpoint: CheckpointLike,
        stream_name: str | None = None,
        filter_exclude: Iterable[str] = DEFAULT_EXCLUDE,
        filter_include: Iterable[str] = (),
        filter: Filter | None = None,
        position: ResumeFrom = None,
        from_end: bool = False,
        resolve_links: bool = False,
        batch_size: int = 1,
        checkpoint_every: int | None = None,
        checkpoint_interval: float | None = None,
        on_error: HandlerError | None = None,
        retry_pause: float = 1.0,
        timeout: float | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Run a handler for all events (or, with `stream_name`, those of a stream) and remember how far it has come.

        It goes on after the position in `checkpoint`; where there is none yet, after `position`, at the end with
        `from_end`, else at the beginning. Filters and `resolve_links` are those of `subscribe_all_events`. `handler`
        is called on this thread; it gets one event, or with a `batch_size` above 1 a list of what has arrived, up to
        so many, and is called again when it has returned. Runs until Ctrl-C, or until the consumer is stopped (which
        takes `consumer()`); `timeout` limits all of it.

        `checkpoint`: a `FileCheckpoint` (at least once), a `SqliteCheckpoint` or `DbApiCheckpoint` (exactly once,
        in one transaction with what the handler writes), any object with `load()` and `save(position)`, or a pair of
        such functions. The position is stored after every batch; or, where saving is dear, after `checkpoint_every`
        events and every `checkpoint_interval` seconds, and at the end. What a filter passes over moves the position,
        too, which is then stored now and then.

        When the handler raises an exception, the batch is not stored and the exception is raised as it is. `on_error`
        may decide otherwise: it gets event (or batch), exception and number of attempts, and returns an
        `ErrorAction`; retries are `retry_pause` seconds apart, then twice that, and so on, up to a minute.
        Raises CheckpointMismatch where the position is that of another stream or filter, CheckpointConflict,
        CheckpointCorrupt, StreamDeleted.
        """
        self.consumer(
            handler,
            checkpoint=checkpoint,
            stream_name=stream_name,
            filter_exclude=filter_exclude,
            filter_include=filter_include,
            filter=filter,
            position=position,
            from_end=from_end,
            resolve_links=resolve_links,
            batch_size=batch_size,
            checkpoint_every=checkpoint_every,
            checkpoint_interval=checkpoint_interval,
            on_error=on_error,
            retry_pause=retry_pause,
            timeout=timeout,
            credentials=credentials,
        ).run()
