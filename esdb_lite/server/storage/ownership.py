"""Ownership of a database file: one server at a time.

Owns: the lock beside the file. The operating system gives it up when its holder dies, however that comes about.
Reading (backup, verification) needs no lock. Must not know: SQLite.
"""

from __future__ import annotations

import errno
import os
import stat
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
        self._database = os.path.realpath(path)
        self.path = self._database + "-lock"
        """Of the lock."""
        self._begun = False
        self._descriptor = _acquire(self.path, path)
        try:
            self._held = _hold(path)
        except BaseException:
            os.close(self._descriptor)
            raise
        try:
            self.notes = Notes(self._descriptor)
        except OSError as error:
            os.close(self._descriptor)
            self._let_go()
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
            self._let_go()

    def _let_go(self) -> None:
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def check(self) -> int:
        """Notice that the database was taken away, replaced or emptied: writes are lost. Raises StorageFailed.

        Returns how many bytes the file has now; 0: it cannot be seen.
        """
        if self._held < 0:
            return 0
        held, there = None, False
        with suppress(OSError):
            held = os.fstat(self._held)
            there = os.path.samestat(held, os.stat(self._database))
        if held is None or not there:
            raise StorageFailed(f"{self._database} was removed or replaced while it was in use: nothing is written")
        # A new file is empty until SQLite has begun it; a scavenge makes one shorter, and never empty.
        if held.st_size:
            self._begun = True
        elif self._begun:
            raise StorageFailed(f"{self._database} was emptied while it was in use: nothing is written")
        return held.st_size


def _acquire(lock: str, path: str) -> int:
    while True:
        try:
            descriptor = open_private(lock)
        except OSError as error:
            raise StorageReadOnly(f"{path} cannot be written ({os.strerror(error.errno or 0)})") from error
        if not _try_lock(descriptor):
            holder = _holder(descriptor)
            os.close(descriptor)
            raise StorageLocked(f"{path} is in use by another server{holder}")
        if _is_current(descriptor, lock):
            return descriptor
        os.close(descriptor)


def open_private(path: str) -> int:
    """Open a file of nobody else's for reading and writing, making it if there is none. Raises OSError.

    What is made can be read by its owner only. Links are not followed, and what is no file is refused: somebody may
    have put them where the file is expected to be.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return descriptor


def _hold(path: str) -> int:
    """Lock the database itself, making it if there is none: it may have other names, each with a lock beside it.

    The descriptor must be kept for as long as SQLite has the file open, whose locks would go with it.
    """
    if sys.platform == "win32":
        return -1  # its locks would keep SQLite out
    try:
        descriptor = open_private(os.path.realpath(path))
    except OSError:
        return -1  # SQLite says what is wrong
    if not _try_lock(descriptor):
        os.close(descriptor)
        raise StorageLocked(f"{path} is in use by another server, by another name")
    return descriptor


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
