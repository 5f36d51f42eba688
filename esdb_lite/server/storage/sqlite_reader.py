"""Pages of events out of SQLite.

Owns: the `Reader` of one connection. Must not know: which thread it runs in, what readers do with the events.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from struct import error as StructError
from typing import TypeVar, cast

from esdb_lite.positions import LARGEST
from esdb_lite.server.storage import (
    TOMBSTONE,
    LogSelection,
    Named,
    PartitionState,
    Reader,
    Record,
    SelectedPage,
    Sketch,
    StoredPosition,
    StreamHead,
    index_notes,
    projection_notes,
    replay_notes,
)
from esdb_lite.server.storage.errors import DRIVER_ERRORS, StorageCorrupted, translated
from esdb_lite.server.storage.schema import checked_names, checksum_with, stored_length, unpack_schema
from esdb_lite.server.storage.selections import Entries, Search, entries_of, indexed

T = TypeVar("T")
Row = tuple[int, int, int, int, int, int, int, bytes, bytes, bytes]

PAGE_BYTES = 256 * 1024
"""A page ends once its data and metadata reach this."""

_NAMES_ROOM = 4 * 1024 * 1024
_ENTRY = 128
"""Bytes that a name takes in a cache besides its characters."""
_COLUMNS = "position, stream, revision, type, is_json, created, crc, id, metadata, data"
_EVENTS = f"SELECT {_COLUMNS} FROM events "
_FORWARD = _EVENTS + "WHERE stream=? AND revision>=? ORDER BY revision LIMIT ?"
_BACKWARD = _EVENTS + "WHERE stream=? AND revision<=? ORDER BY revision DESC LIMIT ?"
_LOG_FORWARD = _EVENTS + "WHERE position>=? ORDER BY position LIMIT ?"
_LOG_SKETCHED = {
    what: f"SELECT position, {column} FROM events WHERE position>=? ORDER BY position LIMIT ?"
    for what, column in ((Named.STREAM, "stream"), (Named.TYPE, "type"))
}
_LOG_OF_USERS = (
    _EVENTS
    + """WHERE position>=? AND position<? AND (
        SELECT substr(name, 1, 1) <> '$' OR (substr(name, 1, 2) = '$$' AND substr(name, 3, 1) <> '$')
        FROM streams WHERE number=stream
    ) ORDER BY position LIMIT ?"""
)
_LOG_BACKWARD = _EVENTS + "WHERE position<? ORDER BY position DESC LIMIT ?"
_LOG_AT = _EVENTS + "WHERE position=?"
_AT = _EVENTS + "WHERE stream=? AND revision=?"
_LAST_REVISION = "SELECT revision FROM events WHERE stream=? ORDER BY revision DESC LIMIT 1"
_LAST_REVISIONS = """
SELECT name, (SELECT revision FROM events WHERE stream=number ORDER BY revision DESC LIMIT 1) FROM streams
WHERE name>=? AND name<? ORDER BY number
"""
_MAY_HAVE_GAPS = "SELECT scavenged FROM streams WHERE number=?"
_LAST_EVENT = """
SELECT e.position, s.name, t.name, length(e.data), length(e.metadata), e.is_json FROM events e
JOIN streams s ON s.number = e.stream JOIN types t ON t.number = e.type
ORDER BY e.position DESC LIMIT 1
"""
_INT64_MIN = -(2**63)


class SqliteReader:
    """Reads by one connection, which belongs to it."""

    def __init__(self, connection: sqlite3.Connection, path: str = "memory") -> None:
        self._connection = connection
        self._path = path
        self._streams = _Names(connection, "streams")
        self._types = _Names(connection, "types")

    def snapshot(self, query: Callable[[Reader], T]) -> T:
        """Run a function on one consistent state of the database. Raises StorageError."""
        try:
            self._connection.execute("BEGIN")
            try:
                return query(self)
            finally:
                self._connection.execute("COMMIT")
        except DRIVER_ERRORS as error:
            raise translated(error, self._path) from error

    def inline(self, query: Callable[[Reader], T]) -> T:
        """The same, for a connection that nobody else writes by at the same time."""
        try:
            return query(self)
        except DRIVER_ERRORS as error:
            raise translated(error, self._path) from error

    def close(self) -> None:
        """Close the connection."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def count(self) -> int:
        """How many events there are."""
        return int(self._connection.execute("SELECT count(*) FROM events").fetchone()[0])

    def unindexed(self, most: int) -> int:
        """How many events are in no index of categories and types yet; at most so many are counted."""
        counted = "SELECT count(*) FROM (SELECT position FROM events WHERE position>? ORDER BY position LIMIT ?)"
        return int(self._connection.execute(counted, (indexed(self._connection), most)).fetchone()[0])

    def last_revisions(self, prefix: str) -> dict[str, int]:
        """Streams whose names begin with some text, in order of creation, with the numbers of their last events."""
        behind = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        rows = self._connection.execute(_LAST_REVISIONS, (prefix, behind))
        return {name: revision for name, revision in rows if revision is not None}

    def head(self, stream: str) -> StreamHead | None:
        """See `Reader`."""
        last = self._last_revision(stream)
        metadata = None if stream.startswith("$$") else self._last_event("$$" + stream)
        return None if last < 0 and metadata is None else StreamHead(last, metadata)

    def _last_revision(self, stream: str) -> int:
        number = self._streams.number(stream)
        row = None if number is None else self._connection.execute(_LAST_REVISION, (number,)).fetchone()
        return -1 if row is None else int(row[0])

    def _last_event(self, stream: str) -> Record | None:
        page = self.stream_backward(stream, LARGEST, 1)
        return page[0] if page else None

    def stream_forward(self, stream: str, first: int, limit: int) -> list[Record]:
        """See `Reader`."""
        # Clamped, the number behind a tombstone would find the tombstone again.
        number = self._streams.number(stream)
        if number is None or first > LARGEST:
            return []
        page = self._page(_FORWARD, (number, _clamp(first), _clamp(limit)))
        if not page and first <= self._last_revision(stream):
            raise self._lacks_events(stream)
        if page and not _unbroken(page, max(first, 0)):
            self._check_gap(stream)
        return page

    def stream_backward(self, stream: str, first: int, limit: int) -> list[Record]:
        """See `Reader`."""
        number = self._streams.number(stream)
        if number is None:
            return []
        page = self._page(_BACKWARD, (number, _clamp(first), _clamp(limit)))
        broken = not _unbroken(page[::-1], page[-1].revision) if page else first >= 0
        if broken and 0 <= self._last_revision(stream) < TOMBSTONE:
            self._check_gap(stream)
        return page

    def log_forward(self, first: int, limit: int) -> list[Record]:
        """See `Reader`."""
        return self._page(_LOG_FORWARD, (_clamp(first), _clamp(limit)))

    def log_sketched(self, what: Named, first: int, limit: int) -> list[Sketch]:
        """See `Reader`."""
        rows = self._connection.execute(_LOG_SKETCHED[what], (_clamp(first), _clamp(limit)))
        return list(map(_sketch, rows))

    def name_of(self, what: Named, number: int) -> str:
        """See `Reader`."""
        return (self._streams if what is Named.STREAM else self._types).name(number)

    def log_of_users(self, first: int, before: int, limit: int) -> list[Record]:
        """See `Reader`."""
        return self._page(_LOG_OF_USERS, (_clamp(first), _clamp(before), _clamp(limit)))

    def log_backward(self, before: int, limit: int) -> list[Record]:
        """See `Reader`."""
        return self._page(_LOG_BACKWARD, (_clamp(before), _clamp(limit)))

    def log_at(self, positions: Sequence[int]) -> list[Record]:
        """See `Reader`."""
        records: list[Record] = []
        size = 0
        for position in positions:
            for record in self._page(_LOG_AT, (_clamp(position),)):
                records.append(record)
                size += len(record.data) + len(record.metadata)
            if size >= PAGE_BYTES:
                break
        return records

    def selected_forward(self, selection: LogSelection, first: int, limit: int) -> SelectedPage:
        """See `Reader`."""
        start, indexed = _clamp(first), self._indexed(selection)
        if start > indexed:
            return self._searched(Search(selection, start, backwards=False), limit)
        entries = entries_of(selection, self._connection, start, indexed, backwards=False)
        return self._listed(entries, limit, indexed + 1)

    def selected_backward(self, selection: LogSelection, last: int, limit: int) -> SelectedPage:
        """See `Reader`."""
        start, indexed = _clamp(last), self._indexed(selection)
        if start > indexed:
            return self._searched(Search(selection, start, backwards=True, floor=indexed + 1), limit)
        entries = entries_of(selection, self._connection, _INT64_MIN, start, backwards=True)
        return self._listed(entries, limit, None)

    def _indexed(self, selection: LogSelection) -> int:
        """The position up to which there are entries for it."""
        category, type = selection
        return indexed(self._connection) if (category is None) is not (type is None) else -1

    def _searched(self, search: Search, limit: int) -> SelectedPage:
        last = search.last_to_look_at(self._connection)
        if last is None:
            return SelectedPage([], None)
        statement, arguments = search.statement(_COLUMNS, last)
        records = self._page(statement, (*arguments, _clamp(limit)))
        end = records[-1].position if _is_full(records, limit) else last
        return SelectedPage(records, search.behind(end))

    def _listed(self, entries: Entries | None, limit: int, following: int | None) -> SelectedPage:
        """Read by entries; `following`: where to go on behind the last of them."""
        if entries is None:
            return SelectedPage([], following)
        statement, arguments = entries.statement(_COLUMNS)
        records = self._page(statement, (*arguments, _clamp(limit)))
        if not _is_full(records, limit):
            return SelectedPage(records, following)
        return SelectedPage(records, records[-1].position + (-1 if entries.backwards else 1))

    def log_end(self) -> int:
        """See `Reader`."""
        return log_end(self._connection)

    def last_position(self) -> int:
        """See `Reader`."""
        return int(self._connection.execute("SELECT coalesce(max(position), 0) FROM events").fetchone()[0])

    def at(self, stream: str, revisions: Sequence[int]) -> dict[int, Record]:
        """See `Reader`."""
        number = self._streams.number(stream)
        found: dict[int, Record] = {}
        if number is not None:
            for revision in revisions:
                page = self._page(_AT, (number, revision)) if 0 <= revision <= LARGEST else []
                found.update((record.revision, record) for record in page)
            missing = [revision for revision in revisions if revision >= 0 and revision not in found]
            if missing and min(missing) < self._last_revision(stream) < TOMBSTONE:
                self._check_gap(stream)
        return found

    def names(self, what: Named, first: str, limit: int) -> list[str]:
        """See `Reader`."""
        statement = f"SELECT name FROM {what.value} WHERE name>=? ORDER BY name LIMIT ?"
        return [name for (name,) in self._connection.execute(statement, (first, _clamp(limit)))]

    def projection_position(self, id: int) -> StoredPosition | None:
        """See `Reader`."""
        return projection_notes.position(self._connection, id)

    def projection_states(self, id: int, partitions: Sequence[str]) -> dict[str, PartitionState]:
        """See `Reader`."""
        return projection_notes.states(self._connection, id, partitions)

    def replayed_from(self, stream: str) -> int | None:
        """See `Reader`."""
        return replay_notes.first(self._connection, stream)

    def index_position(self, id: int) -> int | None:
        """See `Reader`."""
        return index_notes.position(self._connection, id)

    def index_forward(self, id: int, value: bytes | None, first: int, limit: int) -> SelectedPage:
        """See `Reader`."""
        return self._of_index(id, value, (_clamp(first), LARGEST), limit, backwards=False)

    def index_backward(self, id: int, value: bytes | None, last: int, limit: int) -> SelectedPage:
        """See `Reader`."""
        return self._of_index(id, value, (_INT64_MIN, _clamp(last)), limit, backwards=True)

    def _of_index(
        self, id: int, value: bytes | None, part: tuple[int, int], limit: int, *, backwards: bool
    ) -> SelectedPage:
        statement = index_notes.statement(_COLUMNS, by_value=value is not None, backwards=backwards)
        which = (id,) if value is None else (id, value)
        records = self._page(statement, (*which, *part, _clamp(limit)))
        if not _is_full(records, limit):
            return SelectedPage(records, None)
        return SelectedPage(records, records[-1].position + (-1 if backwards else 1))

    def _check_gap(self, stream: str) -> None:
        """Refuse a stream that lacks events which no scavenge has removed. Raises StorageCorrupted."""
        scavenged = self._connection.execute(_MAY_HAVE_GAPS, (self._streams.number(stream),)).fetchone()
        if scavenged is None or not scavenged[0]:
            raise self._lacks_events(stream)

    def _lacks_events(self, stream: str) -> StorageCorrupted:
        return StorageCorrupted(f"{self._path} is damaged: events of the stream {stream!r} cannot be found")

    def _page(self, statement: str, arguments: tuple[int | str | bytes, ...]) -> list[Record]:
        records: list[Record] = []
        try:
            self._collect(records, self._connection.execute(statement, arguments))
        except (TypeError, AttributeError, StructError, ValueError) as error:
            last = records[-1].position if records else "an unknown position"
            raise StorageCorrupted(f"{self._path} is damaged: not an event, next to the one at {last}") from error
        return records

    def _collect(self, records: list[Record], cursor: sqlite3.Cursor) -> None:
        room, add, new, check = PAGE_BYTES, records.append, tuple.__new__, checksum_with
        seen, name, kind, names, schema = None, "", "", b"", None
        for position, stream, revision, type, is_json, created, crc, id, metadata, data in cursor:
            if (stream, type, is_json) != seen:  # most have them in common
                seen = stream, type, is_json
                name, kind = self._streams.name(stream), self._types.name(type)
                names = checked_names(name, kind, is_json)
                schema = unpack_schema(is_json) if is_json > 1 else None
            if check(names, position, revision, id, is_json, created, data, metadata) != crc:
                raise StorageCorrupted(f"{self._path} is damaged: the event at {position} has a wrong checksum")
            # this way it takes half as long
            add(new(Record, (position, name, revision, id, kind, is_json & 1 == 1, created, data, metadata, schema)))
            room -= len(data) + len(metadata) + len(name)
            if room <= 0:
                cursor.close()
                return


_sketch = cast("Callable[[tuple[int, int]], Sketch]", partial(tuple.__new__, Sketch))
"""This way it takes half as long."""


def _is_full(records: Sequence[Record], limit: int) -> bool:
    """Whether a page may have ended before what it was looking at."""
    return len(records) >= limit or sum(len(each.data) + len(each.metadata) for each in records) >= PAGE_BYTES


def _unbroken(page: Sequence[Record], first: int) -> bool:
    """Whether a page, in ascending order, has every revision from `first` on; a tombstone comes after any other."""
    last = len(page) - 1
    if page[last].revision == TOMBSTONE:
        last -= 1
    return last < 0 or (page[0].revision == first and page[last].revision == first + last)


def log_end(connection: sqlite3.Connection) -> int:
    """The position that the next record will get."""
    floor = connection.execute("SELECT position FROM floor").fetchone()
    row = connection.execute(_LAST_EVENT).fetchone()
    try:
        ends = [floor[0]] if row is None else [floor[0], row[0] + stored_length(*row[1:])]
    except (TypeError, AttributeError, ValueError) as error:
        raise StorageCorrupted("the database is damaged: its end cannot be found") from error
    return int(max(ends))


def _clamp(value: int) -> int:
    return min(max(value, _INT64_MIN), LARGEST)


class _Names:
    """Names by number and numbers by name, as far as they have been asked for; both never change."""

    def __init__(self, connection: sqlite3.Connection, table: str) -> None:
        self.by_number: dict[int, str] = {}
        self._by_name: dict[str, int] = {}
        self._size = 0
        self._connection = connection
        self._name_of = f"SELECT name FROM {table} WHERE number=?"
        self._number_of = f"SELECT number FROM {table} WHERE name=?"

    def name(self, number: int) -> str:
        known = self.by_number.get(number)
        if known is not None:
            return known
        row = self._connection.execute(self._name_of, (number,)).fetchone()
        if row is None:
            raise StorageCorrupted(f"the database is damaged: an event names {number}, which has no name")
        self._keep(number, row[0])
        return str(row[0])

    def number(self, name: str) -> int | None:
        known = self._by_name.get(name)
        if known is not None:
            return known
        row = self._connection.execute(self._number_of, (name,)).fetchone()
        if row is None:
            return None
        self._keep(row[0], name)
        return int(row[0])

    def _keep(self, number: int, name: str) -> None:
        if self._size >= _NAMES_ROOM:
            self.by_number.clear()
            self._by_name.clear()
            self._size = 0
        self._size += len(name) + _ENTRY
        self.by_number[number] = name
        self._by_name[name] = number
