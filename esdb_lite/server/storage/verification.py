"""Reading a whole database file to check it.

Owns: the checks and their texts. Must not know: how a damaged file could be mended.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from struct import error as StructError

from esdb_lite.server.storage import TOMBSTONE, confirm_notes
from esdb_lite.server.storage.confirm_notes import LastRun
from esdb_lite.server.storage.errors import (
    DRIVER_ERRORS,
    StorageCorrupted,
    StorageError,
    StorageNotADatabase,
    translated,
)
from esdb_lite.server.storage.losses import WAY_OUT, losses
from esdb_lite.server.storage.salvage import has_events
from esdb_lite.server.storage.schema import check_path, checksum, open_reader, stored_length, wrong_statements

MAX_FINDINGS = 100
"""After this many, a check stops."""

_WRITE_VERSION = 18
"""The byte of the header that says who may write; more than 2, write-ahead logging, is for versions yet to come."""
_WAL_VERSION = 2

_EVENTS = """
SELECT e.position, s.name, e.revision, e.id, t.name, e.is_json, e.created, e.data, e.metadata, e.crc
FROM events e LEFT JOIN streams s ON s.number = e.stream LEFT JOIN types t ON t.number = e.type ORDER BY e.position
"""
_GAPS = """
SELECT s.name, s.scavenged, count(*), min(e.revision), max(e.revision) FROM events e INDEXED BY events_of_stream
JOIN streams s ON s.number = e.stream WHERE e.revision < ? GROUP BY e.stream
"""
_Progress = Callable[[int], None]


def verify(path: str, *, progress: Callable[[int], None] | None = None) -> list[str]:
    """Check a file, which may be in use, and return what is wrong with it: nothing when the list is empty.

    Confirmed appends that are missing, the schema, SQLite's own integrity, checksum, position and names of every event,
    gaps in the revisions of streams that have never been scavenged. `progress` is called with the number of events
    checked so far, now and then, and at last with that of all of them.
    Raises StorageError when the file cannot be read as a database of ours at all.
    """
    check_path(path)
    left = confirm_notes.read(path)
    header = list(_header(path))
    try:
        connection = open_reader(path)
    except StorageCorrupted as error:
        return [str(error)]
    except StorageNotADatabase:
        if not has_events(path):
            raise
        return [f"{path} is damaged: its first page cannot be read ({WAY_OUT})"]
    with closing(connection):
        findings = [*_losses(connection, path, left), *header]
        for check in (_check_schema, _check_sqlite, _check_events, _check_revisions):
            try:
                with suppress(StopIteration):
                    found = check(connection, progress or (lambda _: None))
                    while len(findings) < MAX_FINDINGS:
                        findings.append(next(found))
            except DRIVER_ERRORS as error:
                findings.append(str(translated(error, path)))
            except (TypeError, AttributeError, ValueError):
                findings.append(f"{path} is damaged: there are values that no table of ours has")
        return list(dict.fromkeys(findings))


def _losses(connection: sqlite3.Connection, path: str, left: LastRun) -> list[str]:
    try:
        return losses(connection, path, left)
    except DRIVER_ERRORS as error:
        return [str(translated(error, path))]
    except StorageError as error:
        return [str(error)]


def _header(path: str) -> Iterator[str]:
    """What SQLite takes for a later version's, which it reads and does not write."""
    if not os.path.exists(path):
        return
    with open(path, "rb") as file:
        head = file.read(_WRITE_VERSION + 1)
    if head and head[-1] > _WAL_VERSION:
        yield f"{path} is damaged: its header says that it cannot be written"


def _check_schema(connection: sqlite3.Connection, _: _Progress) -> Iterator[str]:
    """A statement that is still one, but not ours: what needs the table fails, or its like is made beside it."""
    yield from (f"the schema is damaged: {statement}" for statement in wrong_statements(connection))


def _check_sqlite(connection: sqlite3.Connection, _: _Progress) -> Iterator[str]:
    connection.execute("BEGIN")
    for (text,) in connection.execute("PRAGMA integrity_check(100)"):
        if text != "ok":
            yield from text.splitlines()


def _check_events(connection: sqlite3.Connection, progress: _Progress) -> Iterator[str]:
    """Together with the others on one snapshot: the transaction begun before is still open."""
    free_from = count = 0
    for count, row in enumerate(connection.execute(_EVENTS), 1):
        position, stream, revision, _, type, is_json, _, data, metadata, _ = row
        if stream is None or type is None:
            yield f"the event at {position} names a stream or type that is not there"
            continue
        if not _matches(row):
            yield f"the event at {position} (revision {revision} of {stream!r}) has a wrong checksum"
            continue
        if position < free_from:
            yield f"the event at {position} begins inside the one before it"
        free_from = position + stored_length(stream, type, len(data), len(metadata), is_json)
        if count % 10_000 == 0:
            progress(count)
    progress(count)


def _matches(row: tuple[int, str, int, bytes, str, int, int, bytes, bytes, int]) -> bool:
    position, stream, revision, id, type, is_json, created, data, metadata, crc = row
    try:
        return checksum(position, stream, revision, id, type, is_json, created, data, metadata) == crc
    except (TypeError, AttributeError, StructError):
        return False


def _check_revisions(connection: sqlite3.Connection, _: _Progress) -> Iterator[str]:
    for name, scavenged, count, lowest, highest in connection.execute(_GAPS, (TOMBSTONE,)):
        if not scavenged and (lowest != 0 or highest != count - 1):
            yield f"stream {name!r} has {count} events with revisions from {lowest} to {highest}"
        elif lowest < 0:
            yield f"stream {name!r} has an event with revision {lowest}"


__all__ = ["StorageNotADatabase", "verify"]
