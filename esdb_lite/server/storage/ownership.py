"""Ownership of a database file: one server at a time.

Owns: the lock beside the file. The operating system gives it up when its holder dies, however that comes about.
Reading (backup, verification) needs no lock. Must not know: SQLite.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
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


_HELD: dict[tuple[int, int], int] = {}
"""Device and number of each database file that is held, and the process that holds it."""
_BESIDE = ("-wal", "-shm")
_BESIDE_EVERY = 0.1
"""Seconds between two looks at these: a look takes as long as some appends. What was confirmed in between is not lost,
as long as the process lives: it can still read what was removed."""
_LOOKS, _BETWEEN_LOOKS = 20, 0.05
"""How often, and in seconds."""

# Windows locks bytes against reading too: one far behind the text keeps that readable.
_LOCKED_BYTE = 1 << 20


class HeldByAnotherName(StorageLocked):
    """A server uses the file by another name, beside which its write-ahead log is: whoever comes by this name would
    miss what is in there, and damage the file if he wrote to it."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is in use by another server, by another name")


class LogRemoved(StorageFailed):
    """The write-ahead log is no longer beside its database: what goes to it now is lost with the process."""


class Ownership:
    """Holds a database file until `release`. Raises StorageError."""

    def __init__(self, path: str, holder: str = "") -> None:
        """`holder`: what others are told holds it; empty: a server."""
        self._database = os.path.realpath(path)
        self.path = self._database + "-lock"
        """Of the lock."""
        self._begun = False
        self._beside: dict[str, os.stat_result] = {}
        self._look_again = 0.0
        self._descriptor = _acquire(self.path, path)
        try:
            self._held = _hold(path)
        except BaseException:
            os.close(self._descriptor)
            raise
        try:
            self.notes = Notes(self._descriptor, holder)
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
            _HELD.pop(_identity(os.fstat(self._held)), None)
            os.close(self._held)
            self._held = -1

    def watch(self) -> None:
        """Have `check` look at what SQLite has put beside the database, too: it stays as long as that is open."""
        for end in _BESIDE:
            with suppress(OSError):
                self._beside[end] = os.stat(self._database + end)

    def check(self) -> int:
        """Notice that the database, or what is beside it, was taken away, replaced or emptied: writes are lost.

        Returns how many bytes it has now; 0: that cannot be seen. Raises LogRemoved, StorageFailed.
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
        self._check_beside()
        return held.st_size

    def _check_beside(self) -> None:
        now = time.monotonic()
        if now < self._look_again:
            return
        self._look_again = now + _BESIDE_EVERY
        for end, known in self._beside.items():
            there = False
            with suppress(OSError):
                there = os.path.samestat(known, os.stat(self._database + end))
            if not there:
                self._look_again = 0.0
                kind = LogRemoved if end == "-wal" else StorageFailed
                raise kind(f"{self._database}{end} was removed or replaced while it was in use: nothing is written")


def _acquire(lock: str, path: str) -> int:
    while True:
        try:
            descriptor = open_private(lock)
        except OSError as error:
            raise StorageReadOnly(f"{path} cannot be written ({os.strerror(error.errno or 0)})") from error
        if not _try_lock(descriptor):
            holder = _holder(descriptor)
            os.close(descriptor)
            raise StorageLocked(f"{path} is in use by {holder}")
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
    if _is_held_here(path):
        # To close it again would end the locks of SQLite, and the next other process to go would take the log with it.
        raise HeldByAnotherName(path)
    try:
        descriptor = open_private(os.path.realpath(path))
    except OSError:
        return -1  # SQLite says what is wrong
    if not _try_lock(descriptor):
        os.close(descriptor)
        raise HeldByAnotherName(path)
    _HELD[_identity(os.fstat(descriptor))] = os.getpid()
    return descriptor


def _is_held_here(path: str) -> bool:
    with suppress(OSError):
        return _HELD.get(_identity(os.stat(path))) == os.getpid()
    return False


def refuse_another_name(path: str) -> None:
    """Refuse to read a file without a write-ahead log that another process uses by another name.

    One that begins or ends to use it by this name has no log for a moment. Raises HeldByAnotherName.
    """
    for _ in range(_LOOKS):
        if os.path.exists(os.path.realpath(path) + "-wal") or not _is_held_elsewhere(path):
            return
        time.sleep(_BETWEEN_LOOKS)
    raise HeldByAnotherName(path)


def _is_held_elsewhere(path: str) -> bool:
    if sys.platform == "win32" or _is_held_here(path):
        return False
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_current(descriptor: int, lock: str) -> bool:
    """Whether the locked file is still the one with that name: its last holder may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(lock))
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    text = ""
    with suppress(OSError):
        text = os.read(descriptor, 32).decode("ascii", "ignore")
    process, _, holder = text.strip().partition(" ")
    return f"{holder or 'another server'} (process {process})" if process.isdigit() else "another server"
