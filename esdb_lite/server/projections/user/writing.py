"""What a projection's steps become in streams: which of it is there already, the numbers of links to results, tracking.

Owns: what is known of the ends of the streams that the projection writes. Must not know: how steps come about, when
they are written. Pure: a `Reader` and the time go in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from esdb_lite.server.engine.visibility import window_unless_tombstoned
from esdb_lite.server.projections.definitions import emitted_streams_stream
from esdb_lite.server.projections.emitting import Emission, Owner
from esdb_lite.server.projections.javascript.processing import Outgoing, Step
from esdb_lite.server.projections.javascript.tags import Tag, tag_of
from esdb_lite.server.projections.seen import member
from esdb_lite.server.storage import TOMBSTONE, Reader, Record

_STREAMS_KEPT = 50_000
_STAMPED = '{"$v":'
_TRACKED_TYPE = "$StreamTracked"


class StreamEnd(NamedTuple):
    """The end of a stream that the projection writes."""

    next: int
    """The number of its next record."""
    shown: Tag | None = None
    """Up to where its last record shows that it has been written, since the last reset. None: it shows nothing."""
    is_complete: bool = False
    """The last record is the one that ends the results of a one-time projection."""


class StreamEnds:
    """The streams that a projection writes, as far as they have been looked at since it began."""

    def __init__(self, name: str, owner: Owner, *, tracks: bool) -> None:
        self._owner = owner
        self._tracking = emitted_streams_stream(name)
        self._tracks = tracks
        self._tracked: set[str] = set()
        self._ends: dict[str, StreamEnd] = {}

    def unknown(self, steps: Iterable[Step]) -> list[str]:
        """The streams of these steps that are to be looked at first."""
        streams = dict.fromkeys(record.stream for step in steps for record in step.records)
        return [stream for stream in streams if stream not in self._ends]

    def look(self, reader: Reader, streams: Iterable[str], now: int) -> dict[str, StreamEnd]:
        """Look at the ends of streams."""
        return {stream: _look(reader, stream, self._owner, now) for stream in streams}

    def learn(self, ends: dict[str, StreamEnd]) -> None:
        """Take what was looked up."""
        if len(self._ends) > _STREAMS_KEPT:
            self._ends.clear()
        self._ends.update(ends)

    def learn_tracked(self, streams: Iterable[str]) -> None:
        """Take what is tracked already."""
        self._tracked.update(streams)

    def is_complete(self, stream: str) -> bool:
        """Whether a stream that is known shows that all results have been written."""
        return self._ends[stream].is_complete

    @property
    def tracking_stream(self) -> str | None:
        """The stream that holds the names of what is tracked. None: nothing is."""
        return self._tracking if self._tracks else None

    def emissions(self, steps: Sequence[Step]) -> list[Emission]:
        """What is to be written for steps whose streams are known: one stream after the other, as by a real server."""
        written: dict[str, list[Emission]] = {}
        for step in steps:
            for record in step.records:
                end = self._ends[record.stream]
                if end.shown is None or not step.tag.reached_by(end.shown):
                    for emission in (*self._tracked_first(record), self._emission(record)):
                        written.setdefault(emission.stream, []).append(emission)
                    self._ends[record.stream] = end._replace(next=end.next + 1)
        return [emission for of_stream in written.values() for emission in of_stream]

    def _tracked_first(self, record: Outgoing) -> list[Emission]:
        stream = record.stream
        if not self._tracks or not record.is_emitted or stream in self._tracked:
            return []
        self._tracked.add(stream)
        tracked = Emission(self._tracking, _TRACKED_TYPE, False, stream.encode(), stream_metadata=b"", stamped=False)
        return [tracked]

    def _emission(self, record: Outgoing) -> Emission:
        data = record.data
        if record.links_to is not None:
            # The record that it points to comes before it, so its number is known by now.
            data = f"{self._ends[record.links_to].next - 1}@{record.links_to}"
        stamped = record.metadata.startswith(_STAMPED)
        return Emission(
            record.stream, record.type, record.is_json, data.encode(), record.metadata.encode(), stamped=stamped
        )


def _look(reader: Reader, stream: str, owner: Owner, now: int) -> StreamEnd:
    last = _last(reader, stream)
    number = -1 if last is None else last.revision
    if last is None or number == TOMBSTONE or not _is_readable(reader, stream, last, now):
        return StreamEnd(number + 1)
    if not last.metadata.startswith(f'{{"$v":"{owner.id}:{owner.epoch}:'.encode()):
        return StreamEnd(number + 1)
    return StreamEnd(number + 1, tag_of(last.metadata), member(last.metadata, "$cp") is True)


def _last(reader: Reader, stream: str) -> Record | None:
    records = reader.stream_backward(stream, TOMBSTONE, 1)
    return records[0] if records else None


def _is_readable(reader: Reader, stream: str, last: Record, now: int) -> bool:
    window = window_unless_tombstoned(reader, stream, now)
    return window is not None and window.shows(last)
