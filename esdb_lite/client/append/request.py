"""Events for one stream, on their way to a server.

Owns: what is asked for, how large it is, and refusing what no server can take. Must not know: how it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from esdb_lite._wire.append import encode_proposed
from esdb_lite.correlations import marked
from esdb_lite.errors import InvalidArgument, OutcomeUnknown
from esdb_lite.events import NewEvent
from esdb_lite.positions import state_of

if TYPE_CHECKING:
    from esdb_lite.client.append.looking import Wanted

MAX_MESSAGE = 16 * 1024 * 1024 - 10_000
"""Bytes in one message that servers take at most; an event is at least one message."""

_OVERHEAD = 200
"""Bytes of one event's message beside its data, metadata and type, at most."""


class AppendRequest:
    """Events for one stream. Not changed once it is made."""

    __slots__ = ("events", "expected", "size", "stream_name")

    def __init__(self, stream_name: str, expected: int, events: Sequence[NewEvent]) -> None:
        """`expected` is as on the wire."""
        self.stream_name = stream_name
        self.expected = expected
        self.events = events
        size = 0
        for event in events:
            size += len(event.data) + len(event.metadata) + 4 * len(event.type) + _OVERHEAD
        self.size = size
        """About how many bytes the request has: never less than it has."""

    @property
    def wanted(self) -> Sequence[Wanted]:
        """See `Repeatable`."""
        return [(self.stream_name, self.events[-1].id)] if self.events else []

    @property
    def first_expected(self) -> int:
        """See `Repeatable`."""
        return self.expected

    @property
    def uncertain(self) -> bool:
        """See `Repeatable`."""
        return self.expected < -1 and bool(self.events)

    def tell(self, unknown: OutcomeUnknown) -> None:
        """See `Repeatable`."""
        unknown.stream_name, unknown.events = self.stream_name, tuple(self.events)
        unknown.expected_position = state_of(self.expected)

    def expecting(self, expected: int | None) -> AppendRequest:
        """Return the same events with another expectation; None: that of the caller."""
        return self if expected is None else AppendRequest(self.stream_name, expected, self.events)

    def marked(self, marks: Mapping[str, str]) -> AppendRequest:
        """Return the same events with more in their metadata; what they say already stays."""
        events = [marked(event, marks) for event in self.events] if marks else self.events
        return AppendRequest(self.stream_name, self.expected, events)

    def proposed(self) -> Iterable[bytes]:
        """The events as messages."""
        for event in self.events:
            yield encode_proposed(
                id=str(event._id),  # as a text: it is quicker to take apart than the other form
                type=event.type,
                content_type=event.content_type,
                metadata=event.metadata,
                data=event.data,
            )

    def check(self) -> None:
        """Refuse events that no server can take. Raises InvalidArgument."""
        if self.size <= MAX_MESSAGE:
            return
        for event in self.events:
            size = len(event.data) + len(event.metadata) + len(event.type.encode()) + _OVERHEAD
            if size > MAX_MESSAGE:
                raise InvalidArgument("events", event, f"must be of less than {MAX_MESSAGE} bytes each")
