"""One database, file or memory, with its open connections.

Owns: opening in the right order, and closing. Must not know: the rules, threads.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from esdb_lite.server.options import Durability
from esdb_lite.server.storage import Reader
from esdb_lite.server.storage.confirm_notes import LastRun
from esdb_lite.server.storage.disk import sync_name
from esdb_lite.server.storage.errors import StorageFailed, reporting
from esdb_lite.server.storage.log_length import LogLength
from esdb_lite.server.storage.losses import identity, is_new, lacks_pages, refuse_foreign_log, refuse_losses
from esdb_lite.server.storage.ownership import LogRemoved, Ownership
from esdb_lite.server.storage.schema import check_path, check_writable, empty_log, open_reader, open_writer
from esdb_lite.server.storage.sqlite_reader import SqliteReader
from esdb_lite.server.storage.sqlite_writer import SqliteWriter

T = TypeVar("T")


def exists(path: str) -> bool:
    """Whether there is a file of that name. Raises StorageError when there is something else."""
    check_path(path)
    return os.path.exists(path)


class Files:
    """An open database. Raises StorageError; each kind has a text that fits one line."""

    def __init__(
        self,
        path: str | None,
        durability: Durability = Durability.FULL,
        *,
        shared: bool = False,
        holder: str = "",
    ) -> None:
        self.in_memory = path is None
        self.path = path or "memory"
        self._relaxed = durability is Durability.RELAXED
        self._identity: bytes | None = None
        self._size = 0
        """Of the file, before the last commit."""
        self._ownership: Ownership | None = None
        self._log_length: LogLength | None = None
        if path is not None:
            check_path(path)
            check_writable(path)
            # Shared: beside a server, and with nothing kept in mind from one transaction to the next.
            self._ownership = None if shared else Ownership(path, holder)
        connection = self._open(path, durability)
        self.writer = SqliteWriter(connection, self.path)
        self._on_loop: SqliteReader | None = None

    def _open(self, path: str | None, durability: Durability) -> sqlite3.Connection:
        try:
            if path is not None and self._ownership is not None:
                self._take_over(path, self._ownership)
            connection = open_writer(path, durability)
        except BaseException:
            # What the last holder has noted says what is missing: it must be there the next time, too.
            self._give_up(keep=self._ownership is not None and self._ownership.notes.left != LastRun())
            raise
        if self._ownership is not None:
            emptied = empty_log(connection)
            self._note_durability(self._ownership, emptied)
            self._ownership.watch()
            self._log_length = LogLength(os.path.realpath(self.path), connection)
        return connection

    def _note_durability(self, ownership: Ownership, emptied: bool) -> None:
        """What is in the log of the last holder, if it is still there, was written as he wrote it."""
        relaxed = self._relaxed or (ownership.notes.left.relaxed and not emptied)
        ownership.notes.set_durability(relaxed=relaxed)
        if relaxed:
            sync_name(ownership.path)

    def _take_over(self, path: str, ownership: Ownership) -> None:
        if is_new(path):
            ownership.notes.forget()
        refuse_foreign_log(path, ownership.notes.left)
        refuse_losses(path, ownership.notes.left)

    def check(self) -> None:
        """Notice that the file, or one beside it, was removed, replaced, emptied or cut off. Raises StorageFailed."""
        if self._ownership is None:
            return
        try:
            size = self._ownership.check()
        except LogRemoved:
            # What was confirmed can still be read from the log that is open, and only by this process.
            with suppress(sqlite3.Error):
                self.writer.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            raise
        if self._log_length is not None and self._log_length.is_cut_off():
            raise StorageFailed(f"{self.path}-wal was cut off while it was in use: nothing is written")
        # A scavenge makes it shorter, too, here or in another process.
        if size < self._size and self._lacks_pages():
            raise StorageFailed(f"{self.path} was cut off while it was in use: nothing is written")
        self._size = size

    def _lacks_pages(self) -> bool:
        with reporting(self.path):
            return lacks_pages(self.writer.connection, self.path)

    def confirm(self, end: int) -> None:
        """Note that everything before `end` is on the disk, before anybody hears of it."""
        if self._log_length is not None:
            self._log_length.note()
        if self._ownership is None or self._relaxed:
            return
        if self._identity is None:
            # The commit has been made, whatever becomes of this.
            with suppress(sqlite3.Error):
                self._identity = identity(self.writer.connection)
        if self._identity is not None:
            self._ownership.notes.confirm(self._identity, end)

    def loop_reader(self, query: Callable[[Reader], T]) -> T:
        """Run a query on the thread of the event loop: in memory by the one connection there is, which is never in
        the middle of a transaction then."""
        if self.in_memory:
            self._on_loop = self._on_loop or SqliteReader(self.writer.connection, self.path)
            return self._on_loop.inline(query)
        self._on_loop = self._on_loop or self.reader()
        return self._on_loop.snapshot(query)

    def reader(self) -> SqliteReader:
        """A reader with a connection of its own; of a file only."""
        return SqliteReader(open_reader(self.path), self.path)

    def close(self) -> None:
        """Close the writer and give the file up; readers must have been closed before. Idempotent."""
        if self._on_loop is not None:
            self._on_loop.close()
        if self._log_length is not None:
            self._log_length.close()
        self.writer.close()
        # Where a reader or a full disk keeps the write-ahead log from being emptied, the notes are still needed.
        self._give_up(keep=os.path.exists(os.path.realpath(self.path) + "-wal"))

    def _give_up(self, *, keep: bool) -> None:
        if self._ownership is not None:
            self._ownership.release(keep=keep)
            self._ownership = None
