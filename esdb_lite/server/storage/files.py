"""One database, file or memory, with all that is open of it.

Owns: opening in the right order, and closing. Must not know: the rules, threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from esdb_lite.server.storage import Reader
from esdb_lite.server.storage.ownership import Ownership
from esdb_lite.server.storage.schema import Durability, check_path, open_reader, open_writer
from esdb_lite.server.storage.sqlite_reader import SqliteReader
from esdb_lite.server.storage.sqlite_writer import SqliteWriter

T = TypeVar("T")


def exists(path: str) -> bool:
    """Whether there is a file of that name. Raises: StorageError, when there is something else."""
    check_path(path)
    return os.path.exists(path)


class Files:
    """An open database. Raises: StorageError, each kind with a text that fits one line."""

    def __init__(self, path: str | None, durability: Durability = Durability.FULL, *, shared: bool = False) -> None:
        self.in_memory = path is None
        self.path = path or "memory"
        self._ownership: Ownership | None = None
        if path is not None:
            check_path(path)
            # Shared: beside a server, and with nothing kept in mind from one transaction to the next.
            self._ownership = None if shared else Ownership(path)
        try:
            connection = open_writer(path, durability)
        except BaseException:
            self._give_up()
            raise
        self.writer = SqliteWriter(connection, self.path)
        self._on_loop: SqliteReader | None = None

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
        self.writer.close()
        self._give_up()

    def _give_up(self) -> None:
        if self._ownership is not None:
            self._ownership.release()
            self._ownership = None
