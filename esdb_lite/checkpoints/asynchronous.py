"""A position in a database, for drivers that are awaited.

Owns: `AsyncTableCheckpoint`, and the stores for asyncpg, psycopg and aiosqlite. Must not know: consumers, statements
(`table`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from esdb_lite._stepping import drive_awaiting
from esdb_lite.checkpoints.databases import statement
from esdb_lite.checkpoints.table import TABLE, CheckpointTable, Order, TableAction
from esdb_lite.consumers import ConsumerPosition
from esdb_lite.errors import InvalidArgument, WrongArgumentType

if TYPE_CHECKING:
    import aiosqlite
    import asyncpg
    import psycopg


class AsyncTableCheckpoint(CheckpointTable):
    """Keeps a consumer's position in a table, in the transaction of a handler, with a driver that is awaited.

    What the handler writes with the same connection and the position are committed together, once a batch; when the
    handler fails or is cancelled, everything is rolled back. So every event takes effect exactly once. The handler must
    not commit, and nobody else may use the connection while the consumer runs. For `AsyncEsdbClient`.
    """

    _methods = ("execute", "commit", "rollback")
    _argument = "connection"
    _kind: str
    """What a connection must be, in words."""

    def __init__(self, connection: object, name: str, *, table: str = TABLE) -> None:
        """Make a store for the consumer of this name, without asking the database yet. Raises InvalidArgument."""
        if not all(callable(getattr(connection, each, None)) for each in self._methods):
            raise WrongArgumentType(self._argument, connection, f"must be {self._kind}")
        super().__init__(name, table)
        self._connection: Any = connection

    async def load(self) -> ConsumerPosition | None:
        """Return the position in the table, which is made if need be. Ends the transaction that is open, if any."""
        position: ConsumerPosition | None = await drive_awaiting(self._loading(), self._carry_out)
        return position

    async def begin(self) -> None:
        """Called before the handler; most drivers begin a transaction by themselves."""

    async def save(self, position: ConsumerPosition) -> None:
        """Store the position and commit. Raises CheckpointConflict if somebody else has changed it."""
        await drive_awaiting(self._saving(position), self._carry_out)

    async def forget(self) -> None:
        """Store that there is no position, and commit, so that a consumer begins anew."""
        await drive_awaiting(self._forgetting(), self._carry_out)

    async def rollback(self) -> None:
        """Undo what the handler has written since the last commit."""
        await self._connection.rollback()

    async def _commit(self) -> None:
        await self._connection.commit()

    @abstractmethod
    async def _ask(self, order: Order) -> object:
        """Carry out a statement."""

    async def _carry_out(self, order: Order) -> object:
        if order.action is TableAction.COMMIT:
            await self._commit()
        elif order.action is TableAction.ROLLBACK:
            await self.rollback()
        else:
            return await self._ask(order)
        return None


class AsyncpgCheckpoint(AsyncTableCheckpoint):
    """Keeps a consumer's position in PostgreSQL, in the transaction of a handler that writes with asyncpg.

    Everything else is as with `AsyncTableCheckpoint`; the handler's statements are in a transaction by themselves.
    """

    _kind, _methods = "a connection of asyncpg", ("fetchrow", "execute", "transaction")

    def __init__(self, connection: asyncpg.Connection, name: str, *, table: str = TABLE) -> None:
        """Make a store for the consumer of this name, without asking the database yet. Raises InvalidArgument."""
        super().__init__(connection, name, table=table)
        self._transaction: Any = None

    async def begin(self) -> None:
        """Begin a transaction."""
        self._transaction = self._connection.transaction()
        await self._transaction.start()

    async def rollback(self) -> None:
        """Undo what the handler has written."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            await transaction.rollback()

    async def _commit(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            await transaction.commit()

    async def _ask(self, order: Order) -> object:
        sql, values = statement(order.sql, order.values, "numeric")
        sql = sql.replace(":", "$")
        if order.action is TableAction.SELECT:
            return await self._connection.fetchrow(sql, *values)
        tag = str(await self._connection.execute(sql, *values)).rpartition(" ")[2]
        return int(tag) if tag.isdecimal() else -1


class PsycopgCheckpoint(AsyncTableCheckpoint):
    """Keeps a consumer's position in PostgreSQL, in the transaction of a handler that writes with psycopg 3.

    For its AsyncConnection; its Connection goes with `DbApiCheckpoint`. Everything else is as with
    `AsyncTableCheckpoint`.
    """

    _kind = "an AsyncConnection of psycopg"

    def __init__(self, connection: psycopg.AsyncConnection[Any], name: str, *, table: str = TABLE) -> None:
        """Make a store for the consumer of this name, without asking the database yet.

        The connection must not be in autocommit mode. Raises InvalidArgument.
        """
        super().__init__(connection, name, table=table)
        if getattr(connection, "autocommit", False) is True:
            raise InvalidArgument("connection", connection, "must not be in autocommit mode")

    async def _ask(self, order: Order) -> object:
        sql, values = statement(order.sql, order.values, "pyformat")
        cursor = await self._connection.execute(sql.encode(), values)
        async with cursor:
            return await cursor.fetchone() if order.action is TableAction.SELECT else cursor.rowcount


class AiosqliteCheckpoint(AsyncTableCheckpoint):
    """Keeps a consumer's position in SQLite, in the transaction of a handler that writes with aiosqlite.

    Everything else is as with `AsyncTableCheckpoint`.
    """

    _kind = "a connection of aiosqlite"

    def __init__(self, connection: aiosqlite.Connection, name: str, *, table: str = TABLE) -> None:
        """Make a store for the consumer of this name, without asking the database yet. Raises InvalidArgument."""
        super().__init__(connection, name, table=table)
        self._begun = False

    async def begin(self) -> None:
        """Begin a transaction, also where the connection commits by itself."""
        if not self._connection.in_transaction:
            await self._connection.execute("BEGIN IMMEDIATE")  # one that has begun to read could not wait for others
            self._begun = True

    async def rollback(self) -> None:
        """Undo what the handler has written since the last commit."""
        await super().rollback()
        await self._end("ROLLBACK")

    async def _commit(self) -> None:
        await super()._commit()
        await self._end("COMMIT")

    async def _end(self, statement: str) -> None:
        """End the transaction where the driver's functions do nothing: with `autocommit=True` (since Python 3.12)."""
        begun, self._begun = self._begun, False
        if begun and self._connection.in_transaction:
            await self._connection.execute(statement)

    async def _ask(self, order: Order) -> object:
        sql, values = statement(order.sql, order.values, "qmark")
        async with self._connection.execute(sql, values) as cursor:
            return await cursor.fetchone() if order.action is TableAction.SELECT else cursor.rowcount
