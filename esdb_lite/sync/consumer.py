"""Consumers that remember where they are, for code without asyncio.

Owns: `Consumer`, which calls handler and store on the thread that runs it.
Must not know: in which order things are done (`client.consumers.steps`), how events come.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import datetime, timezone
from types import TracebackType
from typing import TYPE_CHECKING

from esdb_lite.client.consumers.consumer import ConsumerFeed
from esdb_lite.client.consumers.settings import ConsumerSettings
from esdb_lite.client.consumers.steps import Consumption, Steps, Store, not_let_go
from esdb_lite.consumers import ConsumerPosition, ConsumerProgress, EventHandler
from esdb_lite.errors import ClientClosed

if TYPE_CHECKING:
    from typing_extensions import Self

    from esdb_lite.sync.portal import Portal, SharedPortal


class BlockingFeed:
    """A feed for the thread of a consumer."""

    def __init__(self, portal: Portal | SharedPortal, feed: ConsumerFeed) -> None:
        self._portal = portal
        self._feed = feed
        self.stop = feed.stop

    @property
    def stopping(self) -> bool:
        """Whether the consumer is to end."""
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
    """Runs a handler over all events, or those of a stream, from where the checkpoint says. See `client.consumer()`.

    It runs once, by `run()`, and ends with `stop()`, with Ctrl-C, or with an error. Leaving `with` stops it, and
    waits until it has ended.
    """

    def __init__(
        self, owner: object, feed: BlockingFeed, settings: ConsumerSettings, store: Store, handler: EventHandler
    ) -> None:
        self._owner = owner  # the client must not be dropped, which would close it, while it is used
        self._feed = feed
        self._consumption = Consumption(settings.options, store, handler, feed)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._consumption}>"

    @property
    def progress(self) -> ConsumerProgress:
        """How far the consumer has come: positions, rate, lag."""
        return self._consumption.tracker.progress(time.monotonic(), datetime.now(timezone.utc))

    def run(self) -> None:
        """Handle events until `stop()`; raises the handler's exception unchanged.

        Handler and store are called on the thread that calls this. Ctrl-C ends it at once, as a crash would: only what
        is stored counts. Raises CheckpointError if the position cannot be loaded or stored, ClientClosed if it ran
        before, and what a subscription raises.
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
                    self._let_go()
                finally:
                    self._ended.set()
        if self._consumption.failure is not None:
            raise self._consumption.failure

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
