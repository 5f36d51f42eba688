"""The tables of a database file, their version, and how a connection to it is opened.

Owns: DDL, pragmas, recognition of files. Must not know: the rules of appending and reading, threads.

    streams  a name for each number; numbers are never used again. `scavenged` = its revisions may have gaps.
    types    the same for event types.
    events   one row an event, in log order; `crc` covers everything that is served of it. `is_json` is 0 or 1, and
             more for a record of the newer protocol: what `pack_schema` makes of its format and size.
    floor    one row: the log goes on at this position, if that is behind the last event.

    projections        how far each has come, and where its last checkpoint was.
    projection_states  what each holds, by partition; `kept_` = at its last checkpoint; an index has what changed since.

    categories       a name for each number: what stands before the first hyphen of a stream's name.
    category_events  the events of each category that are not the server's own, by position.
    type_events      the same for types.
    indexed          one row or none: up to this position, all events are in these two tables.

    user_indexes       up to where each index that a user has defined has been filled; the number is the position of the
                       event that has defined it.
    user_index_events  what is in it, with the values of its field as UTF-8 (empty: it has none).

    replays  by the name of a stream of parked events: from this number on, some are being delivered again.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from zlib import crc32

from esdb_lite._texts import printable
from esdb_lite.records import SchemaFormat
from esdb_lite.server.options import Durability
from esdb_lite.server.storage import StoredSchema
from esdb_lite.server.storage.errors import (
    DRIVER_ERRORS,
    StorageCorrupted,
    StorageError,
    StorageNotADatabase,
    StorageReadOnly,
    StorageTooNew,
    StorageUnavailable,
    translated,
)
from esdb_lite.server.storage.log import record_length
from esdb_lite.server.storage.ownership import refuse_another_name

APPLICATION_ID = 0x65736462
"""`esdb`, in the header of every file."""
SCHEMA_VERSION = 1

_DDL = """
CREATE TABLE streams (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    scavenged INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE types (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    type INTEGER NOT NULL,
    is_json INTEGER NOT NULL,
    created INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    id BLOB NOT NULL,
    metadata BLOB NOT NULL,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX events_of_stream ON events (stream, revision);
CREATE TABLE floor (position INTEGER NOT NULL);
INSERT INTO floor VALUES (0);
"""
_NOTES_DDL = """
CREATE TABLE IF NOT EXISTS projections (
    id INTEGER PRIMARY KEY,
    position TEXT NOT NULL,
    checkpoint TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS projection_states (
    id INTEGER NOT NULL,
    partition TEXT NOT NULL,
    state TEXT NOT NULL,
    result TEXT NOT NULL,
    kept_state TEXT,
    kept_result TEXT,
    PRIMARY KEY (id, partition)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS projection_states_changed ON projection_states (id)
    WHERE (kept_state IS NOT state OR kept_result IS NOT result);
CREATE TABLE IF NOT EXISTS categories (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE IF NOT EXISTS category_events (
    category INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (category, position)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS type_events (
    type INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (type, position)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS user_indexes (
    id INTEGER PRIMARY KEY,
    position INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS user_index_events (
    id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (id, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS user_index_values ON user_index_events (id, value, position);
CREATE TABLE IF NOT EXISTS replays (
    stream TEXT PRIMARY KEY,
    first INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS indexed (id INTEGER PRIMARY KEY, position INTEGER NOT NULL);
"""
"""Files of the same version may lack these; programs that do not know them do nothing wrong with the file."""


PATIENCE = 5
"""Seconds to wait for somebody else's transaction."""
_SYNCHRONOUS = {Durability.FULL: "FULL", Durability.RELAXED: "NORMAL"}
_HEAD = struct.Struct(">qqq?").pack
_SHORT = 1024
_FORMAT_BITS = 4
"""Of a packed schema: the lowest is whether it is JSON, then comes the format; the size is in the bits above."""


def pack_schema(schema: StoredSchema) -> int:
    """The number that stands in `is_json` for a record of the newer protocol; greater than 1."""
    is_json = schema.format is SchemaFormat.JSON
    return schema.size << _FORMAT_BITS | schema.format << 1 | is_json


def unpack_schema(packed: int) -> StoredSchema:
    """Undo `pack_schema`. Raises ValueError for what it does not make."""
    return StoredSchema(SchemaFormat(packed >> 1 & 7), packed >> _FORMAT_BITS)


def stored_length(stream: str, type: str, data: int, metadata: int, is_json: int) -> int:
    """Bytes that a row takes in the log. `data` and `metadata`: how many it has. Raises ValueError: it is damaged."""
    return record_length(stream, type, data, unpack_schema(is_json).size if is_json > 1 else metadata)


def checksum(
    position: int, stream: str, revision: int, id: bytes, type: str, is_json: int, created: int, data: bytes,
    metadata: bytes,
) -> int:  # fmt: skip
    """The CRC-32 of everything that is served of an event; `is_json` as it stands in the table."""
    names = checked_names(stream, type, is_json)
    return checksum_with(names, position, revision, id, is_json, created, data, metadata)


def checked_names(stream: str, type: str, is_json: int) -> bytes:
    """What the checksum covers of stream, type and schema: the same for many events."""
    return f"{stream}\0{type}\0{is_json}".encode() if is_json >> 1 else f"{stream}\0{type}\0".encode()


def checksum_with(
    names: bytes, position: int, revision: int, id: bytes, is_json: int, created: int, data: bytes, metadata: bytes
) -> int:
    """The same as `checksum`, with what `checked_names` returns."""
    head = _HEAD(position, revision, created, is_json & 1)
    if len(data) < _SHORT:  # one step instead of two, which is worth a copy
        return crc32(b"".join((head, id, names, metadata, data)))
    return crc32(data, crc32(b"".join((head, id, names, metadata))))


def open_writer(path: str | None, durability: Durability = Durability.FULL) -> sqlite3.Connection:
    """Open the file (None: a database in memory) for writing, making its tables if it is new or empty.

    Raises StorageError, each kind with a text that fits one line.
    """
    # Whole: SQLite has a meaning of its own for names such as `file:events.db`.
    with _opening(path or "memory", os.path.abspath(path) if path else ":memory:", uri=False) as connection:
        _prepare(connection, path, durability)
    return connection


def open_reader(path: str) -> sqlite3.Connection:
    """Open an existing file of a known version for reading. Raises StorageError."""
    connection = connect_reader(path)
    try:
        if not recognise(connection, path):
            raise StorageNotADatabase(f"{path} is empty")
    except BaseException as error:
        connection.close()
        if isinstance(error, DRIVER_ERRORS):
            raise translated(error, path) from error
        raise
    return connection


def connect_reader(path: str) -> sqlite3.Connection:
    """Open any existing file for reading. Raises StorageError."""
    if not os.path.exists(path):
        raise StorageUnavailable(f"{path} does not exist")
    # A process that may not write cannot remove the files that SQLite puts beside. If there is a log, they stay:
    # a connection that may write would move what is in the log, and nobody could tell any more what was lost of it.
    real = os.path.realpath(path)
    refuse_another_name(path)
    mode = "ro" if os.path.exists(real + "-wal") else "rw"
    if mode == "rw" and not os.access(os.path.dirname(real), os.W_OK):
        # SQLite cannot put its files beside, which it has for all that may change. Whoever writes has a log there.
        mode = "ro&immutable=1"
    with _opening(path, f"{Path(path).absolute().as_uri()}?mode={mode}", uri=True) as connection:
        connection.execute("PRAGMA query_only=ON")
    return connection


def empty_log(connection: sqlite3.Connection) -> bool:
    """Move everything from the write-ahead log into the file, to the disk; False: something is in the way."""
    try:
        connection.execute("PRAGMA busy_timeout=0")
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        connection.execute(f"PRAGMA busy_timeout={PATIENCE * 1000}")
    except sqlite3.Error:
        return False
    return bool(busy == 0)


@contextmanager
def _opening(path: str, address: str, *, uri: bool) -> Iterator[sqlite3.Connection]:
    """A connection that is closed if anything goes wrong with it at first."""
    connection = None
    try:
        connection = sqlite3.connect(address, uri=uri, isolation_level=None, check_same_thread=False, timeout=PATIENCE)
        connection.execute("PRAGMA cache_size=-8192")
        # Looks closer at pages that come from the disk, for what a damaged one would hide.
        connection.execute("PRAGMA cell_size_check=ON")
        yield connection
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, DRIVER_ERRORS):
            raise translated(error, path) from error
        raise


def recognise(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the file has our tables (False: it is empty). Raises StorageError for a file that is not ours."""
    application = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application == 0 and version == 0 and tables == 0:
        return False
    if application != APPLICATION_ID:
        raise StorageNotADatabase(f"{path} is an SQLite database of another program")
    if version > SCHEMA_VERSION:
        raise StorageTooNew(f"{path} has schema version {version}, this program knows {SCHEMA_VERSION}")
    return True


def wrong_statements(connection: sqlite3.Connection) -> list[str]:
    """Return what a file of this version has not, or has not like this, of what makes its tables.

    Tables that this program does not know may be those of a later one, unless one of its own is missing.
    """
    found = _statements(connection)
    with closing(sqlite3.connect(":memory:")) as ours:
        _execute(ours, _DDL)
        needed = _statements(ours)
        _execute(ours, _NOTES_DDL)
        known = _statements(ours)
    wrong = [name for name, made in known.items() if (name in found or name in needed) and found.get(name) != made]
    missing, strange = (known.keys() - found.keys()), (found.keys() - known.keys())
    texts = [f"{name} is not made as it should be" for name in wrong]
    if missing and strange:
        texts += [f"{name} is not known, and {', '.join(sorted(missing))} is missing" for name in sorted(strange)]
    return [printable(text) for text in texts]


def _statements(connection: sqlite3.Connection) -> dict[str, tuple[object, ...]]:
    """What makes each table and index, without what SQLite makes for itself."""
    rows = connection.execute("SELECT name, type, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%'")
    return {str(name): tuple(made) for name, *made in rows}


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _prepare(connection: sqlite3.Connection, path: str | None, durability: Durability) -> None:
    known = recognise(connection, path or "memory")
    if not known:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    if path is not None:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={_SYNCHRONOUS[durability]}")
    connection.execute("PRAGMA journal_size_limit=67108864")
    if not known:
        _create(connection)
    elif path is not None:
        # SQLite opens a file that it may only read without a word, until something is written.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE floor SET position=position")
        connection.execute("ROLLBACK")
        _execute(connection, _NOTES_DDL)


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        _execute(connection, _DDL + _NOTES_DDL)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _execute(connection: sqlite3.Connection, script: str) -> None:
    for statement in script.split(";"):
        if statement.strip():
            connection.execute(statement)


def check_path(path: str) -> None:
    """Refuse what cannot be a database file before anything is made beside it. Raises StorageError."""
    if not path:
        raise StorageUnavailable("the name of the database file is empty ('')")
    if path == ":memory:":
        raise StorageUnavailable("':memory:' is no file: leave the path out for events in memory")
    if os.path.isdir(path):
        raise StorageUnavailable(f"{path} is a folder")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise StorageUnavailable(f"{path} cannot be made: there is no folder {folder}")


def check_writable(path: str) -> None:
    """Refuse a file that may only be read. Raises StorageError.

    SQLite would open it, and leave a write-ahead log beside it that it cannot empty.
    """
    if os.access(path, os.R_OK) and not os.access(path, os.W_OK):
        raise StorageReadOnly(f"{path} cannot be written ({os.strerror(errno.EACCES)})")


__all__ = [
    "APPLICATION_ID",
    "SCHEMA_VERSION",
    "StorageCorrupted",
    "StorageError",
    "check_path",
    "check_writable",
    "checked_names",
    "checksum",
    "checksum_with",
    "connect_reader",
    "empty_log",
    "open_reader",
    "open_writer",
    "recognise",
]
