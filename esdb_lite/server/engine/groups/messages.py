"""One event on its way through a group.

Owns: the state of a message between the log and its acknowledgement. Must not know: groups, consumers' calls, protobuf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esdb_lite.server.storage import Record

if TYPE_CHECKING:
    from .consumers import GroupConsumer


_OVERHEAD = 500
"""Bytes that an event takes besides its own."""


class Message:
    """An event that a group has to deliver, with what has happened to it so far."""

    __slots__ = (
        "consumer",
        "done",
        "event",
        "expires",
        "held",
        "id",
        "link",
        "pin",
        "position",
        "previous",
        "replayed",
        "retry_count",
        "sent_at",
        "sequence",
        "size",
    )

    def __init__(
        self, event: Record | None, link: Record | None = None, *, in_log: bool = False, replayed: bool = False
    ) -> None:
        """`event` is None for a link whose target is gone; `in_log` = the group reads `$all`."""
        original = link if link is not None else event
        assert original is not None
        self.event = event
        self.link = link
        self.size = len(original.data) + len(original.metadata) + _OVERHEAD
        """Bytes that it takes."""
        if event is not None and event is not original:
            self.size += len(event.data) + len(event.metadata) + _OVERHEAD
        self.held = False
        """Whether they count towards what its group holds."""
        self.id = original.id
        """The id by which consumers acknowledge: the link's where there is one."""
        self.position = original.position if in_log else original.revision
        """Where the group's source has it: revision, or log position for `$all`."""
        self.replayed = replayed
        """It was parked before; it says nothing about how far the group has come."""
        self.sequence = 0
        self.previous: int | None = None
        """The position just before it: where a checkpoint must stand while this one is not done."""
        self.retry_count = 0
        self.consumer: GroupConsumer | None = None
        """The consumer that has it now; None if no one has."""
        self.expires = 0.0
        self.sent_at = 0.0
        self.done = False
        self.pin = -1
        """The bucket that decides who gets it, once that is known (see the pinned strategies)."""

    @property
    def original(self) -> Record:
        """The record at which the group found it."""
        record = self.link if self.link is not None else self.event
        assert record is not None
        return record

    @property
    def source_stream(self) -> str:
        """The stream of the event itself; of a broken link the stream that it names."""
        if self.event is not None:
            return self.event.stream
        return self.original.data.decode("utf-8", "replace").partition("@")[2] or self.original.stream

    def __repr__(self) -> str:
        return f"Message({self.original.stream}:{self.original.revision}, retry_count={self.retry_count})"
