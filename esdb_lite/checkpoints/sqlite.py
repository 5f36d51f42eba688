"""A position in a SQLite database.

Owns: what is special about sqlite3: that a path is enough, and its ways to begin and to end transactions.
Must not know: consumers. sqlite3 is imported when a store is used: nobody else needs it.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from esdb_lite.checkpoints.databases import DbApiCheckpoint
from esdb_lite.checkpoints.files import checked_file
from esdb_lite.checkpoints.store import StoreBusy
from esdb_lite.checkpoints.table import TABLE
from esdb_lite.consumers import ConsumerPosition
from esdb_lite.errors import CheckpointError, InvalidArgument, WrongArgumentType

if TYPE_CHECKING:
    import sqlite3


_MEMORY = ":memory:"


class SqliteCheckpoint(DbApiCheckpoint):
    """Keeps a consumer's position in a SQLite database, in the transaction of a handler that writes there.

    What the handler writes with `connection` and the position are committed together, once a batch; when the handler
    fails, everything is rolled back. So every event takes effect exactly once. A handler that commits (`with
    connection:` does) gets a CheckpointError. Everything else is as with `DbApiCheckpoint`, but the connection may be
    in autocommit mode.
    """

    def __init__(self, database: str | os.PathLike[str] | sqlite3.Connection, name: str, *, table: str = TABLE) -> None:
        """Make a store for the consumer of this name in a database: a path, or a connection of sqlite3.

        A file need not exist, its folder has to. With a path, the store makes its own connection on first use, in the
        consumer's thread, and closes it when the consumer ends. Raises InvalidArgument.
        """
        path = isinstance(database, (str, os.PathLike))
        if not path and not (hasattr(database, "in_transaction") and hasattr(database, "cursor")):
            reason = "must be a path or a connection of sqlite3 (SQLAlchemy: connection.connection.driver_connection)"
            raise WrongArgumentType("database", database, reason)
        self._path = _checked_database(database) if isinstance(database, (str, os.PathLike)) else None
        self._connection = None if isinstance(database, (str, os.PathLike)) else database
        self._begun = False
        self._prepare(name, table, "qmark")

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection to write with."""
        if self._connection is None:
            import sqlite3

            assert self._path is not None
            self._connection = sqlite3.connect(self._path)
        connection: sqlite3.Connection = self._connection  # type: ignore[assignment]
        return connection

    def bind(self, source: str) -> None:
        """Say what is consumed. Raises CheckpointConflict, and CheckpointError on a thread that cannot use it."""
        super().bind(source)
        try:
            self.connection.cursor().close()
        except BaseException as error:
            super().release()
            self._explain(error)
            raise

    def _explain(self, error: BaseException) -> None:
        import sqlite3

        if isinstance(error, sqlite3.ProgrammingError) and "thread" in str(error):
            raise CheckpointError(
                f"{self._label} is in a connection of another thread: make it where the consumer runs, with a path "
                "instead of a connection, or with sqlite3.connect(..., check_same_thread=False)"
            ).of(self._checkpoint) from error

    def release(self) -> None:
        """Say that the consumer has ended. A connection of the store's own is closed."""
        super().release()
        self._stored = None
        if self._path is not None and self._connection is not None:
            connection, self._connection = self.connection, None
            connection.close()

    def begin(self) -> None:
        """Begin a transaction, and note its beginning, so that it can be told when a handler has ended it.

        Raises StoreBusy where others are writing: one that has begun to read could not wait for them any more.
        """
        self.claim()
        self.connection.execute("SAVEPOINT esdb_lite_handler")
        self._begun = True

    def claim(self) -> None:
        """Begin a transaction that writes, without waiting: others may wait for this thread. Raises StoreBusy."""
        import sqlite3

        if self.connection.in_transaction:
            return
        with closing(self.connection.cursor()) as cursor:
            cursor.row_factory = None
            (patience,) = cursor.execute("PRAGMA busy_timeout").fetchone()
            cursor.execute("PRAGMA busy_timeout = 0")
            try:
                cursor.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if "locked" in str(error):
                    raise StoreBusy from error
                raise
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {patience:d}")

    def save(self, position: ConsumerPosition) -> None:
        """Store the position and commit. Raises CheckpointConflict if somebody else has changed it."""
        if self._begun:
            self._check_transaction()
        self._begin()
        super().save(position)

    def forget(self) -> None:
        """Store that there is no position, and commit, so that a consumer begins anew."""
        if self._begun:
            self._check_transaction()
        self._begin()
        super().forget()

    def rollback(self) -> None:
        """Undo what the handler has written since the last commit."""
        self._begun = False
        if self.connection.in_transaction and self._autocommit:
            self.connection.execute("ROLLBACK")
        else:
            self.connection.rollback()

    def _check_transaction(self) -> None:
        import sqlite3

        self._begun = False
        try:
            self.connection.execute("RELEASE esdb_lite_handler")
        except sqlite3.OperationalError as error:
            self.rollback()
            raise CheckpointError(
                f"the handler ended the transaction itself, so what it wrote and {self._label} cannot be committed "
                "together; leave committing to the store"
            ).of(self._checkpoint) from error

    @property
    def _autocommit(self) -> bool:
        """True for a mode (since Python 3.12) in which `commit()` and `rollback()` do nothing."""
        return getattr(self.connection, "autocommit", None) is True

    def _open(self) -> sqlite3.Connection:
        return self.connection

    def _begin(self) -> None:
        if not self.connection.in_transaction:
            self.connection.execute("BEGIN")

    def _commit(self) -> None:
        if self.connection.in_transaction and self._autocommit:
            self.connection.execute("COMMIT")
        else:
            self.connection.commit()


def _checked_database(path: str | os.PathLike[str]) -> str:
    """Return the path of a database, or of a file that can become one. Raises InvalidArgument."""
    if path == _MEMORY:
        return _MEMORY
    name = checked_file("database", path)
    if os.path.exists(name):
        import sqlite3

        try:
            # Not with open(): closing that would end the locks of this process's other connections.
            with closing(sqlite3.connect(f"{Path(name).as_uri()}?mode=ro", uri=True)) as connection:
                connection.execute("PRAGMA schema_version")
        except sqlite3.DatabaseError as error:
            if "not a database" in str(error):
                raise InvalidArgument("database", name, "must be an SQLite database") from None
    return name
