"""Streams that the node keeps in memory about itself: `$mem-node-state` and `$mem-gossip`.

Owns: that they are read by their names, only the newest event of each, and that nothing else can be read by a name
that begins like theirs. Must not know: what the node has to say, the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

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


def with_node_streams(reader: Reader, newest: Newest) -> Reader:
    """Return a view of the database in which the node's own streams can be read, too."""
    return cast("Reader", _WithNodeStreams(reader, newest))


class _WithNodeStreams:
    """A `Reader`: of what is not said here, the other one's."""

    def __init__(self, reader: Reader, newest: Newest) -> None:
        self._reader = reader
        self._newest = newest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

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
