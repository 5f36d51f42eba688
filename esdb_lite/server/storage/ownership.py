"""Ownership of a database file: one server at a time.

Owns: the lock beside the file. The operating system gives it up when its holder dies, however that comes about.
Reading (backup, verification) needs no lock. Must not know: SQLite.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress

from esdb_lite.server.storage.confirm_notes import Notes
from esdb_lite.server.storage.errors import StorageFailed, StorageFull, StorageLocked, StorageReadOnly

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


# Windows locks bytes against reading too: one far behind the text keeps that readable.
_LOCKED_BYTE = 1 << 20


class Ownership:
    """Holds a database file until `release`. Raises StorageError."""

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path) + "-lock"
        """Of the lock."""
        self._descriptor = _acquire(self.path, path)
        try:
            self.notes = Notes(self._descriptor)
        except OSError as error:
            os.close(self._descriptor)
            kind = StorageFull if error.errno == errno.ENOSPC else StorageFailed
            raise kind(f"{self.path} cannot be written ({os.strerror(error.errno or 0)})") from error

    def release(self, *, keep: bool = False) -> None:
        """Give the file up, and remove the lock, unless what it says is still needed (`keep`). Idempotent."""
        if self._descriptor >= 0:
            if not keep:
                self.notes.forget()
            self.notes.close()
            # While it is still locked: a waiter then finds that it is no longer the one beside the file.
            if sys.platform != "win32" and not keep:
                with suppress(OSError):
                    os.unlink(self.path)
            os.close(self._descriptor)
            self._descriptor = -1


def _acquire(lock: str, path: str) -> int:
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        except OSError as error:
            raise StorageReadOnly(f"{path} cannot be written ({os.strerror(error.errno or 0)})") from error
        if not _try_lock(descriptor):
            holder = _holder(descriptor)
            os.close(descriptor)
            raise StorageLocked(f"{path} is in use by another server{holder}")
        if _is_current(descriptor, lock):
            return descriptor
        os.close(descriptor)


def _is_current(descriptor: int, lock: str) -> bool:
    """Whether the locked file is still the one with that name: its last holder may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(lock))
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    try:
        text = os.read(descriptor, 32).decode("ascii", "ignore").strip()
    except OSError:
        return ""
    return f" (process {text})" if text.isdigit() else ""
