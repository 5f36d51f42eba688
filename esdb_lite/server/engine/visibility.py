"""What of a stream can be read now: deletion, metadata limits, expiry.

Owns: the one question that reads, subscriptions and links ask of a stream before anything else.
Must not know: pages, what is done with the events, the clock (`now` is an argument).
"""

from __future__ import annotations

from typing import NamedTuple

from esdb_lite.server.engine.metadata import METASTREAM, min_readable, of_record, oldest_readable
from esdb_lite.server.engine.model import is_metastream, original_of
from esdb_lite.server.storage import TOMBSTONE, Reader, Record


class StreamTombstoned(Exception):
    """The stream (or the one whose metadata stream this is) is tombstoned: no read of it is answered."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.stream = stream


class Window(NamedTuple):
    """What of a stream is readable: revisions `first` to `last`, created at `oldest` or later."""

    first: int
    """The lowest readable revision; it may lie beyond `last`."""
    last: int
    """Number of the stream's last event, whether readable or not."""
    oldest: int | None
    """Ticks; events created before have expired. None: they do not."""

    def shows(self, record: Record) -> bool:
        """Whether a stored event of the stream is readable."""
        return record.revision >= self.first and (self.oldest is None or record.created >= self.oldest)


def window_unless_tombstoned(reader: Reader, stream: str, now: int) -> Window | None:
    """Return what is readable of a stream; None also where it is deleted for ever."""
    try:
        return window_of(reader, stream, now)
    except StreamTombstoned:
        return None


def last_event(reader: Reader, stream: str) -> Record | None:
    """Return the last event of a stream; None where it does not exist, or is deleted."""
    window = window_unless_tombstoned(reader, stream, 0)
    if window is None or window.last < window.first:
        return None
    return reader.at(stream, [window.last]).get(window.last)


def window_of(reader: Reader, stream: str, now: int) -> Window | None:
    """Return what is readable of a stream; None when it counts as not found. Raises StreamTombstoned."""
    metastream = is_metastream(stream)
    if metastream and _last_revision(reader, original_of(stream)) == TOMBSTONE:
        raise StreamTombstoned(stream)
    head = reader.head(stream)
    if head is None or head.last_revision < 0:
        return None
    if head.last_revision == TOMBSTONE:
        raise StreamTombstoned(stream)
    metadata = METASTREAM if metastream else of_record(head.metadata)
    if metadata.soft_deleted:
        return None
    return Window(min_readable(metadata, head.last_revision), head.last_revision, oldest_readable(metadata, now))


def _last_revision(reader: Reader, stream: str) -> int:
    head = reader.head(stream)
    return -1 if head is None else head.last_revision


def first_readable(reader: Reader, stream: str, start: int, window: Window) -> int:
    """Return the lowest readable revision from `start` on, as far as metadata tells: last + 1 when there is none.

    Events expire in the order of their numbers, so the first that has not is found by bisection.
    """
    low = max(start, window.first)
    if window.oldest is None or low > window.last or not _expired_at(reader, stream, low, window.oldest):
        return low
    expired, high = low, window.last + 1
    while high - expired > 1:
        middle = (expired + high) // 2
        if _expired_at(reader, stream, middle, window.oldest):
            expired = middle
        else:
            high = middle
    return high


def _expired_at(reader: Reader, stream: str, revision: int, oldest: int) -> bool:
    """Whether the first stored event from `revision` on has expired."""
    records = reader.stream_forward(stream, revision, 1)
    return bool(records) and records[0].created < oldest
