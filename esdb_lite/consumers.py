"""What a consumer that remembers its position says of itself and is told.

Owns: `ConsumerProgress`, `ErrorAction`, and what a position is. Must not know: how events come, how positions are kept.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from esdb_lite.events import Checkpoint, RecordedEvent

ConsumerPosition = int | Checkpoint
"""Up to where events have been handled: a number in a stream, or a `Checkpoint` in all events."""

EventHandler = Callable[[RecordedEvent], object] | Callable[[list[RecordedEvent]], object]
"""A function for one event, or (with a `batch_size` of more than 1) for a list of them."""

AsyncEventHandler = Callable[[RecordedEvent], Awaitable[object]] | Callable[[list[RecordedEvent]], Awaitable[object]]
"""A coroutine function for one event, or (with a `batch_size` of more than 1) for a list of them."""


class ErrorAction(enum.Enum):
    """What a consumer does when its handler has failed."""

    STOP = "stop"
    """End with the exception of the handler. The events come again when a consumer goes on from the checkpoint."""
    SKIP = "skip"
    """Leave the event (or the whole batch) out, and go on after it."""
    RETRY = "retry"
    """Call the handler again with the same events, after a pause."""


HandlerError = (
    Callable[[RecordedEvent, Exception, int], ErrorAction]
    | Callable[[list[RecordedEvent], Exception, int], ErrorAction]
)
"""Decides about a failure: called with what the handler was called with, its exception, and the number of attempts."""


@dataclass(frozen=True)
class ConsumerProgress:
    """How far a consumer has come."""

    position: ConsumerPosition | None
    """Up to where everything has been handled; None: nowhere yet."""
    stored: ConsumerPosition | None
    """The position in the checkpoint store; None: none yet."""
    handled: int
    """How many events this consumer has handled since it began to run."""
    rate: float
    """Events handled per second, smoothed over the last ten seconds or so."""
    lag: float | None
    """Seconds between the time at which the last handled event was recorded and now; 0 when there is nothing left to
    do; None before the first event. It compares two clocks: the server's and this machine's."""
    lag_events: int | None
    """How many numbers the last handled event is before the last known one of the stream; None where the consumer
    handles all events, or where the end of the stream is not known."""
    caught_up: bool
    """Whether the server has said that nothing more is stored; what comes then is handled as it is appended."""
