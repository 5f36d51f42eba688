"""What is said of a handler that failed: in the log, and on its exception.

Owns: the words. Must not know: what follows from a failure.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from esdb_lite._texts import add_note, printable
from esdb_lite.events import RecordedEvent
from esdb_lite.groups import NackAction

_log = logging.getLogger("esdb_lite.client")

_LEVELS = {NackAction.PARK: logging.ERROR}


def label_of(events: RecordedEvent | Sequence[RecordedEvent]) -> str:
    """Return which event, or which events, in a few words: `OrderPaid 3@order-1`."""
    if isinstance(events, RecordedEvent):
        return printable(f"{events.type} {events.stream_position}@{events.stream_name}")
    if len(events) == 1:
        return label_of(events[0])
    return f"{len(events)} events from {label_of(events[0])} to {label_of(events[-1])}" if events else "no events"


def note_on(error: BaseException, events: RecordedEvent | Sequence[RecordedEvent]) -> None:
    """Have an exception say which event it comes from."""
    add_note(error, f"while handling {label_of(events)}")


def log_nack(group: str, event: RecordedEvent, error: Exception, action: NackAction) -> None:
    """Log that the handler of a persistent subscription failed, and what was decided."""
    _log.log(
        _LEVELS.get(action, logging.WARNING),
        "consumer of %s: handler failed with %s on %s, attempt %d: %s",
        printable(group),
        type(error).__name__,
        label_of(event),
        (event.retry_count or 0) + 1,
        action.name.lower(),
        exc_info=error,
    )


def log_failure(
    source: str, events: RecordedEvent | Sequence[RecordedEvent], error: BaseException, attempts: int, action: str
) -> None:
    """Log that the handler of a consumer with a checkpoint failed, and what was decided."""
    _log.warning(
        "consumer of %s: handler failed with %s on %s, attempt %d: %s",
        source,
        type(error).__name__,
        label_of(events),
        attempts,
        action,
        exc_info=error,
    )
