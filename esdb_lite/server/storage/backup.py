"""Copying a database that may be in use.

Owns: that the copy is of one moment, complete or not there at all. Must not know: servers.
"""

from __future__ import annotations

import glob
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress

from esdb_lite.server.storage import confirm_notes
from esdb_lite.server.storage.disk import sync_file, sync_name
from esdb_lite.server.storage.errors import (
    DRIVER_ERRORS,
    StorageCorrupted,
    StorageFailed,
    StorageNotADatabase,
    StorageUnavailable,
    translated,
)
from esdb_lite.server.storage.losses import WAY_OUT, refuse_losses
from esdb_lite.server.storage.salvage import Salvaged
from esdb_lite.server.storage.salvage import salvage as take_out
from esdb_lite.server.storage.schema import check_path, open_reader
from esdb_lite.server.storage.verification import verify

_LEFT_BEHIND = 3600.0
"""Seconds after which a copy on which nobody has worked is one that was given up."""
_PARTIAL = re.compile(r"\.partial-\d+-[0-9a-f]{8}(-wal|-shm|-journal)?")


def backup(
    path: str, to: str, *, salvage: bool = False, checked: Callable[[int], None] | None = None
) -> Salvaged | None:
    """Copy a database file as it is at this moment, also while a server is writing it (which is not held up).

    `to` must not exist; it appears when the copy is complete, on the disk, and `verify` finds nothing wrong with it:
    nobody could go back to it. `checked` is called with the number of events looked at so far, now and then.
    A file that is damaged, or has lost appends of which it is known that they were confirmed, is refused, unless
    `salvage` says that the rest is wanted: then what is whole is copied, and how much that is, and how much is missing,
    is returned.
    Raises StorageError.
    """
    check_path(path)
    check_path(to)
    if os.path.lexists(to):
        raise StorageUnavailable(f"{to} exists already")
    _clear(to)
    partial = f"{to}.partial-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        done = None
        if salvage:
            done = _salvage(path, partial)
        else:
            _copy_sound(path, partial, checked)
        sync_file(partial)
        _publish(partial, to)
        return done
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                os.unlink(partial + end)


def _clear(to: str) -> None:
    """Remove what backups to this file have left that were killed: nobody has written there for a long time."""
    for left in glob.glob(f"{glob.escape(to)}.partial-*"):
        with suppress(OSError):
            if _PARTIAL.fullmatch(left[len(to) :]) and time.time() - os.lstat(left).st_mtime > _LEFT_BEHIND:
                os.unlink(left)


def _copy_whole(path: str, partial: str) -> None:
    with closing(open_reader(path)) as source:
        _make(partial, os.stat(path).st_mode & 0o777)
        _copy(source, partial)


def _copy_sound(path: str, partial: str, checked: Callable[[int], None] | None) -> None:
    """Copy a file. Raises StorageCorrupted where there is anything wrong with the copy."""
    try:
        refuse_losses(path, confirm_notes.read(path))
        _copy_whole(path, partial)
        found = verify(partial, progress=checked)
    except (StorageCorrupted, StorageNotADatabase):
        found = verify(path)
        if not found:
            raise
    if found:
        found = [text.replace(partial, path).removesuffix(f" ({WAY_OUT})") for text in found]
        first = found[0] if path in found[0] else f"{path} is damaged: {found[0]}"
        more = f", and {len(found) - 1:,} more faults" if found[1:] else ""
        raise StorageCorrupted(f"{first}{more}: not copied (`esdb-lite verify` shows them, {WAY_OUT})")


def _salvage(path: str, partial: str) -> Salvaged:
    _make(partial, os.stat(path).st_mode & 0o777)
    try:
        with closing(open_reader(path)) as source:
            return _take_out(source, path, partial)
    except (StorageNotADatabase, StorageCorrupted):
        # Perhaps only its first page is damaged: then there are events of ours in the others.
        with closing(sqlite3.connect(":memory:")) as nothing:
            done = _take_out(nothing, path, partial)
        if not done.kept:
            raise
        return done


def _take_out(source: sqlite3.Connection, path: str, partial: str) -> Salvaged:
    try:
        done = take_out(source, path, partial)
    except DRIVER_ERRORS as error:
        raise translated(error, path) from error
    except OSError as error:
        raise StorageFailed(f"{path} cannot be read ({os.strerror(error.errno or 0)})") from error
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
    except DRIVER_ERRORS as error:
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
