"""Data that do not fit the class that stands for them.

Owns: `EventValueError`, and `Misfit`, of which it is made. Must not know: how data are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esdb_lite.errors import EsdbClientException

if TYPE_CHECKING:
    from esdb_lite.events import NewEvent, RecordedEvent


class Misfit(ValueError):
    """A value does not fit its annotation; the message says which, and where."""


class EventValueError(EsdbClientException, ValueError):
    """The data of an event do not fit the class that is registered for its type; the message says where."""

    def __init__(self, event: RecordedEvent | NewEvent, reason: str) -> None:
        stream, position = getattr(event, "stream_name", ""), getattr(event, "stream_position", 0)
        super().__init__(f"{event.type} {f'{position}@{stream}' if stream else event.id}: {reason}")
        self.event = event
        """The event."""
        self.reason = reason
        """What does not fit."""

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.event, self.reason)
