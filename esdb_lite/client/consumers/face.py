"""What the consumers of both clients have in common.

Owns: how far a consumer has come, as it tells, and whom it tells that a place is reached. Must not know: how it runs,
how one waits: on an event loop, or on a thread.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from esdb_lite.client.arguments import checked_timeout
from esdb_lite.client.consumers.awaiting import Awaited
from esdb_lite.client.consumers.routing import EventRoutes
from esdb_lite.client.consumers.settings import ConsumerSettings, checked_place
from esdb_lite.client.consumers.steps import ConsumerSource, Consumption, Store
from esdb_lite.consumers import ConsumerProgress, WrittenLike
from esdb_lite.errors import CheckpointMismatch, ClientClosed, DeadlineExceeded

if TYPE_CHECKING:
    from esdb_lite._checks import Seconds


class ConsumerFace:
    """A consumer of either client."""

    def __init__(self, source: ConsumerSource, settings: ConsumerSettings, store: Store, routes: EventRoutes) -> None:
        self._settings = settings
        self._store = store
        self._routes = routes
        self._consumption = Consumption(settings.options, store, self._handle, source)
        self._consumption.moved = self._tell

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._consumption}>"

    @property
    def progress(self) -> ConsumerProgress:
        """How far the consumer has come: positions, rate, lag."""
        return self._consumption.tracker.progress(time.monotonic(), datetime.now(timezone.utc))

    def _handle(self, events: Any) -> object:
        raise AssertionError("each client says how it handles events")

    def _tell(self) -> None:
        """Wake those who wait for the consumer."""
        raise AssertionError("each client says how it wakes those who wait")

    @property
    def _has_ended(self) -> bool:
        raise AssertionError("each client says when it has ended")

    def _awaited(self, result: WrittenLike, timeout: Seconds | None) -> Awaited:
        written, seconds = checked_place(result, self._settings), checked_timeout(timeout)
        return Awaited(written, seconds, of_stream=self._settings.stream_name is not None)

    def _reached(self, awaited: Awaited) -> bool:
        """Whether it has come there, or there is nothing to wait for. Raises what it has ended with, if it has not."""
        place, failure = awaited.place, self._consumption.failure
        if isinstance(failure, CheckpointMismatch):
            raise failure  # what it has come to is not of this database
        in_all = self._settings.stream_name is None
        if place is None or (not awaited.elsewhere and self._consumption.tracker.reached(place, in_all=in_all)):
            return True
        if self._has_ended:
            if isinstance(failure, Exception):  # what ends the consumer's thread, or task, does not end that of others
                raise failure
            raise ClientClosed(f"the consumer ended before it came to {place}") from failure
        return False

    def _check_in_time(self, awaited: Awaited) -> None:
        if awaited.deadline.passed:
            raise DeadlineExceeded(
                f"the consumer did not come to {awaited.asked} within {awaited.deadline.timeout:g} seconds", sent=False
            ) from awaited.held_up
