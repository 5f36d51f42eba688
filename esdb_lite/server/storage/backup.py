"""Copying a database that may be in use.

Owns: that the copy is of one moment, complete or not there at all. Must not know: servers.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, suppress

from esdb_lite.server.storage import confirm_notes
from esdb_lite.server.storage.disk import sync_file, sync_name
from esdb_lite.server.storage.errors import (
    StorageCorrupted,
    StorageError,
    StorageNotADatabase,
    StorageUnavailable,
    translated,
)
from esdb_lite.server.storage.losses import refuse_losses
from esdb_lite.server.storage.salvage import Salvaged, begins_like_sqlite, with_first_page
from esdb_lite.server.storage.salvage import salvage as take_out
from esdb_lite.server.storage.schema import check_path, connect_reader, open_reader, recognise


def backup(path: str, to: str, *, salvage: bool = False) -> Salvaged | None:
    """Copy a database file as it is at this moment, also while a server is writing it (which is not held up).

    `to` must not exist; it appears when the copy is complete and on the disk. A file that has lost appends of which
    it is known that they were confirmed is refused, unless `salvage` says that the rest is wanted: then what is whole
    is copied, and how much that is, and how much is missing, is returned.
    Raises StorageError.
    """
    check_path(path)
    check_path(to)
    if os.path.lexists(to):
        raise StorageUnavailable(f"{to} exists already")
    if not salvage:
        refuse_losses(path, confirm_notes.read(path))
    partial = f"{to}.partial-{os.getpid()}-{secrets.token_hex(4)}"
    second = f"{partial}-2"
    try:
        done = None
        if salvage:
            done = _salvage(path, partial, second)
        else:
            _copy_whole(path, partial)
        sync_file(partial)
        _publish(partial, to)
        return done
    finally:
        for leftover in (each + end for each in (partial, second) for end in ("", "-wal", "-shm", "-journal")):
            with suppress(FileNotFoundError):
                os.unlink(leftover)


def _copy_whole(path: str, partial: str) -> None:
    with closing(open_reader(path)) as source:
        _make(partial, os.stat(path).st_mode & 0o777)
        _copy(source, partial)


def _salvage(path: str, partial: str, second: str) -> Salvaged:
    _make(partial, os.stat(path).st_mode & 0o777)
    try:
        with closing(connect_reader(path)) as source:
            recognise(source, path)
            return _take_out(source, partial, path)
    except (StorageNotADatabase, StorageCorrupted, sqlite3.DatabaseError) as error:
        if begins_like_sqlite(path) or not with_first_page(path, second):
            raise error if isinstance(error, StorageError) else translated(error, path) from error
        with closing(sqlite3.connect(second)) as source:
            done = _take_out(source, partial, path)
        if done == Salvaged(0, 0):
            raise
        return done


def _take_out(source: sqlite3.Connection, partial: str, path: str) -> Salvaged:
    try:
        done = take_out(source, partial)
    except sqlite3.Error as error:
        raise translated(error, path) from error
    with closing(sqlite3.connect(partial)) as target:
        # One file that nothing has to lie beside, until a server uses it.
        target.execute("PRAGMA journal_mode=DELETE")
    return done


def _make(path: str, mode: int) -> None:
    """Make an empty file of a name that nothing has, no wider open than its source. Raises StorageUnavailable."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode))
    except OSError as error:
        raise StorageUnavailable(f"{path} cannot be made ({os.strerror(error.errno or 0)})") from error


def _copy(source: sqlite3.Connection, partial: str) -> None:
    try:
        with closing(sqlite3.connect(partial)) as target:
            # All pages in one go: in steps, every commit meanwhile would make it begin again.
            source.backup(target, pages=-1)
            # One file that nothing has to lie beside, until a server uses it.
            target.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise translated(error, partial) from error


def _publish(partial: str, to: str) -> None:
    """Give the copy its name, unless that has been taken meanwhile."""
    try:
        os.link(partial, to)
    except FileExistsError as error:
        raise StorageUnavailable(f"{to} exists already") from error
    except OSError:
        # A file system without hard links.
        os.rename(partial, to)
    sync_name(to)
