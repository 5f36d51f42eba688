"""Taking out of a damaged database what is whole.

Owns: reading past damaged pages, event by event, and saying what is missing. Must not know: why the file is damaged.

Events are found by two trees, the table and the index of streams, and names by two as well: what one of them has lost,
the other may still tell. Where a tree cannot be read to its end, every page of the file is looked at: an event is lost
only with the page on which it lies. Only events with a right checksum are kept. Positions and revisions stay as they
were; streams that lack events count as scavenged, so that readers pass over the gaps.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import product
from struct import error as StructError
from typing import NamedTuple

from esdb_lite.positions import LARGEST
from esdb_lite.server.options import Durability
from esdb_lite.server.storage import TOMBSTONE, Record
from esdb_lite.server.storage.errors import DRIVER_ERRORS
from esdb_lite.server.storage.raw_pages import INDEX, TABLE, RawPages
from esdb_lite.server.storage.schema import checksum, open_writer, unpack_schema
from esdb_lite.server.storage.sqlite_writer import SqliteWriter

_TOGETHER = 2_000
"""Events in one transaction."""
_COLUMNS = "position, stream, revision, type, is_json, created, crc, id, metadata, data"
_FROM_POSITION = f"SELECT {_COLUMNS} FROM events WHERE position>=? ORDER BY position"
_EVENT, _STREAM, _TYPE, _FLOOR = 10, 3, 2, 1
"""Columns of the tables; the index of names has two, that of the events of streams three."""

_Row = Sequence[object]
_Place = tuple[int, int]


class Salvaged(NamedTuple):
    """What a copy of a damaged database has."""

    kept: int
    """Events."""
    lost: int
    """Events of which it is known that they are missing."""


def salvage(source: sqlite3.Connection, path: str, target: str) -> Salvaged:
    """Make a database at `target` of what can be read of the one at `path`.

    Raises StorageError when that cannot be written, OSError when the file cannot be read.
    """
    damaged = _DamagedFile(source)
    damaged.look()
    with closing(open_writer(target, Durability.RELAXED)) as connection:
        copy = _Copy(connection, target)
        copy.add(_through_trees(damaged, sorted(damaged.places)))
        if damaged.met or any(position not in copy.positions for position in damaged.places):
            with closing(RawPages(path)) as pages:
                damaged.scan(pages)
                copy.add(_in_pages(damaged, pages))
        return copy.finished(damaged)


def has_events(path: str) -> bool:
    """Whether there are rows like those of our events in a file, whatever its first page says. Raises OSError."""
    with closing(RawPages(path)) as pages:
        return any(isinstance(row[7], bytes) and len(row[7]) == 16 for row in pages.rows(TABLE, (_EVENT,)))


class _DamagedFile:
    """What is known of a file besides its events, and whether damage was met."""

    def __init__(self, source: sqlite3.Connection) -> None:
        self.source = source
        self.met = False
        self.streams: dict[int, list[str]] = {}
        """Names by number; more than one where it is not known which of them is right."""
        self.types: dict[int, list[str]] = {}
        self.scavenged: set[int] = set()
        self.places: dict[int, _Place] = {}
        """Streams and revisions by position, as far as the index of streams tells them."""
        self.floor = 0

    @contextmanager
    def past_damage(self) -> Iterator[None]:
        """Go on where SQLite cannot read."""
        try:
            yield
        except DRIVER_ERRORS:
            self.met = True

    def look(self) -> None:
        """Learn what the trees tell."""
        for table, names in (("streams", self.streams), ("types", self.types)):
            for statement in (
                f"SELECT number, name FROM {table} INDEXED BY sqlite_autoindex_{table}_1 ORDER BY name",
                f"SELECT number, name FROM {table} NOT INDEXED ORDER BY number",
                f"SELECT number, name FROM {table} NOT INDEXED ORDER BY number DESC",
            ):
                with self.past_damage():
                    for number, name in self.source.execute(statement):
                        _note(names, number, name)
        with self.past_damage():
            rows = self.source.execute("SELECT number FROM streams WHERE scavenged")
            self.scavenged.update(number for (number,) in rows)
        for order in ("ASC", "DESC"):
            with self.past_damage():
                for row in self.source.execute(
                    "SELECT stream, revision, position FROM events INDEXED BY events_of_stream"
                    f" ORDER BY stream {order}, revision {order}"
                ):
                    self._note_place(row)
        with self.past_damage():
            self._note_floor(self.source.execute("SELECT position FROM floor").fetchone() or (0,))

    def scan(self, pages: RawPages) -> None:
        """Learn what the pages tell, whatever tree they belong to."""
        for row in pages.rows(TABLE, (_STREAM, _TYPE, _FLOOR)):
            if len(row) == _FLOOR:
                self._note_floor(row)
                continue
            _note(self.streams if len(row) == _STREAM else self.types, row[0], row[1])
            if len(row) == _STREAM and row[2] == 1 and isinstance(row[0], int):
                self.scavenged.add(row[0])
        for row in pages.rows(INDEX, (2, 3)):
            if len(row) == 3:
                self._note_place(row)
            else:  # nothing says whether of streams or of types
                _note(self.streams, row[1], row[0])
                _note(self.types, row[1], row[0])

    def _note_place(self, row: _Row) -> None:
        stream, revision, position = row
        if not (isinstance(stream, int) and isinstance(revision, int) and isinstance(position, int)):
            return
        # What stands on a damaged page may look like an entry.
        if stream > 0 and revision >= 0 and 0 <= position < LARGEST:
            self.places[position] = stream, revision

    def _note_floor(self, row: _Row) -> None:
        if isinstance(row[0], int) and row[0] < LARGEST:
            self.floor = max(self.floor, row[0])


def _note(names: dict[int, list[str]], number: object, name: object) -> None:
    if isinstance(number, int) and isinstance(name, str):
        known = names.setdefault(number, [])
        if name not in known:
            known.append(name)


class _Copy:
    """The database that is made, and what has got into it."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self.positions: set[int] = set()
        self._connection = connection
        self._writer = SqliteWriter(connection, path)
        self._revisions: dict[str, set[int]] = defaultdict(set)
        self._numbers: dict[int, str] = {}

    def add(self, events: Iterator[tuple[int, Record]]) -> None:
        """Write what is not there yet. `events`: with the numbers of their streams in the damaged file."""
        for part in _in_parts(events):
            with self._writer.transaction():
                for number, record in part:
                    revisions = self._revisions[record.stream]
                    if record.position not in self.positions and record.revision not in revisions:
                        self._writer.add(record)
                        self.positions.add(record.position)
                        revisions.add(record.revision)
                        self._numbers[number] = record.stream

    def finished(self, damaged: _DamagedFile) -> Salvaged:
        """Let the log go on behind everything that is known of, and streams have the gaps that they have."""
        scavenged = {self._numbers[number] for number in damaged.scavenged if number in self._numbers}
        lost = self._lost(damaged, scavenged)
        ends = [damaged.floor, *(max(known) + 1 for known in (self.positions, damaged.places) if known)]
        with self._writer.transaction():
            self._writer.set_floor(max(ends))
        for stream in {stream for stream, _ in lost if isinstance(stream, str)} | scavenged:
            self._connection.execute("UPDATE streams SET scavenged=1 WHERE name=?", (stream,))
        return Salvaged(len(self.positions), len(lost))

    def _lost(self, damaged: _DamagedFile, scavenged: set[str]) -> set[tuple[str | int, int]]:
        """Return streams and revisions that are missing: known ones that were not kept, and gaps."""
        lost: set[tuple[str | int, int]] = {
            (self._numbers.get(number, number), revision)
            for position, (number, revision) in damaged.places.items()
            if position not in self.positions
        }
        for stream, there in self._revisions.items():
            if stream not in scavenged:
                last = max((revision for revision in there if revision != TOMBSTONE), default=-1)
                lost.update((stream, revision) for revision in range(last) if revision not in there)
        return lost


def _in_parts(events: Iterator[tuple[int, Record]]) -> Iterator[list[tuple[int, Record]]]:
    part: list[tuple[int, Record]] = []
    for event in events:
        part.append(event)
        if len(part) == _TOGETHER:
            yield part
            part = []
    yield part


def _through_trees(damaged: _DamagedFile, known: Sequence[int]) -> Iterator[tuple[int, Record]]:
    """Whole events with the numbers of their streams, in log order. `known`: positions where there are some."""
    for row in _rows(damaged, known):
        yield from _whole(row, damaged)


def _in_pages(damaged: _DamagedFile, pages: RawPages) -> Iterator[tuple[int, Record]]:
    """Whole events with the numbers of their streams, as they come."""
    for row in pages.rows(TABLE, (_EVENT,)):
        yield from _whole(row, damaged)


def _rows(damaged: _DamagedFile, known: Sequence[int]) -> Iterator[_Row]:
    """Rows of events from page to page; behind a damaged one, from the next position that can be read."""
    place = 0
    while True:
        try:
            for row in damaged.source.execute(_FROM_POSITION, (place,)):
                yield row
                place = row[0] + 1
        except DRIVER_ERRORS:
            damaged.met = True
            found = _next(damaged.source, place, known)
            if found is None:
                return
            place = found
        else:
            return


def _next(source: sqlite3.Connection, place: int, known: Sequence[int]) -> int | None:
    """Return a position from which can be read, behind a damaged page."""
    for position in known[bisect_left(known, place + 1) :]:
        with suppress(*DRIVER_ERRORS):
            if source.execute(f"SELECT {_COLUMNS} FROM events WHERE position=?", (position,)).fetchone():
                return position
    step = 1
    while place + step < 2**62:  # nothing is known of what follows: look further and further
        with suppress(*DRIVER_ERRORS):
            row = source.execute(
                "SELECT position FROM events WHERE position>=? ORDER BY position LIMIT 1", (place + step,)
            ).fetchone()
            return None if row is None or row[0] in known else int(row[0])
        step *= 2
    return None


def _whole(row: _Row, damaged: _DamagedFile) -> Iterator[tuple[int, Record]]:
    """The event of a row with the number of its stream; nothing when it is not whole."""
    _, stream, _, type, *_ = row
    if isinstance(stream, int) and isinstance(type, int):
        for name, kind in product(damaged.streams.get(stream, ()), damaged.types.get(type, ())):
            record = _record(row, name, kind)
            if record is not None:
                yield stream, record
                return


def _record(row: _Row, stream: str, type: str) -> Record | None:
    position, _, revision, _, is_json, created, crc, id, metadata, data = row
    try:
        right = checksum(position, stream, revision, id, type, is_json, created, data, metadata) == crc  # type: ignore[arg-type]
        schema = unpack_schema(is_json) if is_json > 1 else None  # type: ignore[operator,arg-type]
    except (TypeError, AttributeError, ValueError, StructError):
        return None
    if not right:
        return None
    return Record(position, stream, revision, id, type, is_json & 1 == 1, created, data, metadata, schema)  # type: ignore[arg-type,operator]
