"""Taking out of a damaged database what is whole.

Owns: reading past damaged pages, event by event, and saying what is missing. Must not know: why the file is damaged.

Events are found by two trees, the table and the index of streams, and names by two as well: what one of them has lost,
the other may still tell. Only events with a right checksum are kept. Positions and revisions stay as they were; streams
that lack events count as scavenged, so that readers pass over the gaps.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from struct import error as StructError
from typing import NamedTuple

from esdb_lite.server.options import Durability
from esdb_lite.server.storage import TOMBSTONE, Record
from esdb_lite.server.storage.schema import checksum, open_writer, unpack_schema
from esdb_lite.server.storage.sqlite_writer import SqliteWriter

_TOGETHER = 2_000
"""Events in one transaction."""
_COLUMNS = "position, stream, revision, type, is_json, created, crc, id, metadata, data"
_HEADER_COUNTER, _HEADER_PAGES, _HEADER_FREE, _HEADER_VALID = slice(24, 28), slice(28, 32), slice(32, 40), slice(92, 96)
"""Of the first page (sqlite.org/fileformat2.html): change counter, pages, free list, counter for which they hold."""

_Row = Sequence[object]
_Place = tuple[int, int]


class Salvaged(NamedTuple):
    """What a copy of a damaged database has."""

    kept: int
    """Events."""
    lost: int
    """Events of which it is known that they are missing."""


class _KnownNames(NamedTuple):
    streams: dict[int, str]
    types: dict[int, str]
    scavenged: set[int]


def salvage(source: sqlite3.Connection, target: str) -> Salvaged:
    """Make a database at `target` of what can be read. Raises StorageError when that cannot be written."""
    names = _KnownNames(_names(source, "streams"), _names(source, "types"), _scavenged(source))
    places = _places(source)
    kept: dict[int, list[int]] = defaultdict(list)
    end = 0
    with closing(open_writer(target, Durability.RELAXED)) as connection:
        writer = SqliteWriter(connection, target)
        for records in _in_parts(_events(source, names, sorted(places))):
            with writer.transaction():
                for stream, record in records:
                    writer.add([record])
                    kept[stream].append(record.revision)
                    places.pop(record.position, None)
                    end = record.position
        lost = _lost(kept, names, set(places.values()))
        with writer.transaction():
            writer.set_floor(max([end + 1, _floor(source), *(position + 1 for position in places)]))
        _allow_gaps(connection, names, {stream for stream, _ in lost} | names.scavenged)
    return Salvaged(sum(map(len, kept.values())), len(lost))


def begins_like_sqlite(path: str) -> bool:
    """Whether the head of a file is that of an SQLite database."""
    with open(path, "rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def with_first_page(path: str, copy: str) -> bool:
    """Make a copy of a database whose first page is damaged, with one that a new database has; False: it is of no use.

    All databases of ours have their tables at the same pages.
    """
    with closing(open_writer(copy)) as fresh:
        size = int(fresh.execute("PRAGMA page_size").fetchone()[0])
        fresh.execute("PRAGMA journal_mode=DELETE")
    with open(copy, "rb") as file:
        first = bytearray(file.read(size))
    length = os.path.getsize(path)
    if length % size or length < 2 * size:
        return False
    shutil.copyfile(path, copy)
    first[_HEADER_PAGES] = (length // size).to_bytes(4, "big")
    first[_HEADER_FREE] = bytes(8)
    first[_HEADER_VALID] = first[_HEADER_COUNTER]
    with open(copy, "r+b") as file:
        file.write(first)
    return True


def _in_parts(events: Iterator[tuple[int, Record]]) -> Iterator[list[tuple[int, Record]]]:
    part: list[tuple[int, Record]] = []
    for event in events:
        part.append(event)
        if len(part) == _TOGETHER:
            yield part
            part = []
    yield part


def _events(source: sqlite3.Connection, names: _KnownNames, known: Sequence[int]) -> Iterator[tuple[int, Record]]:
    """Whole events with the numbers of their streams, in log order. `known`: positions where there are some."""
    for row in _rows(source, known):
        record = _record(row, names)
        if record is not None:
            yield int(row[1]), record  # type: ignore[call-overload]


def _rows(source: sqlite3.Connection, known: Sequence[int]) -> Iterator[_Row]:
    """Rows of events from page to page; behind a damaged one, from the next position that can be read."""
    place = 0
    while True:
        try:
            for row in source.execute(f"SELECT {_COLUMNS} FROM events WHERE position>=? ORDER BY position", (place,)):
                yield row
                place = row[0] + 1
        except sqlite3.DatabaseError:
            found = _next(source, place, known)
            if found is None:
                return
            place = found
        else:
            return


def _next(source: sqlite3.Connection, place: int, known: Sequence[int]) -> int | None:
    """Return a position from which can be read, behind a damaged page."""
    for position in known[bisect_left(known, place + 1) :]:
        with suppress(sqlite3.DatabaseError):
            if source.execute(f"SELECT {_COLUMNS} FROM events WHERE position=?", (position,)).fetchone():
                return position
    step = 1
    while place + step < 2**62:  # nothing is known of what follows: look further and further
        with suppress(sqlite3.DatabaseError):
            row = source.execute(
                "SELECT position FROM events WHERE position>=? ORDER BY position LIMIT 1", (place + step,)
            ).fetchone()
            return None if row is None or row[0] in known else int(row[0])
        step *= 2
    return None


def _record(row: _Row, names: _KnownNames) -> Record | None:
    """Return the event of a row; None when it is not whole."""
    position, stream, revision, type, is_json, created, crc, id, metadata, data = row
    name, kind = names.streams.get(stream), names.types.get(type)  # type: ignore[call-overload]
    if name is None or kind is None:
        return None
    try:
        right = checksum(position, name, revision, id, kind, is_json, created, data, metadata) == crc  # type: ignore[arg-type]
        schema = unpack_schema(is_json) if is_json > 1 else None  # type: ignore[operator,arg-type]
    except (TypeError, AttributeError, ValueError, StructError):
        return None
    if not right:
        return None
    return Record(position, name, revision, id, kind, is_json & 1 == 1, created, data, metadata, schema)  # type: ignore[arg-type,operator]


def _names(source: sqlite3.Connection, table: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for statement in (
        f"SELECT number, name FROM {table} INDEXED BY sqlite_autoindex_{table}_1 ORDER BY name",
        f"SELECT number, name FROM {table} NOT INDEXED ORDER BY number",
        f"SELECT number, name FROM {table} NOT INDEXED ORDER BY number DESC",
    ):
        with suppress(sqlite3.DatabaseError):
            for number, name in source.execute(statement):
                if isinstance(number, int) and isinstance(name, str):
                    found[number] = name
    return found


def _scavenged(source: sqlite3.Connection) -> set[int]:
    found: set[int] = set()
    with suppress(sqlite3.DatabaseError):
        found.update(number for (number,) in source.execute("SELECT number FROM streams WHERE scavenged"))
    return found


def _floor(source: sqlite3.Connection) -> int:
    with suppress(sqlite3.DatabaseError, TypeError, ValueError):
        return int(source.execute("SELECT position FROM floor").fetchone()[0])
    return 0


def _places(source: sqlite3.Connection) -> dict[int, _Place]:
    """Streams and revisions by position, as far as the index of streams tells them."""
    found: dict[int, _Place] = {}
    for order in ("ASC", "DESC"):
        with suppress(sqlite3.DatabaseError):
            for stream, revision, position in source.execute(
                "SELECT stream, revision, position FROM events INDEXED BY events_of_stream"
                f" ORDER BY stream {order}, revision {order}"
            ):
                if isinstance(stream, int) and isinstance(revision, int) and isinstance(position, int):
                    found[position] = stream, revision
    return found


def _lost(kept: dict[int, list[int]], names: _KnownNames, missing: set[_Place]) -> set[_Place]:
    """Return streams and revisions that are missing: known ones that were not kept, and gaps."""
    lost = set(missing)
    for stream, revisions in kept.items():
        if stream not in names.scavenged:
            there = set(revisions)
            last = max((revision for revision in revisions if revision != TOMBSTONE), default=-1)
            lost.update((stream, revision) for revision in range(last) if revision not in there)
    return lost


def _allow_gaps(connection: sqlite3.Connection, names: _KnownNames, streams: set[int]) -> None:
    for stream in streams:
        if stream in names.streams:
            connection.execute("UPDATE streams SET scavenged=1 WHERE name=?", (names.streams[stream],))
