"""Events into SQLite, many in one transaction.

Owns: the one connection that writes, the numbers of streams and types. Must not know: the rules of appending,
threads, the clock. Nothing is kept here that a rollback would not take back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from typing import NamedTuple, TypeAlias

from esdb_lite.positions import LARGEST
from esdb_lite.server.storage import (
    ForgetIndex,
    IndexProgress,
    Note,
    Record,
    ReplayNote,
    index_notes,
    projection_notes,
    replay_notes,
)
from esdb_lite.server.storage.errors import DRIVER_ERRORS, reporting, translated
from esdb_lite.server.storage.schema import PATIENCE, checked_names, checksum_with, pack_schema
from esdb_lite.server.storage.selections import make_entries
from esdb_lite.server.storage.sqlite_reader import SqliteReader, log_end

_COLUMNS = 10
_MOST = 64
"""Rows of one statement."""
_MOST_VALUES = _MOST * _COLUMNS
_ROW = "(" + ",".join("?" * _COLUMNS) + ")"
_COLUMN_NAMES = "position, stream, revision, type, is_json, created, crc, id, metadata, data"
# What fails is rolled back anyway, so that SQLite need not keep what each statement changes: a third of its time.
_INTO = "INSERT OR ROLLBACK INTO"
_INSERT = [f"{_INTO} events ({_COLUMN_NAMES}) VALUES " + ",".join([_ROW] * n) for n in range(_MOST + 1)]
_BIG = 262_144
_LAST = "SELECT revision, position FROM events WHERE stream=? ORDER BY revision DESC LIMIT 1"
_IDS = "SELECT revision, id FROM events WHERE stream=? AND revision BETWEEN ? AND ?"
_STORED = "SELECT position, created FROM events WHERE stream=? AND revision=?"
_AT_ONCE = 250
_LASTS = """
    SELECT s.name, s.number, e.revision, e.position FROM streams s
    LEFT JOIN events e ON e.stream=s.number AND e.revision=(SELECT max(revision) FROM events WHERE stream=s.number)
    WHERE s.name IN ({})
"""
_NEWEST = "SELECT position, id, stream, revision FROM events ORDER BY position DESC"
_NAME = "SELECT name FROM streams WHERE number=?"
_NAMES_ROOM = 8 * 1024 * 1024
_ABSENT_KEPT = 4096
_ENTRY = 128
"""Bytes that a name takes in a cache besides its characters."""


class Last(NamedTuple):
    """The last event of a stream."""

    revision: int
    position: int


Identified: TypeAlias = tuple[int, bytes, str, int]
"""Position, id, stream and revision of an event: a plain tuple, as tens of thousands are read at a time."""


class SqliteWriter:
    """What one transaction after another needs: look-ups that see their own writes, and adding of events."""

    def __init__(self, connection: sqlite3.Connection, path: str = "memory") -> None:
        self.connection = connection
        self.path = path
        self._reader = SqliteReader(connection, path)
        self._streams = _Numbers(connection, "streams")
        self._types = _Numbers(connection, "types")
        self._values: list[object] = []
        """Of rows that are not written yet, one row behind the other."""
        self._unwritten: set[int] = set()
        self._bytes = 0
        self._patient = True

    def wait_for_others(self, *, patiently: bool) -> None:
        """Whether to wait for another program that is writing to the file, or to raise StorageLocked at once."""
        if patiently is not self._patient:
            self._patient = patiently
            self.connection.execute(f"PRAGMA busy_timeout={PATIENCE * 1000 if patiently else 0}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is added within is committed at its end, or none of it. Raises StorageError."""
        try:
            yield
            self._commit()
        except BaseException as error:
            self._roll_back()
            if isinstance(error, DRIVER_ERRORS):
                raise translated(error, self.path) from error
            raise

    def _begin(self) -> None:
        if not self.connection.in_transaction:
            self.connection.execute("BEGIN IMMEDIATE")

    def _commit(self) -> None:
        if not self.connection.in_transaction and len(self._values) <= _MOST_VALUES:
            # One statement is a transaction of its own. Each statement gives up the interpreter lock, which a busy
            # event loop is slow to give back: one instead of three is what keeps commits quick next to one.
            self._write()
            return
        self.flush()
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")

    def _roll_back(self) -> None:
        self._values.clear()
        self._unwritten.clear()
        self._bytes = 0
        self._reader = SqliteReader(self.connection, self.path)
        self._streams.forget()
        self._types.forget()
        if self.connection.in_transaction:
            with suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")

    def add(self, record: Record) -> None:
        """Add one event; it is written no later than when the transaction ends."""
        self.add_all((record,))

    def add_all(self, records: Sequence[Record]) -> None:
        """Add events in the same way."""
        values = self._values
        # Of bytes, the driver asks each time what to make of them: that takes longer than a copy. (To add is quicker
        # than to call.)
        blob = bytearray()
        names, number, kind, size = b"", 0, 0, self._bytes
        before: tuple[object, object, int] = None, None, 0
        for position, stream, revision, id, type, is_json, created, data, metadata, schema in records:
            flag: int = is_json if schema is None else pack_schema(schema)
            # many are of the same stream and type as the one before
            if stream is not before[0] or type is not before[1] or flag != before[2]:
                before = stream, type, flag
                names = checked_names(stream, type, flag)
                number = self._streams.known.get(stream) or self._number(self._streams, stream)
                kind = self._types.known.get(type) or self._number(self._types, type)
                self._unwritten.add(number)
            crc = checksum_with(names, position, revision, id, flag, created, data, metadata)
            values += (position, number, revision, kind, flag, created, crc, blob + id, blob + metadata, blob + data)
            size += len(data) + len(metadata)
            if size > _BIG:
                self.flush()
                self._unwritten.add(number)
                size = 0
        self._bytes = size

    def _number(self, numbers: _Numbers, name: str) -> int:
        number = numbers.find(name)
        if number is None:
            self._begin()
            number = numbers.make(name)
        return number

    def flush(self) -> None:
        """Write what has been added so far."""
        if self._values:
            self._begin()
            self._write()

    def _write(self) -> None:
        values = self._values
        self._streams.write()
        self._types.write()
        for start in range(0, len(values), _MOST_VALUES):
            some = values[start : start + _MOST_VALUES]
            self.connection.execute(_INSERT[len(some) // _COLUMNS], some)
        values.clear()
        self._unwritten.clear()
        self._bytes = 0

    def _flush_stream(self, number: int) -> None:
        if number in self._unwritten:
            self.flush()

    def set_floor(self, position: int) -> None:
        """The log goes on here, or behind its last event."""
        self._begin()
        self.connection.execute("UPDATE floor SET position=?", (position,))

    def save(self, notes: Sequence[Note]) -> None:
        """Write notes beside the log."""
        self._begin()
        for note in notes:
            if isinstance(note, (IndexProgress, ForgetIndex)):
                index_notes.save(self.connection, note)
            elif isinstance(note, ReplayNote):
                replay_notes.save(self.connection, note)
            else:
                projection_notes.save(self.connection, note)

    def index(self, limit: int) -> int:
        """Enter up to `limit` events of the log, in a transaction, in the tables of categories and types.

        Returns how many they were. Raises StorageError.
        """
        with self.transaction():
            self._begin()
            return make_entries(self.connection, limit)

    def log_end(self) -> int:
        """The position that the next record will get."""
        with reporting(self.path):
            self.flush()
            return log_end(self.connection)

    def last(self, stream: str) -> Last | None:
        """The last event of a stream."""
        number = self._streams.find(stream)
        if number is None:
            return None
        self._flush_stream(number)
        row = self.connection.execute(_LAST, (number,)).fetchone()
        return None if row is None else Last(*row)

    def lasts(self, streams: Sequence[str]) -> dict[str, Last]:
        """The last events of those of the streams that have any, in a few look-ups."""
        self.flush()
        rows: list[tuple[str, int, int, int]] = []
        for start in range(0, len(streams), _AT_ONCE):
            names = streams[start : start + _AT_ONCE]
            rows += self.connection.execute(_LASTS.format(",".join("?" * len(names))), names)
        self._streams.take({name: number for name, number, _, _ in rows}, streams)
        return {name: Last(revision, position) for name, _, revision, position in rows if position is not None}

    def last_event(self, stream: str) -> Record | None:
        """The last event of a stream, with its data."""
        self.flush()
        page = self._reader.stream_backward(stream, LARGEST, 1)
        return page[0] if page else None

    def ids(self, stream: str, first: int, count: int) -> dict[int, bytes]:
        """The ids of the events with revisions from `first` on, by revision."""
        number = self._streams.find(stream)
        if number is None:
            return {}
        self._flush_stream(number)
        return dict(self.connection.execute(_IDS, (number, first, first + count - 1)))

    def stored(self, stream: str, revision: int) -> tuple[int, int] | None:
        """Position and creation time of one event."""
        number = self._streams.find(stream)
        if number is None:
            return None
        self._flush_stream(number)
        row: tuple[int, int] | None = self.connection.execute(_STORED, (number, revision)).fetchone()
        return row

    def newest(self, page: int) -> Generator[Sequence[Identified], None, None]:
        """The events of the log, the newest first, so many at a time, up to where it can be read."""
        self.flush()
        names: dict[int, str] = {}
        with suppress(*DRIVER_ERRORS):  # who needs what is damaged hears of it
            cursor = self.connection.execute(_NEWEST)
            while rows := cursor.fetchmany(page):
                for number in {row[2] for row in rows} - names.keys():
                    found = self.connection.execute(_NAME, (number,)).fetchone()
                    if found is None:
                        return
                    names[number] = found[0]
                yield [(position, id, names[stream], revision) for position, id, stream, revision in rows]

    def close(self) -> None:
        """Close the connection; the last one to do so empties the write-ahead log into the file."""
        with suppress(sqlite3.Error):
            self.connection.close()


class _Numbers:
    """The number of each name, given out when first written."""

    def __init__(self, connection: sqlite3.Connection, table: str) -> None:
        self._connection = connection
        self.known: dict[str, int] = {}
        self._size = 0
        self._absent: set[str] = set()
        """Names that have no number, as far as that was asked of late."""
        self._new: list[tuple[int, str]] = []
        """Numbers that have been given out, and are not in the table yet."""
        self._next = 0
        self._find = f"SELECT number FROM {table} WHERE name=?"
        self._last = f"SELECT max(number) FROM {table}"
        self._insert = f"{_INTO} {table} (number, name) VALUES "

    def find(self, name: str) -> int | None:
        number = self.known.get(name)
        if number is None and name not in self._absent:
            row = self._connection.execute(self._find, (name,)).fetchone()
            self.take({} if row is None else {name: row[0]}, (name,))
            number = self.known.get(name)
        return number

    def take(self, found: Mapping[str, int], names: Collection[str]) -> None:
        """Remember what was found of names."""
        if len(self._absent) > _ABSENT_KEPT:
            self._absent.clear()
        self._absent.update(names)
        self._absent.difference_update(found)
        for name, number in found.items():
            self._keep(name, number)

    def make(self, name: str) -> int:
        """Give out a number; it is in the table before any event that has it."""
        if not self._next:
            self._next = (self._connection.execute(self._last).fetchone()[0] or 0) + 1
        number, self._next = self._next, self._next + 1
        self._absent.discard(name)
        self._keep(name, number)
        self._new.append((number, name))
        return number

    def write(self) -> None:
        """Write the numbers that have been given out."""
        for start in range(0, len(self._new), _AT_ONCE):
            chunk = self._new[start : start + _AT_ONCE]
            rows = ",".join(["(?,?)"] * len(chunk))
            self._connection.execute(self._insert + rows, list(chain.from_iterable(chunk)))
        self._new.clear()

    def _keep(self, name: str, number: int) -> None:
        if name in self.known:
            return
        if self._size >= _NAMES_ROOM:
            self.write()  # it could not be found otherwise
            self.known.clear()
            self._size = 0
        self._size += len(name) + _ENTRY
        self.known[name] = number

    def forget(self) -> None:
        """Forget all, as some of it may have been rolled back."""
        self.known.clear()
        self._size = 0
        self._absent.clear()
        self._new.clear()
        self._next = 0
