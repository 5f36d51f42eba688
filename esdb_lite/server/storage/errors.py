"""The failures of the storage, each with a text that fits one line.

Owns: the exceptions of storage and the translation of SQLite's. Must not know: gRPC, the engine.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


class StorageError(Exception):
    """The base of all of them."""


class StorageClosed(StorageError):
    """The database has been closed."""


class StorageLocked(StorageError):
    """Another server holds the file, or another program is writing to it; nothing of the command was written."""


class StorageNotADatabase(StorageError):
    """The file is not SQLite, or belongs to another program."""


class StorageTooNew(StorageError):
    """The file was written by a later version of this package."""


class StorageReadOnly(StorageError):
    """The file or its folder cannot be written."""


class StorageUnavailable(StorageError):
    """The file cannot be opened: a folder, a missing folder, no permission."""


class StorageFull(StorageError):
    """There is no room left on the disk; nothing of the command was written."""


class StorageCorrupted(StorageError):
    """The file is damaged; what is damaged is not served."""


class StorageFailed(StorageError):
    """Anything else, an I/O error above all; nothing of the command was written."""


PASSING = (StorageFull, StorageLocked)
"""What may be over when one tries again: the disk had no room, or another program was writing to the file."""
DRIVER_ERRORS = (sqlite3.Error, MemoryError, UnicodeDecodeError)
"""What SQLite and its driver raise; the others for damaged pages: lengths that cannot be, names that are no text."""

_TEXTS: tuple[tuple[str, type[StorageError], str], ...] = (
    ("is full", StorageFull, "no room left on the disk for {path}"),
    ("malformed", StorageCorrupted, "{path} is damaged ({error})"),
    ("more memory", StorageCorrupted, "{path} is damaged ({error})"),
    ("no such ", StorageCorrupted, "{path} is damaged ({error})"),
    ("not a database", StorageNotADatabase, "{path} is not an SQLite database"),
    ("readonly", StorageReadOnly, "{path} cannot be written ({error})"),
    ("read-only", StorageReadOnly, "{path} cannot be written ({error})"),
    ("unable to open", StorageUnavailable, "{path} cannot be opened ({error})"),
    ("locked", StorageLocked, "{path} is in use by another program"),
)


@contextmanager
def reporting(path: str) -> Iterator[None]:
    """Raise SQLite's errors as storage errors."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translated(error, path) from error


def translated(error: Exception, path: str) -> StorageError:
    """The storage error that says what an SQLite error means for this file."""
    text = "a page asks for more memory than there is" if isinstance(error, MemoryError) else str(error)
    if isinstance(error, UnicodeDecodeError):
        text = "malformed: a name in the schema is no text"
    for part, kind, message in _TEXTS:
        if part in text:
            return kind(message.format(path=path, error=text))
    return StorageFailed(f"{path} cannot be used ({text})")
