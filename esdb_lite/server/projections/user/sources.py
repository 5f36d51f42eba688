"""What projections with a query read: events of streams in the order of the log, or the log itself.

Owns: which events are handed over and as what (sections 2.4, 4.1 and 4.2 of the notes on projections), and what of
streams is read when. Must not know: what is made of them, threads, who asks. Pure: a `Reader` and the time go in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from esdb_lite.server.engine.links import LINK_TYPE, parse_link
from esdb_lite.server.engine.model import TOMBSTONE_TYPE, is_metastream, original_of
from esdb_lite.server.engine.visibility import Window, first_readable, window_unless_tombstoned
from esdb_lite.server.projections.javascript.definition import QueryDefinition
from esdb_lite.server.projections.javascript.source_event import SourceEvent, correlation_id_of, created_text
from esdb_lite.server.projections.javascript.tags import BEFORE, Tag
from esdb_lite.server.projections.seen import Seen, is_taken, member
from esdb_lite.server.projections.valid_json import is_valid
from esdb_lite.server.storage import TOMBSTONE, Reader, Record

_DELETED = "$deleted"
_OF_STREAM = "$o"


class ReadAt(NamedTuple):
    """When it is read."""

    now: int
    """Ticks."""
    catching_up: bool
    """It has not been at the end of its source since it began."""


class SourcePart(NamedTuple):
    """A part of a source."""

    events: Sequence[SourceEvent]
    read_to: Tag
    """Where the next one begins."""
    at_end: bool


class Source(Protocol):
    """Something that a projection reads."""

    @property
    def beginning(self) -> Tag:
        """The place before everything."""
        ...

    @property
    def streams(self) -> Sequence[str] | None:
        """The streams where new events make it worth reading on; None: the log."""
        ...

    def read(self, reader: Reader, after: Tag, limit: int, at: ReadAt) -> SourcePart:
        """Read about so many records behind a place, or none at the end."""
        ...


def source_of(definition: QueryDefinition) -> Source:
    """The source that a query defines."""
    if not definition.all_streams:
        return StreamsSource(definition)
    return TypesSource(definition) if definition.events else LogSource(definition)


# --- records as handlers see them ---


class LinkEnd(NamedTuple):
    """What a link leads to."""

    record: Record | None = None
    stream: str | None = None
    """Where there is no event, but a stream that is known to have held one."""


NOTHING = LinkEnd()


def event_of(record: Record, tag: Tag, link: Record | None = None) -> SourceEvent:
    """An event as handlers see it, reached by a link or not."""
    metadata = _text(record.metadata)
    hex = record.id.hex()
    return SourceEvent(
        tag=tag,
        stream=record.stream,
        number=record.revision,
        type=record.type,
        id=f"{hex[:8]}-{hex[8:12]}-{hex[12:16]}-{hex[16:20]}-{hex[20:]}",
        created=created_text(record.created),
        data=_text(record.data),
        metadata=metadata,
        is_json=record.is_json,
        link_metadata=None if link is None else _text(link.metadata),
        of_stream=_of_stream(record.stream),
        correlation_id=correlation_id_of(metadata) if record.is_json else None,
    )


def event_of_nothing(tag: Tag, link: Record, stream: str | None) -> SourceEvent:
    """What handlers see of a link to an event that is not there."""
    return SourceEvent(tag, stream, -1, None, is_json=False, link_metadata=_text(link.metadata), of_stream=stream or "")


def deletion_of(tag: Tag, stream: str) -> SourceEvent:
    """The news that a stream has been deleted."""
    return SourceEvent(tag, stream, -1, None, of_stream=stream, deletes=True)


def _text(data: bytes) -> str | None:
    return data.decode("utf-8", "replace") if data else None


def _of_stream(stream: str) -> str:
    return original_of(stream) if is_metastream(stream) else stream


def _is_seen(record: Record) -> bool:
    return not record.is_json or is_valid(record.data)


# --- streams ---


@dataclass
class _Buffered:
    """The next records of a stream."""

    records: Sequence[Record]
    is_whole: bool
    """There are no more."""


class StreamsSource:
    """One stream, or several in the order of the log; links in them are resolved once."""

    def __init__(self, definition: QueryDefinition) -> None:
        self.streams = self._names = definition.source_streams
        self.beginning = Tag(dict.fromkeys(self._names, BEFORE))
        self._types = frozenset(definition.events)
        self._category = definition.category
        self._deletions = definition.handles_deletions

    def read(self, reader: Reader, after: Tag, limit: int, at: ReadAt) -> SourcePart:
        """See `Source`."""
        places = {name: after.numbers.get(name, BEFORE) for name in self._names}
        records, is_whole = merged(reader, places, limit, at.now)
        targets = _LinkEnds(reader, at.now)
        events: list[SourceEvent] = []
        for record in records:
            places[record.stream] = record.revision
            event = self._event(record, Tag(dict(places)), targets, at)
            if event is not None:
                events.append(event)
        return SourcePart(events, Tag(places), is_whole)

    def _event(self, record: Record, tag: Tag, targets: _LinkEnds, at: ReadAt) -> SourceEvent | None:
        if record.type != LINK_TYPE or parse_link(record.data) is None:
            return None if self._category is not None or not self._wants(record) else event_of(record, tag)
        if self._category is not None and (deleted := _deleted_by(record)):
            return deletion_of(tag, deleted) if self._deletions else None
        target = targets.of(record, gone_too=at.catching_up and len(self._names) > 1)
        event = None if target is None else self._reached(target, tag, record)
        return event if event is None or self._category is None else self._of_category(event, record)

    def _reached(self, target: LinkEnd, tag: Tag, link: Record) -> SourceEvent | None:
        if target.record is None:
            return None if self._types else event_of_nothing(tag, link, target.stream)
        return event_of(target.record, tag, link) if self._wants(target.record) else None

    def _wants(self, record: Record) -> bool:
        return (not self._types or record.type in self._types) and _is_seen(record)

    def _of_category(self, event: SourceEvent, link: Record) -> SourceEvent:
        of_stream = member(link.metadata, _OF_STREAM)
        return replace(
            event, category=self._category, of_stream=of_stream if isinstance(of_stream, str) else event.of_stream
        )


def _deleted_by(link: Record) -> str | None:
    """The stream whose soft deletion a link in a category tells."""
    if b"@$$" not in link.data or member(link.metadata, _DELETED) is None:
        return None
    target = parse_link(link.data)
    return None if target is None or target.stream is None else original_of(target.stream)


def merged(reader: Reader, places: Mapping[str, int], limit: int, now: int) -> tuple[list[Record], bool]:
    """The next records of streams in the order of the log, and whether these are all that there are."""
    buffered = [_visible(reader, name, place, limit, now) for name, place in places.items()]
    open_ends = [part.records[-1].position for part in buffered if part.records and not part.is_whole]
    # What lies behind the last known record of a stream may lie before what the others hold.
    horizon = min(open_ends, default=None)
    records = [record for part in buffered for record in part.records if horizon is None or record.position <= horizon]
    records.sort(key=lambda record: record.position)
    return records, all(part.is_whole for part in buffered)


def _visible(reader: Reader, stream: str, after: int, limit: int, now: int) -> _Buffered:
    window = window_unless_tombstoned(reader, stream, now)
    if window is None:
        return _Buffered((), True)
    records = reader.stream_forward(stream, first_readable(reader, stream, after + 1, window), limit)
    is_whole = not records or records[-1].revision >= window.last
    return _Buffered([record for record in records if window.shows(record)] or (), is_whole)


class _LinkEnds:
    """Looks up what links point to, in one consistent state."""

    def __init__(self, reader: Reader, now: int) -> None:
        self._reader = reader
        self._now = now
        self._windows: dict[str, Window | None] = {}

    def of(self, link: Record, *, gone_too: bool) -> LinkEnd | None:
        """What a link points to. None: it is as if the link were not there."""
        target = parse_link(link.data)
        if target is None or not target.stream:
            return NOTHING
        if target.revision == TOMBSTONE:
            return LinkEnd(None, target.stream)
        window = self._window(target.stream)
        if window is None:
            return LinkEnd(None, target.stream) if gone_too else None
        found = self._reader.at(target.stream, [target.revision]).get(target.revision)
        return LinkEnd(found) if found is not None and window.shows(found) else NOTHING

    def _window(self, stream: str) -> Window | None:
        if stream not in self._windows:
            self._windows[stream] = window_unless_tombstoned(self._reader, stream, self._now)
        return self._windows[stream]


# --- the log ---


class LogSource:
    """Everything that users have written, metadata of their streams too."""

    beginning = Tag(position=BEFORE)
    streams = None

    def __init__(self, definition: QueryDefinition) -> None:
        self._include_links = definition.include_links
        self._deletions = definition.handles_deletions

    def read(self, reader: Reader, after: Tag, limit: int, at: ReadAt) -> SourcePart:
        """See `Source`."""
        records = reader.log_forward(_position(after) + 1, limit)
        targets = _LinkEnds(reader, at.now)
        events: list[SourceEvent] = []
        for record in records:
            if is_taken(record.stream):
                events += self._seen(record, targets, at)
        return SourcePart(events, Tag(position=records[-1].position) if records else after, not records)

    def _seen(self, record: Record, targets: _LinkEnds, at: ReadAt) -> Iterator[SourceEvent]:
        tag = Tag(position=record.position)
        if record.type == LINK_TYPE and parse_link(record.data) is not None:
            yield from self._link(record, tag, targets, at)
        elif _is_seen(record):
            yield event_of(record, tag)
        if self._deletions and (deleted := Seen(record, record).deletes):
            yield deletion_of(tag, deleted)

    def _link(self, record: Record, tag: Tag, targets: _LinkEnds, at: ReadAt) -> Iterator[SourceEvent]:
        if not self._include_links:
            return
        if at.catching_up:
            if _is_seen(record):
                yield event_of(record, tag)
            return
        target = targets.of(record, gone_too=False)
        if target is not None and target.record is None:
            yield event_of_nothing(tag, record, target.stream)
        elif target is not None and target.record is not None and _is_seen(target.record):
            yield event_of(target.record, tag, record)


class TypesSource:
    """The events of some types: first by their indexes, then, from the last of them on, by the log.

    Where `$by_event_type` does not run there is nothing in the indexes, and all is read by the log.
    """

    streams = None

    def __init__(self, definition: QueryDefinition) -> None:
        self.beginning = Tag(dict.fromkeys(definition.events, BEFORE), BEFORE)
        self._types = definition.events
        self._wanted = frozenset(definition.events)
        self._deletions = definition.handles_deletions

    def read(self, reader: Reader, after: Tag, limit: int, at: ReadAt) -> SourcePart:
        """See `Source`."""
        # News of deletions stand in no index of theirs.
        if at.catching_up and not self._deletions:
            events = self._indexed(reader, after, limit, at)
            if events:
                return SourcePart(events, events[-1].tag, False)
        return self._logged(reader, after, limit)

    def _indexed(self, reader: Reader, after: Tag, limit: int, at: ReadAt) -> list[SourceEvent]:
        """All that is indexed but for the last event, which comes by the log, as everything behind it."""
        names = {f"$et-{type}": type for type in self._types}
        numbers = {type: after.numbers.get(type, BEFORE) for type in self._types}
        links, is_whole = merged(reader, {name: numbers[type] for name, type in names.items()}, limit, at.now)
        targets = _LinkEnds(reader, at.now)
        events: list[SourceEvent] = []
        for link in links:
            type = names[link.stream]
            numbers[type] = link.revision
            target = targets.of(link, gone_too=False)
            record = None if target is None else target.record
            if record is not None and record.type == type and record.position > _position(after) and _is_seen(record):
                events.append(event_of(record, Tag(dict(numbers), record.position)))
        return events[:-1] if is_whole else events

    def _logged(self, reader: Reader, after: Tag, limit: int) -> SourcePart:
        numbers = {type: after.numbers.get(type, BEFORE) for type in self._types}
        records = reader.log_forward(_position(after) + 1, limit)
        events: list[SourceEvent] = []
        for record in records:
            if is_taken(record.stream):
                events += self._seen(record, Tag(numbers, record.position))
        read_to = Tag(numbers, records[-1].position) if records else Tag(numbers, after.position)
        return SourcePart(events, read_to, not records)

    def _seen(self, record: Record, tag: Tag) -> Iterator[SourceEvent]:
        if record.type in self._wanted and record.type != TOMBSTONE_TYPE and _is_seen(record):
            yield event_of(record, tag)
        if self._deletions and (deleted := Seen(record, record).deletes):
            yield deletion_of(tag, deleted)


def _position(tag: Tag) -> int:
    return BEFORE if tag.position is None else tag.position
