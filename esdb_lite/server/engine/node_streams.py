"""Streams that the node keeps in memory about itself: `$mem-node-state` and `$mem-gossip`.

Owns: that they are read by their names, only the newest event of each, and that nothing else can be read by a name
that begins like theirs. Must not know: what the node has to say, the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from esdb_lite.server.storage import Reader, Record, StreamHead

Newest: TypeAlias = Callable[[str], "Record | None"]
"""Returns the newest event of such a stream."""

_PREFIX = "$mem-"


def in_memory(stream: str) -> bool:
    """Whether what is read by this name comes from the node's memory. (What is appended goes to the log.)"""
    return stream.startswith(_PREFIX)


def nothing(_: str) -> Record | None:
    """For a node that says nothing about itself."""
    return None


class WithNodeStreams:
    """A view of the database in which the node's own streams can be read, too."""

    def __init__(self, reader: Reader, newest: Newest) -> None:
        self._reader = reader
        self._newest = newest
        self.log_forward = reader.log_forward
        self.log_sketched = reader.log_sketched
        self.name_of = reader.name_of
        self.log_of_users = reader.log_of_users
        self.log_backward = reader.log_backward
        self.log_at = reader.log_at
        self.selected_forward = reader.selected_forward
        self.selected_backward = reader.selected_backward
        self.log_end = reader.log_end
        self.last_position = reader.last_position
        self.names = reader.names
        self.projection_position = reader.projection_position
        self.projection_states = reader.projection_states
        self.replayed_from = reader.replayed_from
        self.index_position = reader.index_position
        self.index_forward = reader.index_forward
        self.index_backward = reader.index_backward

    def head(self, stream: str) -> StreamHead | None:
        """See `Reader`."""
        if not in_memory(stream):
            return self._reader.head(stream)
        newest = self._newest(stream)
        return None if newest is None else StreamHead(newest.revision, None)

    def stream_forward(self, stream: str, first: int, limit: int) -> list[Record]:
        """See `Reader`."""
        if not in_memory(stream):
            return self._reader.stream_forward(stream, first, limit)
        return [record for record in self._of(stream) if record.revision >= first][:limit]

    def stream_backward(self, stream: str, first: int, limit: int) -> list[Record]:
        """See `Reader`."""
        if not in_memory(stream):
            return self._reader.stream_backward(stream, first, limit)
        return [record for record in self._of(stream) if record.revision <= first][:limit]

    def at(self, stream: str, revisions: Sequence[int]) -> dict[int, Record]:
        """See `Reader`."""
        if not in_memory(stream):
            return self._reader.at(stream, revisions)
        return {record.revision: record for record in self._of(stream) if record.revision in revisions}

    def _of(self, stream: str) -> list[Record]:
        newest = self._newest(stream)
        return [] if newest is None else [newest]
